"""Thresholds in plain words: which rule, which value, whose pixels, and how much of the validation split lies above."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seamark.manifests.masks import MasksManifest, ThresholdRecord
from seamark.manifests.preview import PreviewManifest
from seamark.maps.float16_scores import Histogram, key_scores
from seamark.report.drawing import Marker
from seamark.settings.binarize import Normal

UNSEEN = "each scored by a model that has not seen it"
NORMAL_IMAGES: Mapping[Normal, str] = {
    "validation": "validation images only",
    "validation_variants": "variants of validation images only",
    "train_crossfit": f"training images only, {UNSEEN}",
    "validation_and_crossfit": f"validation images, and training images, {UNSEEN}",
    "validation_and_variants": "validation images and variants of them",
}


@dataclass(frozen=True)
class ThresholdRow:
    """The thresholds of one rule, for one or more splits that have the same ones."""

    category: str
    splits: tuple[str, ...]
    rule: str
    low: float | None
    high: float | None
    """Lowest and highest value over the images; None when the rule found none for any image."""
    without: int
    """Images for which the rule found no threshold."""
    scope: str
    """Whose pixels the threshold comes from."""
    sees_test_images: bool
    validation_shares: tuple[float, ...]
    """Share of the validation pixels, 0..1, above the lowest and, where it differs, the highest value."""
    paths: tuple[Path, ...]
    """Manifests of the coarse masks."""


def threshold_rows(
    coarse: Mapping[Path, MasksManifest], validation: Mapping[str, Histogram]
) -> tuple[ThresholdRow, ...]:
    """Summarise the thresholds of all coarse masks.

    Parameters
    ----------
    coarse : mapping of Path to MasksManifest
        Manifests of the binarize stage by their path.
    validation : mapping of str to ndarray of int64, shape (65536,)
        Histogram of the validation scores by category.

    Returns
    -------
    tuple of ThresholdRow
        By category and rule, in the order of the manifests.
    """
    rows: dict[tuple[object, ...], ThresholdRow] = {}
    for path, manifest in coarse.items():
        for rule in dict.fromkeys(record.rule for mask in manifest.masks for record in mask.thresholds):
            row = _row(path, manifest, rule, validation.get(manifest.category))
            key = (row.category, rule, row.low, row.high, row.without, row.scope, row.sees_test_images)
            seen = rows.get(key)
            rows[key] = replace(seen, splits=seen.splits + row.splits, paths=seen.paths + row.paths) if seen else row
    return tuple(sorted(rows.values(), key=lambda row: (row.category, row.rule)))


def share_above(histogram: Histogram, value: float) -> float:
    """Return the share of pixels, 0..1, whose score rounded to float16 is above a value; 0 for an empty histogram."""
    above = int(histogram[np.nan_to_num(key_scores(), nan=-np.inf) > value].sum())
    return above / max(1, int(histogram.sum()))


def _row(path: Path, manifest: MasksManifest, rule: str, histogram: Histogram | None) -> ThresholdRow:
    records = [record for mask in manifest.masks for record in mask.thresholds if record.rule == rule]
    values = sorted({record.value for record in records if record.value is not None})
    ends = tuple(dict.fromkeys((values[0], values[-1]))) if values else ()
    sees_test_images = any(record.sees_test_images for record in records)
    return ThresholdRow(
        category=manifest.category,
        splits=(manifest.split,),
        rule=rule,
        low=ends[0] if ends else None,
        high=ends[-1] if ends else None,
        without=sum(record.value is None for record in records),
        scope=_scope(len(values), sees_test_images, records),
        sees_test_images=sees_test_images,
        validation_shares=() if histogram is None else tuple(share_above(histogram, value) for value in ends),
        paths=(path,),
    )


def _scope(distinct: int, sees_test_images: bool, records: Sequence[ThresholdRecord]) -> str:
    if distinct > 1:
        return "each image for itself"
    if sees_test_images:
        return "all images of the split together"
    return NORMAL_IMAGES[next((record.normal for record in records if record.normal), "validation")]


@dataclass(frozen=True)
class WarningRow:
    """A warning of coarse masks, with the strip of the normal photograph that it names."""

    text: str
    photograph: str
    strip: Path | None
    """The JPEG; None where no preview of it was drawn."""
    paths: tuple[Path, ...]
    """Manifests of the coarse masks."""


def warning_rows(
    coarse: Mapping[Path, MasksManifest], previews: Mapping[Path, PreviewManifest]
) -> tuple[WarningRow, ...]:
    """Gather the warnings of all coarse masks, those that several splits share once.

    Parameters
    ----------
    coarse, previews : mapping of Path to manifest
        Of the binarize and preview stages, by their path.

    Returns
    -------
    tuple of WarningRow
        In the order of the manifests.
    """
    strips = {
        (found.category, found.split, strip.id): path.parent / strip.file
        for path, found in previews.items()
        for strip in found.strips
    }
    rows: dict[str, WarningRow] = {}
    for path, found in coarse.items():
        for warning in found.warnings:
            strip = strips.get((found.category, warning.photograph_split, warning.photograph))
            row = rows.setdefault(warning.text, WarningRow(warning.text, warning.photograph, strip, ()))
            rows[warning.text] = replace(row, paths=(*row.paths, path))
    return tuple(rows.values())


def threshold_markers(rows: Sequence[ThresholdRow], category: str) -> tuple[Marker, ...]:
    """Return one marker per different threshold of a category; the ends where each image has its own."""
    markers: dict[float, str] = {}
    for row in rows:
        if row.category != category or row.low is None or row.high is None:
            continue
        if row.low == row.high:
            markers.setdefault(row.low, row.rule)
        else:
            markers.setdefault(row.low, f"{row.rule} lowest")
            markers.setdefault(row.high, f"{row.rule} highest")
    return tuple(Marker(f"{name} {value:.4g}", value) for value, name in sorted(markers.items()))
