"""What a run says at its end: where the archive and the report are, and the scores."""

import csv
import sys
from pathlib import Path
from typing import TextIO

COLUMNS = ("category", "split", "auc_pro", "coarse_seg_f1", "refined_seg_f1", "refined_class_f1", "class_f1_floor")


def print_outcome(run: str, stream: TextIO = sys.stderr) -> None:
    """Print where the results of a run are and its scores, as far as they exist.

    Parameters
    ----------
    run : str
        Name of the run.
    stream : text stream
        Where to print.
    """
    summary = Path("out") / run / "90_eval" / "summary.csv"
    if summary.is_file():
        with summary.open(encoding="utf-8", newline="") as table:
            rows = [row for row in csv.DictReader(table) if row["light"] == "all"]
        stream.write("\n".join(["", *_table(rows), ""]))
    places = {
        "archive": Path("submissions") / f"{run}.tar.gz",
        "check": Path("submissions") / f"{run}.check.json",
        "report": Path("out") / run / "report" / "index.html",
        "scores": summary,
        "compared": Path("out") / run / "comparison" / "index.html",
        "ablated": Path("out") / run / "ablation" / "index.html",
    }
    stream.write("\n")
    for name, path in places.items():
        if path.is_file():
            stream.write(f"{name:8} {path}\n")


def _table(rows: list[dict[str, str]]) -> list[str]:
    cells = [list(COLUMNS), *([_short(row.get(column, "")) for column in COLUMNS] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _short(value: str) -> str:
    """Three decimals for a number, a dash for a figure that is undefined, and text as it is."""
    try:
        return f"{float(value):.3f}"
    except ValueError:
        return value or "-"
