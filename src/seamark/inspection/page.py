"""The page of inspected photographs, those first that need a look."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seamark.files.atomic import atomic_write
from seamark.files.tables import name_of
from seamark.inspection.folder import HEADER, UNREAD, InspectionFolder
from seamark.inspection.inspector import Inspector
from seamark.report.pages import render

ORDER = ("bad", "look", UNREAD, "good")


def counts_line(rows: Sequence[Sequence[str]]) -> str:
    """Return how many photographs have which answer: ``12 photographs: 2 bad, 10 good``."""
    answers = Counter(row[HEADER.index("answer")] for row in rows)
    parts = ", ".join(f"{answers[answer]} {answer}" for answer in ORDER if answers[answer])
    return f"{len(rows)} photograph{'' if len(rows) == 1 else 's'}" + (f": {parts}" if parts else "")


def write_page(into: InspectionFolder, inspector: Inspector) -> Path:
    """Write the page of all rows and return where it is."""
    page = into.folder / "index.html"
    rows: list[dict[str, Any]] = []
    for cells in into.table.rows:
        row: dict[str, Any] = dict(zip(HEADER, cells, strict=True))
        name = name_of(row["image"])
        rows.append(row | {"image": name, "overlay": None if row["answer"] == UNREAD else into.overlay(name)})
    rows.sort(key=lambda row: (ORDER.index(row["answer"]), float(row["p"] or 1.0), row["image"]))
    facts = {
        "manifest": inspector.manifest,
        "basis": inspector.basis,
        "counts": counts_line(into.table.rows),
        "random": any(member.frozen is None for member in inspector.manifest.members),
        "rows": rows,
    }
    with atomic_write(page) as draft:
        draft.write_text(render("inspection.html.j2", page, facts, ["report.css", "inspection.css"]), encoding="utf-8")
    return page
