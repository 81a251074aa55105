"""Images that are submitted: the private splits, each with its map and mask, and nothing left out unnoticed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.errors import ManifestError, SubmissionError
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.settings.base import Split
from seamark.submission.expected import PRIVATE_SPLITS


@dataclass(frozen=True)
class SubmittedImage:
    """An image of a private split with its map and its mask.

    Parameters
    ----------
    id : str
        Category, split and name, for messages.
    category, split, name : str
        Place in the tree; ``name`` is the file name without suffix.
    width, height : int
        Size of the photograph, px.
    maps : Path
        Manifest of the maps.
    anomaly_map : MapRecord
        Its entry for the image.
    masks : Path
        Manifest of the masks.
    mask : MaskRecord
        Its entry for the image.
    """

    id: str
    category: str
    split: Split
    name: str
    width: int
    height: int
    maps: Path
    anomaly_map: MapRecord
    masks: Path
    mask: MaskRecord


def images_to_submit(
    indexes: Sequence[IndexManifest], maps: Mapping[Path, MapsManifest], masks: Mapping[Path, MasksManifest]
) -> list[SubmittedImage]:
    """Pair the maps and masks of the private splits with the images of the indexes.

    Parameters
    ----------
    indexes : sequence of IndexManifest
        One per category and private split.
    maps, masks : mapping of Path to manifest
        One of each per category and split, keyed by where it lies.

    Returns
    -------
    list of SubmittedImage
        Sorted by category, split and name.

    Raises
    ------
    SubmissionError
        If there is nothing to submit, a split is not private, or an image name would need a folder.
    ManifestError
        If maps, masks and index do not list the same images in the same sizes.
    """
    indexed = {(index.category, index.split): index for index in indexes}
    mask_paths = {(manifest.category, manifest.split): path for path, manifest in masks.items()}
    listed = []
    for path, manifest in maps.items():
        place = (manifest.category, manifest.split)
        if manifest.split not in PRIVATE_SPLITS:
            raise SubmissionError(f"{path}: {manifest.split} is not a private split; only private splits are submitted")
        if place not in mask_paths or place not in indexed:
            raise ManifestError(f"{path}: no masks or no index of {' '.join(place)} beside these maps; build them")
        mask_path = mask_paths[place]
        listed += _paired(indexed[place], path, manifest, mask_path, masks[mask_path])
    if not listed:
        raise SubmissionError("nothing to submit: no private split has an image; check data.splits and the data root")
    return sorted(listed, key=lambda image: (image.category, image.split, image.name))


def _paired(
    index: IndexManifest, maps_path: Path, maps: MapsManifest, masks_path: Path, masks: MasksManifest
) -> list[SubmittedImage]:
    images = index.images
    for path, records in ((maps_path, maps.maps), (masks_path, masks.masks)):
        if [record.id for record in records] != [image.id for image in images]:
            raise ManifestError(f"{path}: does not list the images of the index in its order; rebuild {path}")
    submitted = []
    for image, anomaly_map, mask in zip(images, maps.maps, masks.masks, strict=True):
        _require_agreement(image, anomaly_map, mask, maps_path)
        submitted.append(
            SubmittedImage(
                id=f"{index.category}/{maps.split}/{image.id}",
                category=index.category,
                split=maps.split,
                name=image.id,
                width=image.width,
                height=image.height,
                maps=maps_path,
                anomaly_map=anomaly_map,
                masks=masks_path,
                mask=mask,
            )
        )
    return submitted


def _require_agreement(image: ImageRecord, anomaly_map: MapRecord, mask: MaskRecord, maps_path: Path) -> None:
    if "/" in image.id:
        raise SubmissionError(f"{image.file}: images of private splits must lie in the split's folder itself")
    sizes = [
        (image.width, image.height),
        (anomaly_map.image_width, anomaly_map.image_height),
        (mask.width, mask.height),
    ]
    if len(set(sizes)) > 1:
        found = ", ".join(f"{width} x {height}" for width, height in sizes)
        raise ManifestError(
            f"{image.file}: image, image of the map and mask have different sizes in px: {found}; rebuild {maps_path}"
        )
