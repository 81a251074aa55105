"""The last words of a run: scores, warnings, and where archive and pages are; what is stale says so."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from seamark.errors import ManifestError
from seamark.evaluation.summary import MEAN, WHOLE_SPLIT, SummaryRow, summary_rows
from seamark.flow import EVERY, STAGES
from seamark.manifests.base import read_manifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.masks import MasksManifest
from seamark.planning.plan import Plan
from seamark.repair import snakemake_command
from seamark.verification.staleness import Staleness, mark_page

WIDTH = 100
"""Columns of a terminal that the table of scores fits."""

SCORE_COLUMNS = {
    "auc_pro": ("", "AucPro"),
    "coarse_seg_f1": ("SegF1", "coarse"),
    "refined_seg_f1": ("SegF1", "refined"),
    "refined_class_f1": ("ClassF1", "refined"),
    "class_f1_floor": ("ClassF1", "all bad"),
}
"""Two lines of heading by score."""


@dataclass(frozen=True)
class _Result:
    path: str
    """``{}`` stands for the run."""
    rule: str
    target: str
    opened: bool = True
    """Whether people open it; what others lead to is named only where it is stale."""


RESULTS = {
    "archive": _Result("submissions/{}.tar.gz", "package", "submission"),
    "check": _Result("submissions/{}.check.json", "package", "submission", opened=False),
    "report": _Result("out/{}/report/index.html", "report", "report_page"),
    "verdicts": _Result("out/{}/verdicts.csv", "report", "report_page"),
    "scores": _Result("out/{}/90_eval/summary.csv", "report", "report_page", opened=False),
    "compared": _Result("out/{}/comparison/index.html", "comparison", "compare"),
    "ablated": _Result("out/{}/ablation/index.html", "ablation", "ablate"),
}
"""What a run ends in, by its name; the rule that makes it, and the target that asks for it."""


def print_outcome(run: Plan, stream: TextIO = sys.stderr) -> None:
    """Print the scores of a run, what its masks warn of and where its results are, as far as they exist.

    Parameters
    ----------
    run : Plan
        The run.
    stream : text stream
        Where to print.
    """
    staleness = Staleness(_expected(run))
    lines = list(_score_lines(run.made("evaluate")(None), staleness))
    if lines := [*lines, *_warning_lines(run.made("binarize", split=EVERY)(None), staleness)]:
        stream.write("\n".join(["", *lines, ""]))
    stream.write("\n")
    for name, path, stale in _results(run, staleness):
        if stale or RESULTS[name].opened:
            stream.write(f"{name:8} {path}{stale and f'  {stale}'}\n")
    mark_pages(run)


def mark_pages(run: Plan) -> None:
    """Write beside the pages of a run whether they are stale and why; they show it when they are opened.

    Parameters
    ----------
    run : Plan
        The run.
    """
    for _, path, stale in _results(run, Staleness(_expected(run))):
        if path.suffix == ".html":
            mark_page(path, stale)


def _expected(run: Plan) -> dict[str, dict[str, Any]]:
    """Return the settings of now of all jobs that may stand behind a result, by path of a declared output."""
    last = {
        STAGES[rule].manifest.format(run=run.name): {
            "settings" if name == rule else name: run.settings(name)(None) for name in STAGES[rule].settings
        }
        for rule in ("package", "report")
    }
    return run.expected() | last


def _results(run: Plan, staleness: Staleness) -> Iterator[tuple[str, Path, str]]:
    """Yield name and path of the results that are there, and why they are stale, if they are."""
    for name, result in RESULTS.items():
        if (path := Path(result.path.format(run.name))).is_file():
            reason = staleness.reason(Path(run.out, "logs", f"{result.rule}.prov.json"))
            yield name, path, _stale(reason, result.target)


def _stale(reason: str | None, target: str) -> str:
    return f"stale: {reason}; make it again with: {snakemake_command(target)}" if reason else ""


def _score_lines(evaluations: Sequence[str], staleness: Staleness) -> Iterator[str]:
    """Yield the table of the categories whose scores are fresh, what it leaves out, and the others with a reason."""
    fresh, stale = [], []
    for path in map(Path, evaluations):
        if not path.is_file():
            continue
        if reason := staleness.reason(path.with_suffix(".prov.json")):
            stale.append(f"scores of {path.stem} are {_stale(reason, 'evaluation')}")
            continue
        try:
            fresh.append(read_manifest(path, EvaluationManifest))
        except ManifestError as error:
            stale.append(str(error))
    rows = [row for row in summary_rows(fresh) if row.light == WHOLE_SPLIT and not (stale and row.category == MEAN)]
    if rows:
        yield from _table(rows)
    for row in rows:
        if row.left_out_images and row.category != MEAN:
            yield (
                f"{row.category} {row.split}: {row.left_out_images} of {row.images} images have no truth of their "
                "pixels; only scores of images count them"
            )
    yield from stale


def _warning_lines(coarse: Sequence[str], staleness: Staleness) -> Iterator[str]:
    """Yield what fresh coarse masks warn of, each once."""
    told: dict[str, None] = {}
    for path in map(Path, coarse):
        if path.is_file() and not staleness.reason(path.with_suffix(".prov.json")):
            try:
                told |= {f"warning: {one.text}": None for one in read_manifest(path, MasksManifest).warnings}
            except ManifestError as error:
                told[str(error)] = None
    yield from told


def _table(rows: Sequence[SummaryRow]) -> list[str]:
    """Scores, then how many of the bad and how many of the good images are called bad."""
    headings = [("", "category"), ("", "split"), *SCORE_COLUMNS.values(), ("bad", "found"), ("false", "alarms")]
    cells = [list(line) for line in zip(*headings, strict=True)]
    for row in rows:
        figures = [_short(getattr(row, name)) for name in SCORE_COLUMNS]
        found = f"{row.bad_found} of {row.bad_images}"
        alarms = f"{row.bad_false_alarms} of {row.images - row.bad_images}"
        cells.append([row.category, row.split, *figures, found, alarms])
    widths = [max(len(line[place]) for line in cells) for place in range(len(headings))]
    widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - 2 * len(widths[1:]))
    for line in cells:
        line[0] = _fitted(line[0], widths[0])
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _fitted(name: str, width: int) -> str:
    """Leave out the middle of a name that is too long: names of categories differ at their ends."""
    head = (width - 1) // 2
    return name if len(name) <= width else f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
