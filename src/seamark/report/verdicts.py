"""Verdicts on the page: the scores that a threshold is moved over, and what is said of each image."""

from typing import Any

from seamark.manifests.verdict import ImageVerdict, RateRecord, VerdictManifest


def split_verdicts(manifest: VerdictManifest) -> dict[str, Any]:
    """Return what all verdicts of a split rest on, ready for JSON: normal scores, and both rates."""
    return {
        "normal_scores": manifest.normal_scores,
        "rates": {"bad": _rate(manifest.bad), "look": _rate(manifest.look)},
    }


def image_verdict(verdict: ImageVerdict) -> dict[str, Any]:
    """Return what is said of an image, ready for JSON; its largest defect is x, y, width and height in px, or None."""
    said = verdict.model_dump(include={"score", "p", "percentile", "answer", "defects", "area_px", "mask"})
    return said | {"largest": None if verdict.largest is None else list(verdict.largest.model_dump().values())}


def _rate(rate: RateRecord) -> dict[str, float]:
    return {"used": rate.used, "above": rate.above}
