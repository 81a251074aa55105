"""The comparison as CSV with full precision, and as Markdown for other people's texts."""

import csv
import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from seamark.comparison.differences import ComparedRow, ComparedScore, ComparedSubset
from seamark.evaluation.summary import INTERVALS, MEAN, WHOLE_SPLIT
from seamark.files.atomic import atomic_write

MAIN_SCORES = ("auc_pro", "coarse_seg_f1", "refined_seg_f1", "refined_class_f1")
"""The scores of the compact table, by name as in the summary."""

ENDS = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
"""Columns of each score in the CSV."""

DASH = "–"


def score_labels(fpr_limit: float) -> dict[str, str]:
    """Return the name that each score has on a page, by its name in the summary.

    Parameters
    ----------
    fpr_limit : float
        False-positive rate up to which AucPro is integrated.

    Returns
    -------
    dict of str to str
        In the order of the columns.
    """
    return {
        "auc_pro": f"AucPro_{fpr_limit:g}",
        "coarse_seg_f1": "SegF1 coarse",
        "refined_seg_f1": "SegF1 refined",
        "pixel_auroc": "pixel AUROC",
        "pixel_ap": "pixel AP",
        "image_auroc": "image AUROC",
        "iap": "IAP",
        "refined_class_f1": "ClassF1",
    }


def changed_settings(changes: str) -> list[str]:
    """Return one ``section.key: value`` per setting of a YAML text.

    Parameters
    ----------
    changes : str
        Nested mappings; may be empty.

    Returns
    -------
    list of str
        In the order of the text; lists in one line.
    """
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
        head = ("run", "changes", "category", "split", "light", "mean_over", "images", "bad_images")
        writer.writerow([*head, *scores, "manifests"])
        for subset in subsets:
            over = " ".join(subset.categories) if subset.category == MEAN else ""
            for row in subset.rows:
                facts = [subset.category, subset.split, subset.light, over, subset.images, subset.bad_images]
                cells = [cell for name in INTERVALS for cell in _csv_cells(row.scores.get(name))]
                paths = " ".join(path.as_posix() for path in row.paths)
                writer.writerow([row.run, changed[row.number], *facts, *cells, paths])


def _csv_cells(score: ComparedScore | None) -> list[str]:
    if score is None:
        return [""] * len(ENDS)
    interval, difference = score.interval or (None, None), score.difference_interval or (None, None)
    values = (score.value, *interval, score.difference, *difference)
    return ["" if value is None else repr(value) for value in values]


def write_markdown(
    target: Path, title: str, subsets: Sequence[ComparedSubset], changes: Sequence[str], fpr_limit: float
) -> None:
    """Write the compact table, runs against splits and main scores, for the mean and for every category.

    Parameters
    ----------
    target : Path
        File to write.
    title : str
        Heading.
    subsets : sequence of ComparedSubset
        What was compared.
    changes : sequence of str
        YAML of the settings that differ from the first run, per run.
    fpr_limit : float
        Of AucPro.
    """
    whole = [subset for subset in subsets if subset.light == WHOLE_SPLIT]
    lines = [f"# {_escaped(title)}", "", "Best value of each column in bold."]
    for category in dict.fromkeys(subset.category for subset in whole):
        of_category = [subset for subset in whole if subset.category == category]
        lines += ["", f"## {_heading(of_category)}", "", *_table(of_category, changes, fpr_limit)]
    with atomic_write(target) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _heading(subsets: Sequence[ComparedSubset]) -> str:
    if subsets[0].category != MEAN:
        return _escaped(subsets[0].category)
    over = dict.fromkeys(f"{subset.split}: {', '.join(subset.categories) or 'none'}" for subset in subsets)
    return f"Mean over the categories that all runs have ({_escaped('; '.join(over))})"


def _table(subsets: Sequence[ComparedSubset], changes: Sequence[str], fpr_limit: float) -> list[str]:
    labels = score_labels(fpr_limit)
    columns = [f"{subset.split} {labels[name]}" for subset in subsets for name in MAIN_SCORES]
    lines = ["| " + " | ".join(["run", "changed", *columns]) + " |"]
    lines.append("|" + "---|" * 2 + "---:|" * len(columns))
    for rows in zip(*(subset.rows for subset in subsets), strict=True):
        changed = "<br>".join(_escaped(line) for line in changed_settings(changes[rows[0].number]))
        cells = [_markdown_cell(row, name) for row in rows for name in MAIN_SCORES]
        lines.append("| " + " | ".join([_escaped(rows[0].run), changed, *cells]) + " |")
    return lines


def _markdown_cell(row: ComparedRow, name: str) -> str:
    score = row.scores.get(name)
    if score is None or score.value is None:
        return DASH
    return f"**{score.value:.3f}**" if score.best else f"{score.value:.3f}"


def _escaped(text: str) -> str:
    """Return text that neither HTML nor a Markdown table takes for its own."""
    plain = html.escape(" ".join(text.split()), quote=False)
    for sign in "\\|*_`[]#":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
