"""Contents of a complete submission: for any data from the indexes, for MVTec AD 2 from the official tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import SubmissionError
from seamark.manifests.index import IndexManifest
from seamark.settings.base import SPLITS, Split

MAPS_FOLDER = "anomaly_images"
MASKS_FOLDER = "anomaly_images_thresholded"
PRIVATE_SPLITS: tuple[Split, ...] = ("test_private", "test_private_mixed")
OFFICIAL_LIGHTS: dict[Split, str] = {"test_private": "regular", "test_private_mixed": "mixed"}
OFFICIAL_SIZES = {
    "can": (2232, 1024),
    "fabric": (2448, 2048),
    "fruit_jelly": (2100, 1520),
    "rice": (2448, 2048),
    "sheet_metal": (4224, 1056),
    "vial": (1400, 1900),
    "wallplugs": (2448, 2048),
    "walnuts": (2448, 2048),
}
"""Width and height of the images of MVTec AD 2 in px (docs/methods/mvtec_ad2.md#sizes)."""


@dataclass(frozen=True)
class ExpectedImage:
    """An image that a map and a mask are due for: the file name without suffix, and its size in px."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class ExpectedSubmission:
    """What a complete submission holds.

    Parameters
    ----------
    images : mapping
        Images by category and split.
    map_scale : float
        Size of the maps relative to the images, in (0, 1]; maps of the full size are always right.
    image_scale : float
        Size of the images relative to the official ones, in (0, 1]; below 1 it is a rehearsal.
    """

    images: Mapping[str, Mapping[Split, tuple[ExpectedImage, ...]]]
    map_scale: float
    image_scale: float = 1.0


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return the width and height in px of a map at a share of its image's size, rounded, at least 1."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def official_submission(map_scale: float, image_scale: float = 1.0) -> ExpectedSubmission:
    """Return what a complete submission for MVTec AD 2 holds (docs/methods/mvtec_ad2.md#counts).

    Parameters
    ----------
    map_scale : float
        Size of the maps relative to the images, in (0, 1].
    image_scale : float
        Size of the images relative to the official ones, in (0, 1]; below 1 for a rehearsal with shrunken images.

    Returns
    -------
    ExpectedSubmission
        All eight categories.

    Examples
    --------
    >>> expected = official_submission(map_scale=0.25)
    >>> sum(len(images) for splits in expected.images.values() for images in splits.values())
    4090
    >>> expected.images["vial"]["test_private_mixed"][0]
    ExpectedImage(name='000_mixed', width=1400, height=1900)
    """
    sizes = {category: scaled_size(*size, image_scale) for category, size in OFFICIAL_SIZES.items()}
    return ExpectedSubmission(
        {
            category: {split: _official_images(category, split, sizes[category]) for split in PRIVATE_SPLITS}
            for category in OFFICIAL_COUNTS
        },
        map_scale,
        image_scale,
    )


def _official_images(category: str, split: Split, size: tuple[int, int]) -> tuple[ExpectedImage, ...]:
    count, light = OFFICIAL_COUNTS[category][split], OFFICIAL_LIGHTS[split]
    return tuple(ExpectedImage(f"{number:03d}_{light}", *size) for number in range(count))


def expected_submission(
    indexes: Iterable[IndexManifest], splits: Sequence[Split], map_scale: float, image_scale: float = 1.0
) -> ExpectedSubmission:
    """Return what a submission for these categories holds.

    Parameters
    ----------
    indexes : iterable of IndexManifest
        One per category and split. When they are of exactly the eight categories of MVTec AD 2, its official counts,
        names and image sizes are required, whatever the indexes say.
    splits : sequence of str
        Private splits that are submitted.
    map_scale : float
        Size of the maps relative to the images, in (0, 1].
    image_scale : float
        Size of the images relative to the official ones of MVTec AD 2, in (0, 1]; of no effect on other data.

    Returns
    -------
    ExpectedSubmission
        Categories without an image in these splits are left out.
    """
    listed: dict[str, dict[Split, tuple[ExpectedImage, ...]]] = {}
    for index in sorted(indexes, key=lambda index: (index.category, SPLITS.index(index.split))):
        images = tuple(ExpectedImage(image.id, image.width, image.height) for image in index.images)
        listed.setdefault(index.category, {}).update({index.split: images} if index.split in splits and images else {})
    if set(listed) == set(OFFICIAL_COUNTS) and set(splits) == set(PRIVATE_SPLITS):
        return official_submission(map_scale, image_scale)
    return ExpectedSubmission({category: by_split for category, by_split in listed.items() if by_split}, map_scale)


def require_complete(
    root: Path,
    available: Iterable[str],
    held: Collection[tuple[str, str]],
    submitted: Collection[tuple[str, str]],
) -> None:
    """Refuse a submission that leaves out a category of the data root or a private split of a category.

    Parameters
    ----------
    root : Path
        Data root.
    available : iterable of str
        Its categories.
    held, submitted : collection of (str, str)
        Categories and splits that have images, and those that are submitted.

    Raises
    ------
    SubmissionError
        Naming everything that is missing.
    """
    categories = dict.fromkeys(category for category, _ in submitted)
    missing = [name for name in available if name not in categories]
    missing += [
        f"{category}/{split}"
        for category in categories
        for split in PRIVATE_SPLITS
        if (category, split) in held and (category, split) not in submitted
    ]
    if missing:
        raise SubmissionError(
            f"partial submission: {root} also holds {', '.join(missing)}; add them to data.categories and data.splits, "
            "or set package.allow_partial: true (the server takes complete submissions only)"
        )
