"""Warnings about coarse masks: that a split has none left, or that one photograph set a threshold."""

from collections.abc import Iterator, Mapping, Sequence

from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MaskWarning, ThresholdRecord
from seamark.maps.normal_statistics import Photograph
from seamark.masks.floors import lowest_threshold
from seamark.masks.thresholds import robust_fence

ODD = 6.0
"""Robust standard deviations above the median from which on the peak of a normal photograph is odd."""

SET_BY_PEAKS = ("quantile", "conformal")
"""Rules that the highest scores of a single photograph may set."""

ROBUST = "take it out if it is no normal one, or use binarize.peaks, which one photograph cannot set"


def mask_warnings(
    maps: MapsManifest, masks: Sequence[MaskRecord], photographs: Mapping[Photograph, float]
) -> Iterator[MaskWarning]:
    """Warn of masks that are all empty on a test split, and of a threshold that one odd normal photograph set.

    Parameters
    ----------
    maps : MapsManifest
        Maps of the split.
    masks : sequence of MaskRecord
        Coarse masks of them, at least one.
    photographs : mapping of Photograph to float
        Highest score of each photograph that thresholds come from.

    Yields
    ------
    MaskWarning
        With the normal photograph that has the highest score.
    """
    records = [record for mask in masks for record in mask.thresholds if record.finds]
    highest = max(photographs, key=lambda photograph: photographs[photograph])
    named = {"photograph": highest.id, "photograph_split": highest.split}
    peak, shown = photographs[highest], f"{highest.split} photograph {highest.id}"
    if maps.split.startswith("test") and not any(mask.foreground_px for mask in masks):
        reached = max(record.maximum for record in maps.maps)
        remedy = f"look at it: {ROBUST}"
        if any(_exceeds(record, mask) for record, mask in zip(maps.maps, masks, strict=True)):
            remedy = (
                "all that lies above was dropped: lower binarize.erode_px, binarize.min_area_px or "
                "binarize.closing.erode_px, or raise binarize.evidence_alpha, whichever is set"
            )
        elif any(record.rule == "peaks" for record in records):
            remedy = "look at it, and if it is a normal one, lower binarize.peaks.q"
        yield MaskWarning(
            text=f"{maps.category} {maps.split}: every mask is empty: {_values(records)}, and scores reach "
            f"{reached:.4g}. Of the normal photographs, {shown} has the highest score, {peak:.4g}; {remedy}",
            **named,
        )
    others = [score for photograph, score in photographs.items() if photograph != highest]
    if others and peak > robust_fence(photographs.values(), ODD):
        for rule, value in dict.fromkeys((record.rule, record.value) for record in records):
            if rule in SET_BY_PEAKS and value is not None and value > max(others):
                yield MaskWarning(
                    text=f"{maps.category}: {shown} alone sets the threshold of {rule}, {value:.4g}: its highest score "
                    f"is {peak:.4g}, that of no other normal photograph above {max(others):.4g}; look at it: {ROBUST}",
                    **named,
                )


def _exceeds(record: MapRecord, mask: MaskRecord) -> bool:
    lowest = lowest_threshold(mask.thresholds)
    return lowest is not None and lowest.value is not None and record.maximum > lowest.value


def _values(records: Sequence[ThresholdRecord]) -> str:
    """Name each rule with its threshold, or with the lowest and highest one where images have their own."""
    texts = []
    for rule in dict.fromkeys(record.rule for record in records):
        values = sorted({record.value for record in records if record.rule == rule and record.value is not None})
        ends = " to ".join(f"{value:.4g}" for value in dict.fromkeys((values[0], values[-1]))) if values else "none"
        texts.append(f"threshold of {rule} {ends}")
    return ", ".join(texts)
