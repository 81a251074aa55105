"""Drawing a figure with matplotlib and writing it as SVG, PNG and CSV, the same bytes each time."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seamark.report.charts import Series
from seamark.report.figures import Panel

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#edae49", "#6a4c93", "#4d4d4d")
"""Blue, red, green, yellow, purple, grey: apart in hue and in lightness."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "seamark",
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 160.0,
}
"""Text stays text in the SVG; the salt and the missing dates make its bytes repeatable."""


@dataclass(frozen=True)
class Plot:
    """A figure and the table behind it.

    Parameters
    ----------
    name : str
        Path of its files below the folder of the plots, without suffix.
    title : str
        What it shows.
    header : tuple of str
        Columns of the table.
    rows : tuple of tuple
        What is drawn.
    draw : callable
        Draws it.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    draw: Callable[[], Figure]

    def write(self, folder: Path) -> None:
        """Write ``<name>.csv``, ``.svg`` and ``.png`` below a folder; numbers of the table are not rounded."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(self.header)
            table.writerows(self.rows)
        with rc_context(STYLE):
            figure = self.draw()
            FigureCanvasAgg(figure)
            figure.savefig(path.with_name(f"{path.name}.svg"), metadata={"Date": None, "Creator": None})
            figure.set_layout_engine("none")  # found once, kept for the second file
            figure.savefig(path.with_name(f"{path.name}.png"), metadata={"Software": None})


def line_plot(name: str, title: str, panels: Sequence[Panel]) -> Plot:
    """Return a plot of panels side by side.

    Parameters
    ----------
    name, title : str
        As for :class:`Plot`.
    panels : sequence of Panel
        At least one, with the same axes.

    Returns
    -------
    Plot
        Its table has the columns panel, line, x label and y label, one row per point.
    """
    header = ("panel", "line", panels[0].x_label, panels[0].y_label)
    rows = tuple(row for panel in panels for row in panel.rows())
    return Plot(name, title, header, rows, lambda: _draw_panels(title, panels))


def _draw_panels(title: str, panels: Sequence[Panel]) -> Figure:
    figure = Figure(figsize=(max(6.4, 4.6 * len(panels)), 4.4))
    figure.suptitle(plain(title))
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _draw_panel(axes, panel)
    figure.axes[0].set_ylabel(panels[0].y_label)
    _add_legend(figure)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.set(title=plain(panel.name), xlabel=panel.x_label)
    if panel.y_log:
        axes.set_yscale("log")
    for line, colour in zip(panel.series, cycle(COLOURS)):
        _draw_line(axes, panel, line, colour)
    for marker, style in zip(panel.markers, cycle(("--", ":", "-."))):
        axes.axvline(marker.x, color="#333333", linestyle=style, linewidth=1.2, label=plain(marker.name))


def _add_legend(figure: Figure) -> None:
    """Explain the lines of all panels once, below them."""
    shown = {
        str(label): handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = max(1, int(figure.get_figwidth() // 1.6))
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns, fontsize=10.0)


def _draw_line(axes: Axes, panel: Panel, line: Series, colour: str) -> None:
    label = plain(line.name)
    if panel.steps:
        edges = [*line.xs, 2.0 * line.xs[-1] - line.xs[-2]]
        axes.stairs(line.ys, edges, baseline=None, color=colour, linewidth=1.6, label=label)
        return
    marker = "o" if len(line.xs) == 1 else None
    axes.plot(line.xs, line.ys, color=colour, linewidth=1.6, marker=marker, label=label)
    if panel.area_to is not None:
        xs = np.array([*(x for x in line.xs if x < panel.area_to), panel.area_to])
        axes.fill_between(xs, np.interp(xs, line.xs, line.ys), color=colour, alpha=0.1, linewidth=0.0)


@dataclass(frozen=True)
class Bar:
    """One bar and its interval."""

    group: str
    name: str
    value: float
    interval: tuple[float, float] | None = None


def bar_plot(name: str, title: str, charts: Sequence[tuple[str, Sequence[Bar]]]) -> Plot:
    """Return a plot of grouped bars, one panel per quantity.

    Parameters
    ----------
    name, title : str
        As for :class:`Plot`.
    charts : sequence of (str, sequence of Bar)
        Quantity with its unit, and its bars; bars of one group stand together, those of one name have one colour.

    Returns
    -------
    Plot
        Its table has the columns quantity, group, name, value, low and high.
    """
    header = ("quantity", "group", "name", "value", "low", "high")
    rows = tuple(
        (quantity, bar.group, bar.name, bar.value, *(bar.interval or (None, None)))
        for quantity, bars in charts
        for bar in bars
    )
    return Plot(name, title, header, rows, lambda: _draw_bar_panels(title, charts))


def _draw_bar_panels(title: str, charts: Sequence[tuple[str, Sequence[Bar]]]) -> Figure:
    groups = _distinct(bar.group for _, bars in charts for bar in bars)
    colours = dict(zip(_distinct(bar.name for _, bars in charts for bar in bars), cycle(COLOURS)))
    figure = Figure(figsize=(min(12.0, max(6.4, 1.6 + 0.8 * len(groups))), 0.8 + 2.6 * len(charts)))
    figure.suptitle(plain(title))
    stacked = np.atleast_1d(figure.subplots(len(charts), 1, sharex=True))
    for axes, (quantity, bars) in zip(stacked, charts, strict=True):
        axes.set(ylabel=quantity)
        _draw_bars(axes, bars, groups, colours)
    _add_legend(figure)
    return figure


def _draw_bars(axes: Axes, bars: Sequence[Bar], groups: Sequence[str], colours: Mapping[str, str]) -> None:
    names = _distinct(bar.name for bar in bars)
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        own = [bar for bar in bars if bar.name == name]
        at = [groups.index(bar.group) + (place - (len(names) - 1) / 2) * width for bar in own]
        axes.bar(at, [bar.value for bar in own], width=width, color=colours[name], label=plain(name))
        for x, bar in zip(at, own, strict=True):
            if bar.interval is not None:
                axes.vlines(x, *bar.interval, color="#222222", linewidth=1.4)
    axes.set_xticks(range(len(groups)), [plain(group) for group in groups], rotation=30, ha="right")
    axes.grid(visible=False, axis="x")


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def plain(text: str) -> str:
    """Return a text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")
