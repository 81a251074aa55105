"""The table of all categories, splits and light conditions, with the mean over the categories."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import fmean
from typing import Any

from seamark.files.atomic import atomic_write
from seamark.files.tables import as_text
from seamark.manifests.evaluation import EvaluationManifest, RateScores, SubsetScores
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
    left_out_images: int
    """Of all images, those that scores of pixels and defects leave out."""
    auc_pro: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    image_auroc: float | None
    iap: float | None
    iap_at_recall: float | None
    coarse_seg_f1: float | None
    refined_seg_f1: float | None
    oracle_seg_f1: float | None
    """The threshold was chosen with the truth at hand."""
    coarse_class_f1: float | None
    refined_class_f1: float | None
    class_f1_floor: float | None
    bad_found: int
    """Bad images called bad."""
    bad_false_alarms: int
    """Good images called bad."""
    bad_tpr: float | None
    bad_fpr: float | None
    bad_balanced_accuracy: float | None
    look_found: int
    """Bad images called bad or look."""
    look_false_alarms: int
    """Good images called bad or look."""
    look_tpr: float | None
    look_fpr: float | None
    look_balanced_accuracy: float | None
    recall_below_100_px: float | None
    """Share of the defects of this size that the refined masks find."""
    recall_100_to_1000_px: float | None
    recall_above_1000_px: float | None
    seam_ratio: float | None
    """Mean score jump across tile borders over that elsewhere."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap interval by column; none for a mean over the categories."""


IMAGES = ("images", "bad_images", "left_out_images")
"""The columns that number images."""

COUNTS = (*IMAGES, "bad_found", "bad_false_alarms", "look_found", "look_false_alarms")
"""The columns that are added up."""

SCORES = tuple(column.name for column in fields(SummaryRow) if column.type == float | None)
"""The columns that are averaged."""

INTERVALS = SCORES[: SCORES.index("class_f1_floor")]
"""The columns that have an interval: those of maps and masks, which stand before the floor."""

IMAGE_SCORES = ("image_auroc", "coarse_class_f1", "refined_class_f1")
"""Those of them for which the label of an image is enough."""


def summary_rows(manifests: Sequence[EvaluationManifest]) -> list[SummaryRow]:
    """List the scores of all categories, then one mean row per split.

    Categories are in alphabetical order, each with its splits and lights in the order of its manifest. A mean is over
    the categories that have the split, every category counting the same, and None if one of their scores is.
    """
    ordered = sorted(manifests, key=lambda manifest: manifest.category)
    rows = [_row(manifest.category, subset) for manifest in ordered for subset in manifest.subsets]
    whole = [row for row in rows if row.light == WHOLE_SPLIT]
    splits = dict.fromkeys(row.split for row in whole)
    return rows + [_mean_row([row for row in whole if row.split == split]) for split in splits]


def _row(category: str, subset: SubsetScores) -> SummaryRow:
    small, medium, large = (size.refined for size in subset.defects)
    return SummaryRow(
        category=category,
        **{column.name: getattr(subset, column.name) for column in fields(SummaryRow) if hasattr(subset, column.name)},
        coarse_seg_f1=subset.coarse.seg_f1,
        refined_seg_f1=subset.refined.seg_f1,
        coarse_class_f1=subset.coarse.class_f1,
        refined_class_f1=subset.refined.class_f1,
        **_verdict_columns("bad", subset.verdict.bad),
        **_verdict_columns("look", subset.verdict.look),
        recall_below_100_px=small,
        recall_100_to_1000_px=medium,
        recall_above_1000_px=large,
        seam_ratio=subset.seams.ratio,
    )


def _verdict_columns(rate: str, scores: RateScores) -> dict[str, Any]:
    return {
        f"{rate}_found": scores.found,
        f"{rate}_false_alarms": scores.false_alarms,
        f"{rate}_tpr": scores.true_positive_rate,
        f"{rate}_fpr": scores.false_positive_rate,
        f"{rate}_balanced_accuracy": scores.balanced_accuracy,
    }


def _mean_row(rows: Sequence[SummaryRow]) -> SummaryRow:
    def mean(name: str) -> float | None:
        values = [getattr(row, name) for row in rows]
        return None if None in values else fmean(values)

    values: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in COUNTS}
    values |= {name: mean(name) for name in SCORES}
    return SummaryRow(MEAN, rows[0].split, WHOLE_SPLIT, **values, intervals={})


def write_summary(path: Path, rows: Sequence[SummaryRow]) -> None:
    """Write the table as CSV: a header, six decimals, an empty cell where a score is undefined.

    The ends of the intervals follow the scores as further columns, ``<score>_low`` and ``<score>_high``.
    """
    with atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        columns = [column.name for column in fields(SummaryRow) if column.name != "intervals"]
        table.writerow(columns + [f"{score}_{end}" for score in INTERVALS for end in ("low", "high")])
        table.writerows(_cells(row, columns) for row in rows)


def _cells(row: SummaryRow, columns: Sequence[str]) -> list[object]:
    ends = [end for score in INTERVALS for end in row.intervals.get(score, (None, None))]
    return [_cell(value) for value in [*(getattr(row, column) for column in columns), *ends]]


def _cell(value: object) -> object:
    if isinstance(value, str):
        return as_text(value)
    return f"{value:.6f}" if isinstance(value, float) else value
