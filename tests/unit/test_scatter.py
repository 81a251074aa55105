"""The scatter chart of two runs."""

import re
from xml.etree import ElementTree

import pytest

from seamark.report.drawing import LINE_COLOURS, VARIABLES, ScatterPoint, scatter_chart


def scatter(points, title="t", x_label="x", y_label="y"):
    return str(scatter_chart(title, points, x_label=x_label, y_label=y_label, salt="s"))


def svg_of(chart):
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", chart, re.DOTALL).group())


def places(chart):
    """Middle of each point in the drawing."""
    found = []
    for link in svg_of(chart).iter("a"):
        used, drawn = link.find(".//use"), link.find(".//path")
        if used is not None:
            found.append((float(used.get("x")), float(used.get("y"))))
        else:
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", drawn.get("d"))]
            found.append(tuple((max(numbers[axis::2]) + min(numbers[axis::2])) / 2 for axis in (0, 1)))
    return found


@pytest.mark.parametrize("values", [[(0.0, 0.0)], [(0.2, 1.0), (1.0, 0.2)], [(0.0, 37.5), (1e-6, 0.0)]])
@pytest.mark.parametrize("copies", [1, 30])
def test_points_lie_in_the_drawing_and_equal_values_on_the_diagonal(values, copies):
    ends = [(0.0, 0.0), (highest := max(max(pair) for pair in values), highest)]
    pairs = [*values, (values[0][0], values[0][0]), *ends] * copies
    chart = scatter([ScatterPoint(x, y, "cup", "n", "#a") for x, y in pairs])
    found = places(chart)
    width, height = map(float, svg_of(chart).get("viewBox").split()[2:])
    assert len(found) == len(pairs)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in found)
    diagonal, low, high = found[len(values) : len(values) + 3]
    share = (diagonal[0] - low[0]) / ((high[0] - low[0]) or 1.0)
    assert diagonal[1] == pytest.approx(low[1] + share * (high[1] - low[1]), abs=0.2)


def test_groups_have_colours_and_a_legend():
    points = [ScatterPoint(0.1, 0.2, name, name, f"#{name}") for name in ("cup", "plate", "cup")]
    chart = scatter(points)
    drawn = re.findall(r'<a href="#(\w+)"><title>(\w+)</title>.*?(var\(--s\d\))', chart)
    first, second = (f"var(--{VARIABLES[colour]})" for colour in LINE_COLOURS[:2])
    assert drawn == [("cup", "cup", first), ("cup", "cup", first), ("plate", "plate", second)]
    assert {">cup</text>", ">plate</text>"} <= set(re.findall(r">\w+</text>", chart))


def test_names_are_escaped():
    point = ScatterPoint(0.1, 0.2, "<q>", "<n>&|$x$", "#a")
    chart = scatter([point], "<t>", "<x>", '"y"')
    for raw in ("<q>", "<n>", "<t>", "<x>"):
        assert raw not in chart
    svg_of(chart)
    assert "<title>&lt;n&gt;&amp;|$x$</title>" in chart
