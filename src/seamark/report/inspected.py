"""The page of inspected photographs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seamark.report.pages import render


def render_inspected(page: Path, facts: Mapping[str, Any]) -> str:
    """Render the page that lies at ``page``; ``facts`` are manifest, basis, counts, random and rows, in their order."""
    return render("inspection.html.j2", page, facts, ["report.css", "inspection.css"])
