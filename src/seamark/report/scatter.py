"""Scatter chart of two runs as inline SVG, one linked point per image, coloured by the page's style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from seamark.report.charts import Axis

SIDE = 360
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 22, 42
STYLES = 6
"""Colours of the style sheet."""


@dataclass(frozen=True)
class Point:
    """One image.

    Parameters
    ----------
    x, y : float
        Its value in the first run and in the other one, 0 or more.
    group : str
        What it is coloured by.
    name : str
        Shown when it is pointed at.
    link : str
        Where a click leads.
    """

    x: float
    y: float
    group: str
    name: str
    link: str


def scatter_chart(title: str, points: Sequence[Point], *, x_label: str, y_label: str) -> Markup:
    """Draw one run against another; a point on the diagonal did not change.

    Parameters
    ----------
    title : str
        Accessible name of the chart.
    points : sequence of Point
        At least one.
    x_label, y_label : str
        What the axes show.

    Returns
    -------
    Markup
        A ``figure`` with SVG and legend, both axes from 0 to the same value; all text escaped.
    """
    highest = max(max(point.x, point.y) for point in points) or 1.0
    x_axis, y_axis = Axis(0.0, highest, LEFT, SIDE - RIGHT), Axis(0.0, highest, SIDE - BOTTOM, TOP)
    groups = list(dict.fromkeys(point.group for point in points))
    parts = _frame(x_axis, y_axis, x_label, y_label)
    parts += [
        Markup(
            '<a href="{}"><circle class="dot point s{}" cx="{:.1f}" cy="{:.1f}" r="4.5"><title>{}</title></circle></a>'
        ).format(
            point.link, groups.index(point.group) % STYLES, x_axis.place(point.x), y_axis.place(point.y), point.name
        )
        for point in points
    ]
    legend = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 10 10" class="key" aria-hidden="true"><circle class="dot s{}" cx="5" cy="5" r="4"/>'
            "</svg>{}</li>"
        ).format(position % STYLES, group)
        for position, group in enumerate(groups)
    )
    return Markup(
        '<figure class="chart scatter"><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
        '<ul class="legend">{}</ul></figure>'
    ).format(SIDE, SIDE, title, Markup("").join(parts), legend)


def _frame(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> list[Markup]:
    parts = []
    for value in x_axis.ticks():
        x, y = x_axis.place(value), y_axis.place(value)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, SIDE - RIGHT))
        parts.append(Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(x, TOP, SIDE - BOTTOM))
        parts.append(Markup('<text x="{}" y="{:.1f}" class="end">{:.4g}</text>').format(LEFT - 6, y + 4, value))
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="middle">{:.4g}</text>').format(x, SIDE - BOTTOM + 17, value)
        )
    diagonal = (LEFT, SIDE - BOTTOM, SIDE - RIGHT, TOP)
    parts.append(Markup('<path class="marker" d="M{} {}L{} {}"/>').format(*diagonal))
    middle = (LEFT + SIDE - RIGHT) / 2
    parts.append(Markup('<text x="{:.0f}" y="{}" class="middle label">{}</text>').format(middle, SIDE - 6, x_label))
    parts.append(Markup('<text x="4" y="12" class="label">{}</text>').format(y_label))
    return parts
