"""The comparison as CSV with full precision."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from seamark.comparison.differences import ComparedScore, ComparedSubset
from seamark.evaluation.summary import IMAGES, INTERVALS, MEAN
from seamark.files.atomic import atomic_write
from seamark.files.tables import as_text

ENDS = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
"""Columns of each score in the CSV."""


def changed_settings(changes: str) -> list[str]:
    """Return one ``section.key: value`` per setting of a YAML text, which may be empty; lists in one line."""
    return list(_flattened("", yaml.safe_load(changes)))


def _flattened(prefix: str, value: object) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flattened(f"{prefix}.{key}" if prefix else str(key), inner)
    elif prefix or value is not None:
        text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
        text = text.removesuffix("\n").removesuffix("\n...")
        yield f"{prefix}: {text}" if prefix else text


def write_csv(target: Path, subsets: Sequence[ComparedSubset], changes: Sequence[str]) -> None:
    """Write every run on every split, light and mean: full precision, an empty cell where a score is undefined.

    Parameters
    ----------
    target : Path
        File to write.
    subsets : sequence of ComparedSubset
        What was compared.
    changes : sequence of str
        YAML of the settings that differ from the first run, per run.
    """
    scores = [f"{name}{end}" for name in INTERVALS for end in ENDS]
    changed = ["; ".join(changed_settings(text)) for text in changes]
    with atomic_write(target) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = ("run", "changes", "category", "split", "light", "mean_over", *IMAGES)
        writer.writerow([*head, *scores, "manifests"])
        for subset in subsets:
            over = " ".join(subset.categories) if subset.category == MEAN else ""
            for row in subset.rows:
                names = map(as_text, (subset.category, subset.split, subset.light, over))
                facts = [*names, *(getattr(subset, name) for name in IMAGES)]
                cells = [cell for name in INTERVALS for cell in _csv_cells(row.scores.get(name))]
                paths = " ".join(path.as_posix() for path in row.paths)
                writer.writerow([row.run, changed[row.number], *facts, *cells, paths])


def _csv_cells(score: ComparedScore | None) -> list[str]:
    if score is None:
        return [""] * len(ENDS)
    interval, difference = score.interval or (None, None), score.difference_interval or (None, None)
    values = (score.value, *interval, score.difference, *difference)
    return ["" if value is None else repr(value) for value in values]
