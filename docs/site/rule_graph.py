"""The graph of the stages, drawn from its text as an SVG picture."""

import re
from collections import defaultdict

EDGE = re.compile(r"(\w+) --> (\w+)")
WIDTH, HEIGHT, ACROSS, DOWN = 84, 24, 108, 48
"""Size of a box, and distances of neighbouring boxes, in px."""


def drawn_graph(text: str) -> str:
    """Return an SVG element of a graph without cycles, given by lines ``a --> b``; what follows stands below."""
    edges = EDGE.findall(text)
    rows: dict[str, int] = {}

    def row(name: str) -> int:
        if name not in rows:
            rows[name] = max((row(before) + 1 for before, after in edges if after == name), default=0)
        return rows[name]

    of_row: dict[int, list[str]] = defaultdict(list)
    follows = {before: max((row(after) for start, after in edges if start == before), default=0) for before, _ in edges}
    names = {name for edge in edges for name in edge}
    for name in sorted(names, key=lambda one: (follows.get(one, 0) - row(one), one)):
        of_row[row(name)].append(name)
    place = {name: (ACROSS * column, DOWN * down) for down, line in of_row.items() for column, name in enumerate(line)}
    boxes = [
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
        f'<text x="{x + WIDTH / 2}" y="{y + 16}">{name}</text>'
        for name, (x, y) in place.items()
    ]
    size = ACROSS * max(map(len, of_row.values())), DOWN * len(of_row) - HEIGHT
    lines = [_line(place[before], place[after]) for before, after in edges]
    return (
        f'<svg class="stages" width="{size[0]}" viewBox="-1 -1 {size[0]} {size[1] + 2}">{"".join(lines + boxes)}</svg>'
    )


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    x0, y0, x1, y1 = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1]
    turn = y1 - DOWN / 2  # straight down beside the boxes of the rows between, then across
    return f'<path d="M{x0} {y0}V{turn}C{x0} {y1 - 4} {x1} {turn} {x1} {y1}"/>'
