"""The graph of the stages, drawn from its text as an SVG picture."""

import re
from itertools import count

EDGE = re.compile(r"(\w+) --> (\w+)")
WIDTH, HEIGHT, ACROSS, DOWN = 84, 24, 108, 48
"""Size of a box, and distances of neighbouring boxes, in px."""


def drawn_graph(text: str) -> str:
    """Return an SVG element of a graph without cycles, given by lines ``a --> b``; what follows stands below."""
    edges = EDGE.findall(text)
    rows = {name: _row(name, edges) for edge in edges for name in edge}
    columns: dict[str, int] = {}
    for name in sorted(rows, key=lambda one: (rows[one], min((rows[b] for a, b in edges if a == one), default=0), one)):
        beside = {columns[other] for other in columns if rows[other] == rows[name]}
        passing = {columns[a] for a, b in edges if a in columns and rows[a] < rows[name] < rows[b]}
        columns[name] = next(column for column in count() if column not in beside | passing)
    place = {name: (ACROSS * columns[name], DOWN * row) for name, row in rows.items()}
    boxes = [
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
        f'<text x="{x + WIDTH / 2}" y="{y + 16}">{name}</text>'
        for name, (x, y) in place.items()
    ]
    width, height = ACROSS * max(columns.values()) + WIDTH + 2, DOWN * max(rows.values()) + HEIGHT + 2
    picture = "".join([*(_line(place[before], place[after]) for before, after in edges), *boxes])
    return f'<svg class="stages" width="{width}" viewBox="-1 -1 {width} {height}">{picture}</svg>'


def _row(name: str, edges: list[tuple[str, str]]) -> int:
    """Return the length of the longest way to a box."""
    return max((_row(before, edges) + 1 for before, after in edges if after == name), default=0)


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    x0, y0, x1, y1 = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1]
    turn = y1 - DOWN + HEIGHT  # straight down beside the boxes of the rows between, then across
    return f'<path d="M{x0} {y0}V{turn}C{x0} {y1 - 4} {x1} {turn} {x1} {y1}"/>'
