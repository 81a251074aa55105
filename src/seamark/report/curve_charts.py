"""Charts of the page over thresholds: scores of good and defect pixels, and what a mask would score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from seamark.evaluation.curves import ThresholdCurve
from seamark.manifests.plots import PlotsManifest
from seamark.report.charts import WIDTH, Marker, Series, line_chart
from seamark.report.figures import RAW_SCORE, Panel, score_panel, threshold_panel

SplitCharts = tuple[str, Markup, Markup | None]
"""Split, its score histograms, and its threshold curves if it has defects."""


@dataclass(frozen=True)
class PageFigures:
    """What the page shows of the curves, and the plots it names.

    Parameters
    ----------
    charts : mapping of str to tuple of SplitCharts
        By category.
    curves : mapping of str to Path
        The file behind the charts, by category.
    plots : PlotsManifest
        Plots written as files.
    manifest : Path
        Its file.
    """

    charts: Mapping[str, tuple[SplitCharts, ...]]
    curves: Mapping[str, Path]
    plots: PlotsManifest
    manifest: Path


def split_charts(
    category: str, curves: Mapping[str, ThresholdCurve], markers: Sequence[Marker], score: str = RAW_SCORE
) -> tuple[SplitCharts, ...]:
    """Draw the charts of every split with a known truth.

    Parameters
    ----------
    category : str
        Its name.
    curves : mapping of str to ThresholdCurve
        By split.
    markers : sequence of Marker
        Thresholds in the units of the curves.
    score : str
        What the scores of the curves are called.

    Returns
    -------
    tuple of (str, Markup, Markup or None)
        Split and charts; threshold curves only where there are defects.
    """
    return tuple(
        (
            split,
            panel_chart(f"scores of {category} {split}", score_panel(split, curve, markers, score)),
            panel_chart(f"masks of {category} {split} by threshold", threshold_panel(split, curve, markers, score))
            if curve.has_defects
            else None,
        )
        for split, curve in curves.items()
    )


def panel_chart(title: str, panel: Panel) -> Markup:
    """Draw a panel for the page.

    Parameters
    ----------
    title : str
        Accessible name.
    panel : Panel
        What to draw; lines keep about one point per unit of the chart's width.

    Returns
    -------
    Markup
        A ``figure`` with SVG and legend.
    """
    series = tuple(_thinned(line, panel) for line in panel.series)
    if panel.steps:
        floor = 10.0 ** math.floor(math.log10(min(y for line in series for y in line.ys if y > 0.0)))
        series = tuple(_stairs(line, floor) for line in series)
    return line_chart(
        title, series, x_label=panel.x_label, y_label=panel.y_label, y_log=panel.y_log, markers=panel.markers
    )


def _thinned(line: Series, panel: Panel) -> Series:
    """Keep the first of the points that share a unit of the chart's width, and the last point."""
    low, high = min(line.xs), max(line.xs)
    if panel.steps or high <= low:
        return line
    columns = [int((x - low) / (high - low) * WIDTH) for x in line.xs]
    last = len(columns) - 1
    kept = [place for place in range(last + 1) if place in (0, last) or columns[place] != columns[place - 1]]
    return replace(line, xs=tuple(line.xs[place] for place in kept), ys=tuple(line.ys[place] for place in kept))


def _stairs(line: Series, floor: float) -> Series:
    edges = [*line.xs, 2.0 * line.xs[-1] - line.xs[-2]]
    xs = [edge for edge in edges for _ in range(2)][1:-1]
    ys = [max(y, floor) for y in line.ys for _ in range(2)]
    return replace(line, xs=tuple(xs), ys=tuple(ys))
