"""The inventory of a category: how much of what it has, photographs in several places, and grey beside RGB ones."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from seamark.data.index import require_one_kind
from seamark.data.passed_over import PassedOver, category_line
from seamark.files.plain import examples
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.manifests.inventory import InventoryManifest

LEARNED_DEFECT = "a bad one among those that the model learns from; take it out of train and validation"
LEARNED_TEST = "a test photograph among those that the model learns from, so its scores mean nothing; keep it in one"
HELD_OUT = "in train and in validation, which thresholds need unseen; keep it in one of them"
TWICE = "and count as often; keep one of each"
CONSEQUENCES = (LEARNED_DEFECT, LEARNED_TEST, HELD_OUT, TWICE)
"""What repeated photographs do, worst first."""


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
    category, records = indexes[0].category, [image for index in indexes for image in index.images]
    require_one_kind(category, ((image.channels, image.file) for image in records))
    warnings = [str(record) for record in passed_over if record.verdict == "warning"]
    return InventoryManifest(
        category=category,
        line=category_line(category, Counter((image.split, image.label) for image in records), passed_over),
        warnings=tuple(f"{category}: {text}" for text in (*warnings, *_repetitions(records))),
    )


def _repetitions(images: Iterable[ImageRecord]) -> Iterator[str]:
    """Say which photographs, by the bytes of their files, stand in several places and what that does, worst first."""
    groups = defaultdict[str, list[ImageRecord]](list)
    for image in images:
        groups[image.sha256].append(image)
    repeated = [group for group in groups.values() if len(group) > 1]
    for consequence in CONSEQUENCES:
        equal = [" = ".join(image.file for image in group) for group in repeated if _consequence(group) == consequence]
        if equal:
            yield f"{len(equal)} photograph(s) stand in several places, {consequence}: {'; '.join(examples(equal))}"


def _consequence(group: Sequence[ImageRecord]) -> str:
    splits = {image.split for image in group}
    learned, tested = splits & {"train", "validation"}, splits - {"train", "validation"}
    if learned and any(image.label == "bad" for image in group):
        return LEARNED_DEFECT
    if learned and tested:
        return LEARNED_TEST
    return HELD_OUT if len(learned) > 1 else TWICE
