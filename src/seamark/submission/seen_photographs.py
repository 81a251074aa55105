"""Test photographs that were learned from: the same file in train or validation and in a test split."""

from collections.abc import Iterable

from seamark.manifests.index import ImageRecord
from seamark.manifests.submission import RuleBreach

LEARNED_SPLITS = {"train", "validation"}
MOST_NAMED = 20
"""Photographs that the message spells out."""


def seen_test_photographs(images: Iterable[ImageRecord]) -> RuleBreach | None:
    """Find the photographs of test splits that train or validation hold too, of any category.

    Parameters
    ----------
    images : iterable of ImageRecord
        All images of the indexes that a run learned from and that it tests.

    Returns
    -------
    RuleBreach or None
        What every challenge forbids, with the photograph that was learned from by the test photograph of the same
        bytes; None if there is none. The caller decides by ``package.rules`` whether it is an error or a warning.
    """
    images = list(images)
    learned = {image.sha256: image.file for image in images if image.split in LEARNED_SPLITS}
    seen = {
        image.file: f"the same file as {learned[image.sha256]}"
        for image in images
        if image.split not in LEARNED_SPLITS and image.sha256 in learned
    }
    if not seen:
        return None
    values = {name: seen[name] for name in sorted(seen)[:MOST_NAMED]}
    if more := len(seen) - len(values):
        values[f"{more} more"] = "likewise"
    remedy = "take each out of train and validation, or out of its test split, and run again"
    return RuleBreach(rule="unseen_test_images", setting="data.root", values=values, remedy=remedy)
