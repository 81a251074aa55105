"""Drawing figures with matplotlib: as SVG, PNG and CSV, the same bytes each time, and as a part of a page."""

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SURFACE, INK, RULE = "#ffffff", "#1b1f27", "#dfe3ea"
LINE_COLOURS = ("#0072b2", "#d55e00", "#00875f", "#a8478a", "#8a6d00", "#3f4a5a")
"""Blue, orange, green, purple, brown, grey: apart in hue and in lightness."""
VARIABLES = {SURFACE: "surface", INK: "text", RULE: "line"} | {colour: f"s{n}" for n, colour in enumerate(LINE_COLOURS)}
"""The variable of the page's style sheet that stands for each colour, so that a dark page has dark charts."""

DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 2, 2)))
MARKER_DASHES = ("--", ":", "-.")
PANELS_ACROSS = 3
"""Panels side by side; more make more rows."""
LETTERS_PER_INCH, SAMPLE_LETTERS = 11, 8
"""Letters that an inch holds, and how many the sample of a line in a legend takes with the gaps around it."""
LABEL_WIDTH = 50
"""Letters in a line of a label that is a name."""
HOVER = "hover: "
"""What the id of a line in an SVG starts with; its name follows."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
    "figure.facecolor": SURFACE,
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.facecolor": SURFACE,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,
    "savefig.dpi": 160.0,
}
"""Text stays text in the SVG; a salt for its ids and the missing dates make its bytes repeatable."""


@dataclass(frozen=True)
class Series:
    """One line of a panel."""

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]


@dataclass(frozen=True)
class Marker:
    """A vertical line with a name."""

    name: str
    x: float


@dataclass(frozen=True)
class Panel:
    """Lines over common axes.

    Parameters
    ----------
    name : str
        What sets it apart from the other panels of a figure.
    x_label, y_label : str
        What the axes show.
    series : tuple of Series
        The lines.
    markers : tuple of Marker
        Vertical lines.
    y_log : bool
        Whether the y axis is logarithmic.
    steps : bool
        Whether a line is a histogram: xs are the lower edges of its bins, all of one width.
    area_to : float, optional
        x up to which the area under the lines is marked.
    """

    name: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    markers: tuple[Marker, ...] = ()
    y_log: bool = False
    steps: bool = False
    area_to: float | None = None

    def rows(self) -> Iterator[tuple[str, str, float, float]]:
        """Yield panel, line, x and y of every point."""
        for line in self.series:
            yield from ((self.name, line.name, x, y) for x, y in zip(line.xs, line.ys, strict=True))


@dataclass(frozen=True)
class Bar:
    """One bar and its interval."""

    group: str
    name: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ScatterPoint:
    """One image: its value in the first run and in another, what it is coloured by, its name, and where it leads."""

    x: float
    y: float
    group: str
    name: str
    link: str


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
            path.with_name(f"{path.name}.svg").write_text(_svg(figure, self.name), encoding="utf-8")
            figure.set_layout_engine("none")  # found once, kept for the second file
            figure.savefig(path.with_name(f"{path.name}.png"), metadata={"Software": None})


def write_note(path: Path, text: str) -> None:
    """Write an SVG that says why there is no plot, for those who expect a file of its name."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 1.4))
        figure.text(0.5, 0.5, plain(fill(text, LABEL_WIDTH)), ha="center", va="center")
        path.write_text(_svg(figure, path.stem), encoding="utf-8")


def _svg(figure: Figure, salt: str) -> str:
    """Draw as SVG; equal salts give equal ids, other ones keep the ids of drawings on one page apart."""
    stream = StringIO()
    with rc_context({"svg.hashsalt": salt}):
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return stream.getvalue()


def inline_svg(title: str, svg: str) -> Markup:
    """Make a drawing a part of a page, with the colours of its style sheet and with names that show on hovering.

    Parameters
    ----------
    title : str
        Accessible name.
    svg : str
        As :class:`Plot` writes it.

    Returns
    -------
    Markup
        A ``figure``; matplotlib has escaped all names in the drawing.
    """
    body = svg[svg.index('<g id="figure_1"') : svg.rindex("</svg>")]
    for pattern, replacement in (
        (r"\s*\n\s*", " "),
        (rf'<g id="{HOVER}([^"]*)">', r"<g><title>\1</title>"),
        (r'<g id="[^"]*"', "<g"),
        (r'<a xlink:href="([^"|]*)\|([^"]*)" target="_blank">', r'<a href="\1"><title>\2</title>'),
        ("xlink:href", "href"),
        (r": (#[0-9a-f]{6})\b", lambda found: f": var(--{VARIABLES[found[1]]})" if found[1] in VARIABLES else found[0]),
    ):
        body = re.sub(pattern, replacement, body)
    width, view = re.findall(r'(?:width|viewBox)="([^"]*)"', svg)[:2]
    role = "group" if "<a href" in body else "img"  # inside an img, no reader meets the links
    head = Markup('<svg style="--width: {}" viewBox="{}" role="{}" aria-label="{}">').format(width, view, role, title)
    return Markup('<figure class="chart scroll">{}{}</svg></figure>').format(head, Markup(body))


def line_plot(name: str, title: str, panels: Sequence[Panel]) -> Plot:
    """Return a plot of panels.

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
    columns, rows = min(PANELS_ACROSS, len(panels)), math.ceil(len(panels) / PANELS_ACROSS)
    figure = Figure(figsize=(max(5.6, 4.0 * columns), 1.0 + 3.0 * rows))
    figure.suptitle(plain(title))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel(panels[0].y_label)
    _add_legend(figure)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.set(title=plain(panel.name), xlabel=panel.x_label)
    if panel.y_log:
        axes.set_yscale("log")
        axes.minorticks_off()
    for line, colour, dashes in zip(panel.series, cycle(LINE_COLOURS), cycle(DASHES)):
        _draw_line(axes, panel, line, {"color": colour, "linestyle": dashes, "linewidth": 1.6})
    for marker, dashes in zip(panel.markers, cycle(MARKER_DASHES)):
        label = plain(marker.name)
        axes.axvline(marker.x, color=INK, linestyle=dashes, linewidth=1.2, label=label, gid=HOVER + marker.name)


def _draw_line(axes: Axes, panel: Panel, line: Series, style: dict[str, Any]) -> None:
    style |= {"label": plain(line.name), "gid": HOVER + line.name}
    if panel.steps:
        axes.stairs(line.ys, [*line.xs, 2.0 * line.xs[-1] - line.xs[-2]], baseline=None, **style)
        return
    axes.plot(line.xs, line.ys, marker="o" if len(line.xs) == 1 else None, **style)
    if panel.area_to is not None:
        xs = np.linspace(line.xs[0], panel.area_to, 200)
        axes.fill_between(xs, np.interp(xs, line.xs, line.ys), color=style["color"], alpha=0.1, linewidth=0.0)


def _add_legend(figure: Figure) -> None:
    """Explain the lines of all panels once, below them."""
    shown = {
        str(label): handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    widest = max(map(len, shown), default=0) + SAMPLE_LETTERS
    columns = max(1, int(LETTERS_PER_INCH * figure.get_figwidth() / widest))
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns)


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
    colours = dict(zip(_distinct(bar.name for _, bars in charts for bar in bars), cycle(LINE_COLOURS)))
    figure = Figure(figsize=(min(12.0, max(5.6, 1.6 + 0.8 * len(groups))), 1.0 + 2.4 * len(charts)))
    figure.suptitle(plain(title))
    stacked = figure.subplots(len(charts), 1, sharex=True, squeeze=False).flat
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
                axes.vlines(x, *bar.interval, color=INK, linewidth=1.4)
    axes.set_xticks(range(len(groups)), [plain(group) for group in groups], rotation=30, ha="right")
    axes.grid(visible=False, axis="x")


def scatter_chart(title: str, points: Sequence[ScatterPoint], *, x_label: str, y_label: str, salt: str) -> Markup:
    """Draw one run against another for a page; a point on the diagonal did not change.

    Parameters
    ----------
    title : str
        What the values are.
    points : sequence of ScatterPoint
        At least one; values 0 or more.
    x_label, y_label : str
        What the axes show.
    salt : str
        Sets the drawing apart from the others of the page.

    Returns
    -------
    Markup
        A ``figure``, both axes from 0 to the same value, every point a link with a name.
    """
    highest = max(max(point.x, point.y) for point in points) or 1.0
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 5.4))
        figure.suptitle(plain(title))
        axes = figure.subplots()
        axes.plot((0.0, highest), (0.0, highest), color=INK, linestyle="--", linewidth=1.2)
        for group, colour in zip(_distinct(point.group for point in points), cycle(LINE_COLOURS)):
            own = [point for point in points if point.group == group]
            places = [point.x for point in own], [point.y for point in own]
            style: dict[str, Any] = {"label": plain(group), "urls": [f"{point.link}|{point.name}" for point in own]}
            axes.scatter(*places, s=36.0, color=colour, alpha=0.65, linewidths=0.0, clip_on=False, **style)
        axes.set(xlim=(0.0, highest), ylim=(0.0, highest), aspect="equal")
        axes.set(xlabel=plain(fill(x_label, LABEL_WIDTH)), ylabel=plain(fill(y_label, LABEL_WIDTH)))
        _add_legend(figure)
        return inline_svg(title, _svg(figure, salt))


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def plain(text: str) -> str:
    """Return a text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")
