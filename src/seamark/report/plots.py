"""The plots of a run: what each shows, and why others are not there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seamark.evaluation.curves import BINS, ThresholdCurve, read_curves
from seamark.evaluation.summary import MEAN, WHOLE_SPLIT, summary_rows
from seamark.manifests.evaluation import EvaluationManifest, ImageScores
from seamark.manifests.model import ModelManifest, PhaseRecord
from seamark.manifests.plots import AbsentPlot, PlotRecord, PlotsManifest
from seamark.maps.float16_scores import Histogram, key_scores, quantile
from seamark.report.cost import RunCost
from seamark.report.drawing import Bar, Marker, Panel, Plot, Series, bar_plot, line_plot, write_note
from seamark.report.run_files import ReportFiles
from seamark.report.thresholds import threshold_markers

SCORES = "scores"
NO_TRUTH = "no truth is known for any split of {}: set data.truth_root, or use a split with public truth"
ONE_KIND = "no split of {} with a known truth has good and bad images"
NO_DEFECT = "no split of {} with a known truth has a defect pixel"
TAIL = 1e-4
"""Share of the pixels that may lie left of the histogram of all splits, so that a few low scores do not flatten it."""
LOG_RATIO = 30.0
"""A loss that shrinks by more than this is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class CategoryFigures:
    """What the plots of one category are made of.

    Parameters
    ----------
    category : str
        Its name.
    histograms : mapping of str to ndarray of int64, shape (65536,)
        Pixels per float16 score by split, each with at least one pixel.
    curves : mapping of str to ThresholdCurve
        By split; empty when no truth is known.
    markers : tuple of Marker
        Thresholds in the units of the histograms.
    images : tuple of ImageScores
        Those whose truth is known.
    models : tuple of ModelManifest
        Trained for it.
    fpr_limit : float
        False-positive rate up to which AucPro is integrated.
    ranked : bool
        Whether the curves are of fitted maps, on whose scale the thresholds of masks do not lie.
    """

    category: str
    histograms: Mapping[str, Histogram]
    curves: Mapping[str, ThresholdCurve]
    markers: tuple[Marker, ...]
    images: tuple[ImageScores, ...]
    models: tuple[ModelManifest, ...]
    fpr_limit: float
    ranked: bool = False

    def plots(self) -> Iterator[Plot | AbsentPlot]:
        """Yield every plot, and for each that cannot be drawn the reason."""
        name, bad = self.category, {split: curve for split, curve in self.curves.items() if curve.has_defects}
        no_curve = (NO_DEFECT if self.curves else NO_TRUTH).format(name)
        listed = [
            ("split_histograms", f"Pixel scores of {name} by split", [self._split_panel()], ""),
            (
                "score_histograms",
                f"Pixel scores of {name} by truth",
                [self._score_panel(split, curve) for split, curve in self.curves.items()],
                no_curve,
            ),
            (
                "threshold_curves",
                f"Masks of {name} by their threshold",
                [self._threshold_panel(split, curve) for split, curve in bad.items()],
                no_curve,
            ),
            (
                "overlap_curve",
                f"Overlap with the defects of {name}",
                [self._overlap_panel(bad)] if bad else [],
                no_curve,
            ),
            (
                "image_roc",
                f"Images of {name} by their score",
                [panel] if (panel := _roc_panel(self.images)) else [],
                (ONE_KIND if self.images else NO_TRUTH).format(name),
            ),
            ("precision_recall", f"Precision and recall of {name}", [_precision_panel(bad)] if bad else [], no_curve),
        ]
        for model in self.models:
            panels = [panel for phase in model.phases if (panel := _training_panel(phase)) is not None]
            title, reason = f"Training of {model.detector} on {name}", f"{model.detector} notes no loss"
            listed.append((f"training_{model.detector}", title, panels, reason))
        for kind, title, panels, reason in listed:
            path = f"{name}/{kind}"
            yield line_plot(path, title, panels) if panels else AbsentPlot(name=path, reason=reason)

    def _split_panel(self) -> Panel:
        """Histograms of the scores of all splits, in shares of the split's pixels per bin."""
        xs = [marker.x for marker in self.markers]
        low = min([*(quantile(row, TAIL) for row in self.histograms.values()), *xs])
        high = max([*(quantile(row, 1.0) for row in self.histograms.values()), *xs])
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        scores, lower, series = key_scores(), tuple(edges[:-1].tolist()), []
        for split, histogram in self.histograms.items():
            occupied = np.flatnonzero(histogram)
            # What lies left of the first edge counts into the first bin.
            bins = np.clip(np.searchsorted(edges, scores[occupied], side="right") - 1, 0, BINS - 1)
            shares = np.bincount(bins, histogram[occupied], BINS) / histogram.sum()
            series.append(Series(split, lower, tuple(shares.tolist())))
        label = "share of pixels per bin"
        return Panel("", "raw score", label, tuple(series), self.markers, y_log=True, steps=True)

    def _curve_panel(self, split: str, panel: Panel) -> Panel:
        score = "fitted score" if self.ranked else "raw score"
        markers = () if self.ranked else self.markers
        return replace(panel, name=split, x_label=panel.x_label.format(score), markers=markers)

    def _score_panel(self, split: str, curve: ThresholdCurve) -> Panel:
        """Histograms of good and of defect pixels, each in shares of its own pixels."""
        lower = tuple(curve.edges()[:-1].tolist())
        counts = {"good pixels": curve.good_px, "defect pixels": curve.defect_px}
        series = tuple(
            Series(name, lower, tuple(curve.shares(pixels).tolist())) for name, pixels in counts.items() if pixels[0]
        )
        return self._curve_panel(split, Panel("", "{}", "share of pixels per bin", series, y_log=True, steps=True))

    def _threshold_panel(self, split: str, curve: ThresholdCurve) -> Panel:
        """SegF1, precision and recall of a mask without erosion, trimming or refinement."""
        values = {"SegF1": curve.seg_f1, "precision": curve.precision, "recall": curve.recall}
        xs = tuple(curve.thresholds.tolist())
        series = tuple(Series(name, xs, tuple(ys.tolist())) for name, ys in values.items())
        return self._curve_panel(split, Panel("", "threshold ({})", "score of the mask", series))

    def _overlap_panel(self, curves: Mapping[str, ThresholdCurve]) -> Panel:
        """Mean overlap per defect region over the false-positive rate, from (0, 0) up to four times its limit."""
        series = []
        for split, curve in curves.items():
            rates, overlaps = curve.false_positive_rate[::-1], curve.overlap[::-1]
            shown = rates <= min(1.0, 4.0 * self.fpr_limit)
            series.append(Series(split, (0.0, *rates[shown].tolist()), (0.0, *overlaps[shown].tolist())))
        limit, label = Marker(f"limit {self.fpr_limit:g}", self.fpr_limit), "mean overlap per region"
        return Panel("", "false-positive rate", label, tuple(series), (limit,), area_to=self.fpr_limit)


def _precision_panel(curves: Mapping[str, ThresholdCurve]) -> Panel:
    """Pixel precision over the pixel recall, from the highest threshold to the lowest."""
    series = (
        Series(split, tuple(curve.recall[::-1].tolist()), tuple(curve.precision[::-1].tolist()))
        for split, curve in curves.items()
    )
    return Panel("", "recall of defect pixels", "precision", tuple(series))


def _roc_panel(images: Sequence[ImageScores]) -> Panel | None:
    """Shares of good and of bad images whose highest score reaches a threshold; None without a split that has both."""
    series = []
    for split in dict.fromkeys(image.split for image in images):
        peaks = [
            np.sort([image.peak for image in images if image.split == split and image.bad is bad])
            for bad in (False, True)
        ]
        if all(kind.size for kind in peaks):
            thresholds = np.unique(np.concatenate(peaks))[::-1]
            xs, ys = ((1.0 - np.searchsorted(kind, thresholds) / kind.size).tolist() for kind in peaks)
            series.append(Series(split, (0.0, *xs), (0.0, *ys)))
    label = "share of bad images (found)"
    return Panel("", "share of good images (false alarms)", label, tuple(series)) if series else None


def _training_panel(phase: PhaseRecord) -> Panel | None:
    """Losses of one training phase; None where none was noted."""
    steps = tuple(float(step) for step in phase.curve_steps)
    series = tuple(Series(name, steps, values) for name, values in phase.losses.items() if values)
    if not steps or not series:
        return None
    values = [value for line in series for value in line.ys]
    y_log = min(values) > 0.0 and max(values) > LOG_RATIO * min(values)
    return Panel(phase.name, "step", "loss", series, y_log=y_log)


def category_figures(inputs: ReportFiles) -> list[CategoryFigures]:
    """Gather what the plots of every category are made of.

    Parameters
    ----------
    inputs : ReportFiles
        Files of the run.

    Returns
    -------
    list of CategoryFigures
        In the order of the evaluations.

    Raises
    ------
    ManifestError
        If one of the files is missing or damaged.
    """
    return [
        CategoryFigures(
            category=evaluation.category,
            histograms=inputs.histograms[evaluation.category],
            curves=read_curves(path),
            markers=threshold_markers(inputs.thresholds, evaluation.category),
            images=evaluation.images,
            models=tuple(model for model in inputs.models.values() if model.category == evaluation.category),
            fpr_limit=evaluation.fpr_limit,
            ranked=evaluation.ranking is not None,
        )
        for evaluation, path in zip(inputs.evaluations.values(), inputs.curves, strict=True)
    ]


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
        yield from figures.plots()


def write_plots(folder: Path, plots: Iterator[Plot | AbsentPlot]) -> PlotsManifest:
    """Write plots as SVG, PNG and CSV; ``scores.svg``, an output of the stage, says why if there is nothing to draw.

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
            if plot.name == SCORES:
                write_note(folder / f"{SCORES}.svg", plot.reason)
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
        return AbsentPlot(name=SCORES, reason=(NO_DEFECT if rows else NO_TRUTH).format("any category"))
    return bar_plot(SCORES, "Scores with 95 % bootstrap intervals", charts)


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
