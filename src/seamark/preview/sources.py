"""Sources of an image's previews: its files, what the manifests say about them, and their pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seamark.data.photographs import read_indexed
from seamark.data.truth_masks import read_truth
from seamark.errors import DataError, ManifestError
from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.manifests.base import read_manifest
from seamark.manifests.index import ImageRecord, IndexManifest, TruthManifest, TruthRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.maps.stored import load_map
from seamark.masks.stored import load_mask
from seamark.repair import repair_command


@dataclass(frozen=True)
class PreviewManifests:
    """The manifests of one category and split that strips are made of; no truth of a split that is no test."""

    index: Path
    truth: Path | None
    maps: Path
    coarse: Path
    refined: Path


@dataclass(frozen=True)
class PreviewSource:
    """Where the panels of one image come from, and what is written above them."""

    id: str
    manifests: PreviewManifests
    image: ImageRecord
    root: Path
    """Data root."""
    map: MapRecord
    coarse: MaskRecord
    refined: MaskRecord
    truth: TruthRecord | None
    truth_file: Path | None
    coarse_method: str
    refined_method: str

    @property
    def label(self) -> Literal["good", "bad"] | None:
        """Whether the image has a defect; None where the truth is not known."""
        if self.truth is None:
            return self.image.label
        return "bad" if self.truth.bad else "good"


def preview_sources(manifests: PreviewManifests, root: Path, truth_root: Path | None) -> list[PreviewSource]:
    """Bring together what the manifests say about each image of a split.

    Parameters
    ----------
    manifests : PreviewManifests
        Of one category and split.
    root : Path
        Data root.
    truth_root : Path, optional
        Folder of the private truth.

    Returns
    -------
    list of PreviewSource
        In the order of the maps.

    Raises
    ------
    ManifestError
        If a manifest is damaged, lists no images or does not know one of them.
    DataError
        If private truth is listed but its folder is not configured.
    """
    maps = read_manifest(manifests.maps, MapsManifest)
    if not maps.maps:
        raise ManifestError(f"{manifests.maps}: lists no images; take {maps.split} out of data.splits or add images")
    images = {record.id: record for record in read_manifest(manifests.index, IndexManifest).images}
    truths = read_manifest(manifests.truth, TruthManifest).by_id if manifests.truth else {}
    coarse = read_manifest(manifests.coarse, MasksManifest)
    refined = read_manifest(manifests.refined, MasksManifest)
    coarse_masks = {record.id: record for record in coarse.masks}
    refined_masks = {record.id: record for record in refined.masks}
    for path, known in (
        (manifests.index, images),
        (manifests.coarse, coarse_masks),
        (manifests.refined, refined_masks),
    ):
        for record in maps.maps:
            if record.id not in known:
                raise ManifestError(
                    f"{path}: image {record.id} of {manifests.maps} is missing; rebuild it with: {repair_command(path)}"
                )
    return [
        PreviewSource(
            id=record.id,
            manifests=manifests,
            image=images[record.id],
            root=root,
            map=record,
            coarse=coarse_masks[record.id],
            refined=refined_masks[record.id],
            truth=truths.get(record.id),
            truth_file=_truth_file(truths.get(record.id), root, truth_root),
            coarse_method=coarse.method,
            refined_method=refined.method,
        )
        for record in maps.maps
    ]


def _truth_file(truth: TruthRecord | None, root: Path, truth_root: Path | None) -> Path | None:
    if truth is None or truth.mask is None:
        return None
    if truth.root == "data":
        return root / truth.mask
    if truth_root is None:
        raise DataError(f"{truth.mask}: the mask lies below the private truth, but no truth_root is configured")
    return truth_root / truth.mask


@dataclass(frozen=True)
class PreviewPixels:
    """The pixels that the previews of one image are drawn from."""

    image: UInt8Array
    """Grey or RGB, shape (H, W, 1) or (H, W, 3)."""
    scores: Float32Array
    """Anomaly map in raw score units, shape (h, w)."""
    coarse: BoolArray
    """Shape (H, W), like the other masks."""
    refined: BoolArray
    truth: BoolArray | None
    """None where the image has no mask of its truth."""


def read_pixels(source: PreviewSource) -> PreviewPixels:
    """Read photograph, anomaly map, masks and truth of one image.

    Parameters
    ----------
    source : PreviewSource
        The image and what was made of it.

    Returns
    -------
    PreviewPixels
        Masks have the size of the photograph.

    Raises
    ------
    DataError
        If an image or a mask is damaged, or a mask has another size than its image.
    ManifestError
        If the anomaly map or a mask is not the one that its manifest describes.
    """
    image = read_indexed(source.image, source.root, source.manifests.index)
    coarse, refined = (
        _same_size(path, record.file, load_mask(path, record), image)
        for path, record in ((source.manifests.coarse, source.coarse), (source.manifests.refined, source.refined))
    )
    truth = None
    if source.truth is not None and (path := source.truth_file) is not None:
        found = read_truth(path, image.shape[0] * image.shape[1], labels=source.truth.labels)
        truth = _same_size(path.parent, path.name, found, image)
    return PreviewPixels(image, load_map(source.manifests.maps, source.map), coarse, refined, truth)


def _same_size(folder: Path, name: str, mask: BoolArray, image: UInt8Array) -> BoolArray:
    if mask.shape != image.shape[:2]:
        raise DataError(
            f"{name} ({folder}): the mask is {mask.shape[1]} x {mask.shape[0]} px, "
            f"its image {image.shape[1]} x {image.shape[0]} px; rebuild the mask or repair the data set"
        )
    return mask
