"""The history of every benchmark: ``history/<script>.csv``, kept in git, gets the rows of each run.

Beside what a script measured stand the date, the commit (with a ``+`` where the code differs from it), the load of the
machine, its processor and the versions of the packages that the script has imported.
"""

import csv
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).with_name("history")
CODE = "Snakefile", "rules", "src", "stages", "benchmarks", ":(exclude)benchmarks/history", ":(exclude)*.md"
PACKAGES = {
    "anomalib": "anomalib",
    "cv2": "opencv-python-headless",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "scipy": "scipy",
    "timm": "timm",
    "torch": "torch",
}
"""Distributions, by the names of their modules, whose versions are noted."""


def history_of(script: str) -> Path:
    """Return the table of a script, given its ``__file__``."""
    return FOLDER / f"{Path(script).stem}.csv"


def append(table: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Append rows and the circumstances of the measurement; columns that a table did not have yet are added to it.

    Parameters
    ----------
    table : Path
        A .csv file; it is made where there is none.
    rows : sequence of mapping
        What was measured, by column. A ``load`` that a row brings itself is kept.
    """
    known: list[dict[str, str]] = []
    if table.exists():
        with table.open(newline="", encoding="utf-8") as stream:
            known = list(csv.DictReader(stream))
    every: list[Mapping[str, object]] = [*known, *({**circumstances(), **row} for row in rows)]
    columns = list(dict.fromkeys(name for row in every for name in row))
    table.parent.mkdir(parents=True, exist_ok=True)
    draft = table.with_suffix(".draft")
    with draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)
    draft.replace(table)  # who is stopped while writing loses nothing


def circumstances() -> dict[str, str]:
    """Return date, commit, load, processor and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "processor": f"{processor()}, {os.cpu_count()} threads",
        "versions": versions(),
    }


def commit() -> str:
    """Return the commit, with a plus where tracked files differ from it; nothing outside a git repository."""
    head = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    return f"{head}+" if changed else head


def _git(*arguments: str) -> str:
    if shutil.which("git") is None:
        return ""
    found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def processor() -> str:
    """Return the name of the processor as Linux knows it, else its architecture."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> str:
    """Return the versions of Python and of the noted packages that are imported."""
    imported = [package for module, package in PACKAGES.items() if module in sys.modules]
    return "; ".join(
        [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in imported)]
    )
