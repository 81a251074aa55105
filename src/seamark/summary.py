"""The table of all categories, splits and light conditions, with the mean over the categories."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean

from seamark.artifacts import committed_file
from seamark.manifests.evaluation import EvaluationManifest, SubsetScores
from seamark.settings.base import Split

MEAN = "mean"
"""Stands in the category column of the mean over the categories."""

WHOLE_SPLIT = "all"
"""Stands in the light column of a whole split."""


@dataclass(frozen=True)
class SummaryRow:
    """Scores of one category, split and light condition, or their mean over the categories; None where undefined."""

    category: str
    split: Split
    light: str
    images: int
    bad_images: int
    auc_pro: float | None
    pixel_auroc: float | None
    image_auroc: float | None
    coarse_seg_f1: float | None
    refined_seg_f1: float | None
    coarse_class_f1: float | None
    refined_class_f1: float | None
    class_f1_floor: float | None


SCORES = tuple(field.name for field in fields(SummaryRow) if field.type == float | None)
"""The columns that are averaged."""


def summary_rows(manifests: Sequence[EvaluationManifest]) -> list[SummaryRow]:
    """List the scores of all categories, then one mean row per split.

    Parameters
    ----------
    manifests : sequence of EvaluationManifest
        One per category.

    Returns
    -------
    list of SummaryRow
        Categories in alphabetical order, each with its splits and lights in the order of its manifest. A mean is over
        the categories that have the split, every category counting the same, and None if one of their scores is.
    """
    ordered = sorted(manifests, key=lambda manifest: manifest.category)
    rows = [_row(manifest.category, subset) for manifest in ordered for subset in manifest.subsets]
    whole = [row for row in rows if row.light == WHOLE_SPLIT]
    splits = dict.fromkeys(row.split for row in whole)
    return rows + [_mean_row([row for row in whole if row.split == split]) for split in splits]


def _row(category: str, subset: SubsetScores) -> SummaryRow:
    return SummaryRow(
        category=category,
        split=subset.split,
        light=subset.light,
        images=subset.images,
        bad_images=subset.bad_images,
        auc_pro=subset.auc_pro,
        pixel_auroc=subset.pixel_auroc,
        image_auroc=subset.image_auroc,
        coarse_seg_f1=subset.coarse.seg_f1,
        refined_seg_f1=subset.refined.seg_f1,
        coarse_class_f1=subset.coarse.class_f1,
        refined_class_f1=subset.refined.class_f1,
        class_f1_floor=subset.class_f1_floor,
    )


def _mean_row(rows: Sequence[SummaryRow]) -> SummaryRow:
    def mean(name: str) -> float | None:
        values = [getattr(row, name) for row in rows]
        return None if None in values else fmean(values)

    images, bad_images = sum(row.images for row in rows), sum(row.bad_images for row in rows)
    return SummaryRow(MEAN, rows[0].split, WHOLE_SPLIT, images, bad_images, **{name: mean(name) for name in SCORES})


def write_summary(path: Path, rows: Sequence[SummaryRow]) -> None:
    """Write the table as CSV: a header, six decimals, an empty cell where a score is undefined.

    Parameters
    ----------
    path : Path
        Target.
    rows : sequence of SummaryRow
        As :func:`summary_rows` gives them.
    """
    with committed_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(field.name for field in fields(SummaryRow))
        table.writerows(map(_cell, astuple(row)) for row in rows)


def _cell(value: object) -> object:
    return f"{value:.6f}" if isinstance(value, float) else value
