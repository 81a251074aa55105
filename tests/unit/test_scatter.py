"""The scatter chart of two runs."""

import re
from xml.etree import ElementTree

import pytest

from seamark.report.scatter import SIDE, Point, scatter_chart


def svg_of(markup):
    return ElementTree.fromstring(re.search(r"<svg viewBox=\"0 0 360.*?</svg>(?=<ul)", str(markup), re.DOTALL).group())


@pytest.mark.parametrize("values", [[(0.0, 0.0)], [(0.2, 1.0), (1.0, 0.2)], [(0.0, 37.5), (1e-6, 0.0)]])
def test_points_lie_in_the_drawing_and_equal_values_on_the_diagonal(values):
    points = [Point(x, y, "cup", "n", "#a") for x, y in [*values, (values[0][0], values[0][0])]]
    circles = list(svg_of(scatter_chart("t", points, x_label="x", y_label="y")).iter("circle"))
    places = [(float(circle.get("cx")), float(circle.get("cy"))) for circle in circles]
    assert len(places) == len(points)
    assert all(0 <= x <= SIDE and 0 <= y <= SIDE for x, y in places)
    diagonal = re.search(
        r'class="marker" d="M(\d+) (\d+)L(\d+) (\d+)"', str(scatter_chart("t", points, x_label="", y_label=""))
    )
    left, bottom, right, top = map(int, diagonal.groups())
    share = (places[-1][0] - left) / (right - left)
    assert places[-1][1] == pytest.approx(bottom + share * (top - bottom), abs=0.2)


def test_groups_have_colours_and_a_legend():
    points = [Point(0.1, 0.2, name, name, f"#{name}") for name in ("cup", "plate", "cup")]
    chart = scatter_chart("t", points, x_label="x", y_label="y")
    assert [circle.get("class")[-2:] for circle in svg_of(chart).iter("circle")] == ["s0", "s1", "s0"]
    assert str(chart).count("<li>") == 2


def test_names_are_escaped():
    point = Point(0.1, 0.2, "<g>", "<n>&", '#"><b>')
    chart = str(scatter_chart("<t>", [point], x_label="<x>", y_label='"y"'))
    for raw in ("<g>", "<n>", "<b>", "<t>", "<x>"):
        assert raw not in chart
    svg_of(chart)
