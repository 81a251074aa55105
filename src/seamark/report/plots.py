"""The plots of a run as files for slides: which there are, and why others are not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.evaluation.curves import ThresholdCurve
from seamark.evaluation.summary import MEAN, WHOLE_SPLIT, summary_rows
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.plots import AbsentPlot, PlotRecord, PlotsManifest
from seamark.report.charts import Marker
from seamark.report.cost import RunCost
from seamark.report.drawing import Bar, Plot, bar_plot, line_plot
from seamark.report.figures import (
    RAW_SCORE,
    overlap_panel,
    precision_recall_panel,
    score_panel,
    threshold_panel,
    training_panel,
)

NO_TRUTH = "no truth is known for any split of {}: set data.truth_root, or use a split with public truth"
NO_DEFECT = "no split of {} with a known truth has a defect pixel"


@dataclass(frozen=True)
class CategoryFigures:
    """What the figures of one category are made of.

    Parameters
    ----------
    category : str
        Its name.
    curves : mapping of str to ThresholdCurve
        By split; empty when no truth is known.
    markers : tuple of Marker
        Thresholds in the units of the curves.
    models : tuple of ModelManifest
        Trained for it.
    fpr_limit : float
        False-positive rate up to which AucPro is integrated.
    score : str
        What the scores of the curves are called.
    """

    category: str
    curves: Mapping[str, ThresholdCurve]
    markers: tuple[Marker, ...]
    models: tuple[ModelManifest, ...]
    fpr_limit: float
    score: str = RAW_SCORE


def run_plots(
    categories: Sequence[CategoryFigures], evaluations: Sequence[EvaluationManifest], cost: RunCost
) -> Iterator[Plot | AbsentPlot]:
    """Yield every plot of a run, and for each that cannot be drawn the reason.

    Parameters
    ----------
    categories : sequence of CategoryFigures
        One per category.
    evaluations : sequence of EvaluationManifest
        One per category.
    cost : RunCost
        Of all stages.

    Yields
    ------
    Plot or AbsentPlot
        Those of the whole run first, then by category, in a folder named after it.
    """
    yield _scores_by_category(evaluations)
    yield _cost(cost)
    for figures in categories:
        yield from _curve_plots(figures)
        yield from _training_plots(figures)


def write_plots(folder: Path, plots: Iterator[Plot | AbsentPlot]) -> PlotsManifest:
    """Write plots as SVG, PNG and CSV.

    Parameters
    ----------
    folder : Path
        Where to.
    plots : iterator of Plot or AbsentPlot
        What to write or to note as absent.

    Returns
    -------
    PlotsManifest
        In the order given; equal input gives equal bytes in all files.
    """
    written: list[PlotRecord] = []
    absent: list[AbsentPlot] = []
    for plot in plots:
        if isinstance(plot, AbsentPlot):
            absent.append(plot)
            continue
        plot.write(folder)
        files = {suffix: f"{plot.name}.{suffix}" for suffix in ("svg", "png", "csv")}
        written.append(PlotRecord(name=plot.name, title=plot.title, **files))
    return PlotsManifest(plots=tuple(written), absent=tuple(absent))


def _scores_by_category(evaluations: Sequence[EvaluationManifest]) -> Plot | AbsentPlot:
    rows = [row for row in summary_rows(evaluations) if row.light == WHOLE_SPLIT and row.category != MEAN]
    charts = []
    for quantity, column in (("SegF1 (refined masks)", "refined_seg_f1"), ("AucPro", "auc_pro")):
        known = [(row, getattr(row, column)) for row in rows if getattr(row, column) is not None]
        bars = [Bar(row.category, row.split, value, row.intervals.get(column)) for row, value in known]
        if bars:
            charts.append((quantity, bars))
    if not charts:
        return AbsentPlot(name="scores", reason=NO_TRUTH.format("any category"))
    return bar_plot("scores", "Scores with 95 % bootstrap intervals", charts)


def _cost(cost: RunCost) -> Plot | AbsentPlot:
    if not cost.stages:
        return AbsentPlot(name="cost", reason="there are no provenance files beside the manifests")
    times = [
        Bar(stage.stage, kind, seconds / 60.0)
        for stage in cost.stages
        for kind, seconds in (("wall", stage.wall_s), ("CPU", stage.cpu_s))
    ]
    memory = [Bar(stage.stage, "largest job", stage.peak_memory_mb) for stage in cost.stages]
    return bar_plot("cost", "Cost per stage", (("time of all jobs (min)", times), ("peak memory (MB)", memory)))


def _curve_plots(figures: CategoryFigures) -> Iterator[Plot | AbsentPlot]:
    category, curves, markers = figures.category, figures.curves, figures.markers
    bad = {split: curve for split, curve in curves.items() if curve.has_defects}
    reason = (NO_DEFECT if curves else NO_TRUTH).format(category)
    if curves:
        panels = [score_panel(split, curve, markers, figures.score) for split, curve in curves.items()]
        yield line_plot(f"{category}/score_histograms", f"Pixel scores of {category}", panels)
    else:
        yield AbsentPlot(name=f"{category}/score_histograms", reason=reason)
    if not bad:
        for name in ("threshold_curves", "overlap_curve", "precision_recall"):
            yield AbsentPlot(name=f"{category}/{name}", reason=reason)
        return
    panels = [threshold_panel(split, curve, markers, figures.score) for split, curve in bad.items()]
    yield line_plot(f"{category}/threshold_curves", f"Masks of {category} by their threshold", panels)
    overlap, precision = overlap_panel(bad, figures.fpr_limit), precision_recall_panel(bad)
    yield line_plot(f"{category}/overlap_curve", f"Overlap with the defects of {category}", [overlap])
    yield line_plot(f"{category}/precision_recall", f"Precision and recall of {category}", [precision])


def _training_plots(figures: CategoryFigures) -> Iterator[Plot | AbsentPlot]:
    for model in figures.models:
        name = f"{figures.category}/training_{model.detector}"
        panels = [panel for phase in model.phases if (panel := training_panel(phase)) is not None]
        if panels:
            yield line_plot(name, f"Training of {model.detector} on {figures.category}", panels)
        else:
            yield AbsentPlot(name=name, reason=f"{model.detector} notes no loss")
