"""The figures of a finished run: what the page and the plots for slides are made of."""

from collections.abc import Iterator
from pathlib import Path

from seamark.evaluation.curves import read_curves
from seamark.manifests.base import read_manifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.plots import AbsentPlot, PlotsManifest
from seamark.report.cost import read_costs
from seamark.report.curve_charts import PageFigures, split_charts
from seamark.report.drawing import Plot
from seamark.report.figures import FITTED_SCORE, RAW_SCORE
from seamark.report.page import ReportFiles
from seamark.report.plots import CategoryFigures, run_plots
from seamark.report.thresholds import threshold_markers, threshold_rows


def category_figures(inputs: ReportFiles) -> list[CategoryFigures]:
    """Gather what the figures of every category are made of.

    Parameters
    ----------
    inputs : ReportFiles
        Files of the run.

    Returns
    -------
    list of CategoryFigures
        In the order of the evaluations. The thresholds of masks lie on the scale of the fused maps, so curves of fitted
        maps go without them.

    Raises
    ------
    ManifestError
        If one of the files is missing or damaged.
    """
    thresholds = threshold_rows({path: read_manifest(path, MasksManifest) for path in inputs.coarse}, {})
    pairs = zip(inputs.evaluations.values(), inputs.curves, strict=True)
    return [
        CategoryFigures(
            category=evaluation.category,
            curves=read_curves(path),
            markers=() if evaluation.ranking else threshold_markers(thresholds, evaluation.category),
            models=tuple(model for model in inputs.models.values() if model.category == evaluation.category),
            fpr_limit=evaluation.fpr_limit,
            score=FITTED_SCORE if evaluation.ranking else RAW_SCORE,
        )
        for evaluation, path in pairs
    ]


def plots_of(inputs: ReportFiles) -> Iterator[Plot | AbsentPlot]:
    """Yield every plot of a run, or why it is absent.

    Parameters
    ----------
    inputs : ReportFiles
        Files of the run.

    Yields
    ------
    Plot or AbsentPlot
        As :func:`seamark.report.plots.run_plots` orders them.
    """
    evaluations = list(inputs.evaluations.values())
    detectors = {model.detector for model in inputs.models.values()}
    cost = read_costs(inputs.run_folder, [evaluation.category for evaluation in evaluations], detectors)
    yield from run_plots(category_figures(inputs), evaluations, cost)


def page_figures(inputs: ReportFiles, plots: PlotsManifest, manifest: Path) -> PageFigures:
    """Draw the charts over thresholds for the page.

    Parameters
    ----------
    inputs : ReportFiles
        Files of the run.
    plots : PlotsManifest
        Plots that were written.
    manifest : Path
        Where their manifest lies.

    Returns
    -------
    PageFigures
        For all categories.
    """
    charts = {
        figures.category: split_charts(figures.category, figures.curves, figures.markers, figures.score)
        for figures in category_figures(inputs)
    }
    names = [evaluation.category for evaluation in inputs.evaluations.values()]
    return PageFigures(charts, dict(zip(names, inputs.curves, strict=True)), plots, manifest)
