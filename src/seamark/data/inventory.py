"""The inventory of a category: how much of what it has, and the same photograph in several places."""

from collections import Counter
from collections.abc import Iterable, Sequence

from seamark.data.channels import require_one_kind
from seamark.data.passed_over import PassedOver, category_line
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.manifests.inventory import InventoryManifest, SplitCount
from seamark.settings.base import SPLITS

MOST_NAMED = 5
"""Repeated photographs that a warning names; the others are counted."""


def category_inventory(indexes: Sequence[IndexManifest], passed_over: Sequence[PassedOver] = ()) -> InventoryManifest:
    """Count what a category has, and say what was passed over and what stands in several places.

    Parameters
    ----------
    indexes : sequence of IndexManifest
        Of all splits of the category.
    passed_over : sequence of PassedOver
        What else its folder holds.

    Raises
    ------
    DataError
        If grey and RGB are mixed between splits.
    """
    records = [image for index in indexes for image in index.images]
    require_one_kind(indexes[0].category, ((image.channels, image.file) for image in records))
    first, labels = indexes[0], Counter((image.split, image.label) for image in records)
    counts = tuple(
        SplitCount(
            split=index.split,
            images=len(index.images),
            good=labels[index.split, "good"],
            bad=labels[index.split, "bad"],
        )
        for index in sorted(indexes, key=lambda index: SPLITS.index(index.split))
    )
    return InventoryManifest(
        category=first.category,
        layout=first.layout,
        line=category_line(first.category, labels, passed_over),
        splits=counts,
        passed_over=tuple(record.what for record in passed_over),
        warnings=(
            *(f"{first.category}: {record}" for record in passed_over if record.verdict == "warning"),
            *repetition_warnings(first.category, repeated_photographs(indexes)),
        ),
    )


def repeated_photographs(indexes: Iterable[IndexManifest]) -> list[tuple[ImageRecord, ...]]:
    """Find photographs whose files have equal bytes, within and across the splits of a category.

    Parameters
    ----------
    indexes : iterable of IndexManifest
        One per split.

    Returns
    -------
    list of tuple of ImageRecord
        Groups of at least two, in the order of the indexes.
    """
    groups: dict[str, list[ImageRecord]] = {}
    for index in indexes:
        for image in index.images:
            groups.setdefault(image.sha256, []).append(image)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def repetition_warnings(category: str, repeated: Sequence[Sequence[ImageRecord]]) -> list[str]:
    """Say which photographs stand in several places and what that does, worst first."""
    kinds: dict[str, list[str]] = {}
    for group in repeated:
        kinds.setdefault(_consequence(group), []).append(" = ".join(image.file for image in group))
    return [
        f"{category}: {len(pairs)} photograph(s) stand in several places, {consequence}: {_named(pairs)}"
        for consequence, pairs in sorted(kinds.items(), key=lambda kind: CONSEQUENCES.index(kind[0]))
    ]


LEARNED_DEFECT = "a bad one among those that the model learns from; take it out of train and validation"
LEARNED_TEST = "a test photograph among those that the model learns from, so its scores mean nothing; keep it in one"
HELD_OUT = "in train and in validation, which thresholds need unseen; keep it in one of them"
TWICE = "and count as often; keep one of each"
CONSEQUENCES = (LEARNED_DEFECT, LEARNED_TEST, HELD_OUT, TWICE)
"""What repeated photographs do, worst first."""


def _consequence(group: Sequence[ImageRecord]) -> str:
    splits = {image.split for image in group}
    learned, tested = splits & {"train", "validation"}, splits - {"train", "validation"}
    if learned and any(image.label == "bad" for image in group):
        return LEARNED_DEFECT
    if learned and tested:
        return LEARNED_TEST
    return HELD_OUT if len(learned) > 1 else TWICE


def _named(pairs: Sequence[str]) -> str:
    more = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
    return "; ".join(pairs[:MOST_NAMED]) + more
