"""Line charts as inline SVG, coloured by the page's style sheet so that they follow the light and the dark theme."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from seamark.manifests.model import PhaseRecord
from seamark.maps.float16_scores import Histogram, key_scores, quantile

WIDTH, HEIGHT = 480, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 22, 40
BINS = 80
"""Bins of a score histogram on the page."""
TAIL = 1e-4
"""Share of the pixels that may lie left of the chart, so that a few very low scores do not flatten it."""
LOG_RATIO = 30.0
"""A loss that shrinks by more than this is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]


@dataclass(frozen=True)
class Marker:
    """A labelled vertical line."""

    name: str
    x: float


@dataclass(frozen=True)
class Axis:
    """Maps values of one axis to SVG units."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, in SVG units."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values within the axis."""
        if self.log:
            decades = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            step = max(1, math.ceil(len(decades) / 6))
            return [10.0**exponent for exponent in decades if exponent % step == 0]
        raw = (self.high - self.low) / 5
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step_size = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
        first = math.ceil(self.low / step_size - 1e-9)
        last = math.floor(self.high / step_size + 1e-9)
        return [count * step_size for count in range(first, last + 1)]


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    y_log: bool = False,
    markers: Sequence[Marker] = (),
) -> Markup:
    """Draw lines over a common axis.

    Parameters
    ----------
    title : str
        Accessible name of the chart.
    series : sequence of Series
        At least one point in all; ys positive for a logarithmic axis.
    x_label, y_label : str
        What the axes show.
    y_log : bool
        Whether the y axis is logarithmic.
    markers : sequence of Marker
        Vertical lines.

    Returns
    -------
    Markup
        A ``figure`` with SVG and legend; all text escaped.
    """
    xs = [x for line in series for x in line.xs] + [marker.x for marker in markers]
    ys = [y for line in series for y in line.ys]
    x_axis = _axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_axis = _axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP, log=y_log)
    parts = [*_grid(x_axis, y_axis, x_label, y_label)]
    parts += [_line(position, line, x_axis, y_axis) for position, line in enumerate(series)]
    parts += [_marker(marker, x_axis) for marker in markers]
    legend = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 24 8" class="key" aria-hidden="true"><path class="line s{}" d="M0 4H24"/></svg>'
            "{}</li>"
        ).format(position % 6, line.name)
        for position, line in enumerate(series)
    )
    return Markup(
        '<figure class="chart"><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
        '<ul class="legend">{}</ul></figure>'
    ).format(WIDTH, HEIGHT, title, Markup("").join(parts), legend)


def _axis(low: float, high: float, start: float, end: float, *, log: bool = False) -> Axis:
    if log:
        first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
        return Axis(10.0**first, 10.0 ** max(last, first + 1), start, end, log=True)
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-9):
        margin = max(abs(high) * 0.1, 1e-6)
        return Axis(low - margin, high + margin, start, end)
    return Axis(low, high, start, end)


def _tick_label(value: float, axis: Axis) -> str:
    if axis.log:
        exponent = round(math.log10(value))
        return f"{value:g}" if -3 <= exponent <= 3 else f"1e{exponent}"
    return f"{0.0 if abs(value) < 1e-12 * (axis.high - axis.low) else value:.4g}"


def _grid(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> list[Markup]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in y_axis.ticks():
        y = y_axis.place(value)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, right))
        label = _tick_label(value, y_axis)
        parts.append(Markup('<text x="{}" y="{:.1f}" class="end">{}</text>').format(LEFT - 6, y + 4, label))
    for value in x_axis.ticks():
        x = x_axis.place(value)
        parts.append(Markup('<path class="tick" d="M{:.1f} {}v4"/>').format(x, bottom))
        label = _tick_label(value, x_axis)
        parts.append(Markup('<text x="{:.1f}" y="{}" class="middle">{}</text>').format(x, bottom + 17, label))
    parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(LEFT, bottom, right))
    middle = (LEFT + right) / 2
    parts.append(Markup('<text x="{:.0f}" y="{}" class="middle label">{}</text>').format(middle, HEIGHT - 6, x_label))
    parts.append(Markup('<text x="4" y="12" class="label">{}</text>').format(y_label))
    return parts


def _line(position: int, line: Series, x_axis: Axis, y_axis: Axis) -> Markup:
    points = [(x_axis.place(x), y_axis.place(y)) for x, y in zip(line.xs, line.ys, strict=True)]
    style = position % 6
    if len(points) == 1:
        return Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>').format(
            style, *points[0], line.name
        )
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup('<path class="line s{}" d="{}"><title>{}</title></path>').format(style, path, line.name)


def _marker(marker: Marker, x_axis: Axis) -> Markup:
    x = x_axis.place(marker.x)
    anchor = "end" if x > (LEFT + WIDTH - RIGHT) / 2 else "start"
    shift = -4 if anchor == "end" else 4
    return Markup('<path class="marker" d="M{:.1f} {}V{}"/><text x="{:.1f}" y="{}" class="{} label">{}</text>').format(
        x, TOP - 6, HEIGHT - BOTTOM, x + shift, TOP + 4, anchor, marker.name
    )


def share_above(histogram: Histogram, value: float) -> float:
    """Return the share of pixels, 0..1, whose score rounded to float16 is above a value.

    Parameters
    ----------
    histogram : ndarray of int64, shape (65536,)
        Pixels per float16 score in ascending order.
    value : float
        Threshold in raw score units.

    Returns
    -------
    float
        0 for an empty histogram.
    """
    scores = key_scores()
    above = int(histogram[np.nan_to_num(scores, nan=-np.inf) > value].sum())
    return above / max(1, int(histogram.sum()))


def score_chart(title: str, histograms: dict[str, Histogram], markers: Sequence[Marker]) -> Markup:
    """Draw the score histograms of all splits with the thresholds.

    Parameters
    ----------
    title : str
        Accessible name.
    histograms : dict of str to ndarray of int64, shape (65536,)
        Pixels per float16 score by split, each with at least one pixel.
    markers : sequence of Marker
        Thresholds in raw score units.

    Returns
    -------
    Markup
        The chart: share of the split's pixels per bin, logarithmic.
    """
    low = min([*(quantile(row, TAIL) for row in histograms.values()), *(marker.x for marker in markers)])
    high = max([*(quantile(row, 1.0) for row in histograms.values()), *(marker.x for marker in markers)])
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    shares = {name: _binned(row, edges) for name, row in histograms.items()}
    floor = 10.0 ** math.floor(math.log10(min(float(share[share > 0].min()) for share in shares.values())))
    series = [
        Series(name, tuple(np.repeat(edges, 2)[1:-1].tolist()), tuple(np.repeat(np.maximum(share, floor), 2).tolist()))
        for name, share in shares.items()
    ]
    return line_chart(
        title, series, x_label="raw score", y_label="share of pixels per bin", y_log=True, markers=markers
    )


def _binned(histogram: Histogram, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Share of the pixels per bin; what lies left of the first edge counts into the first bin."""
    occupied = np.flatnonzero(histogram)
    bins = np.clip(np.searchsorted(edges, key_scores()[occupied], side="right") - 1, 0, BINS - 1)
    counts = np.bincount(bins, weights=histogram[occupied].astype(np.float64), minlength=BINS)
    return np.asarray(counts / histogram.sum(), dtype=np.float64)


def training_chart(phase: PhaseRecord) -> Markup | None:
    """Draw the losses of one training phase.

    Parameters
    ----------
    phase : PhaseRecord
        Steps and losses.

    Returns
    -------
    Markup or None
        None for a phase without noted losses.
    """
    steps = tuple(float(step) for step in phase.curve_steps)
    series = [Series(name, steps, values) for name, values in phase.losses.items() if values]
    if not steps or not series:
        return None
    values = [value for line in series for value in line.ys]
    y_log = min(values) > 0.0 and max(values) > LOG_RATIO * min(values)
    title = f"training curve of phase {phase.name}"
    return line_chart(title, series, x_label=f"step ({phase.name})", y_label="loss", y_log=y_log)
