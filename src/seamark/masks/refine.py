"""From coarse masks to refined ones: a box prompt per component, a segmenter, and how the two are composed.

Source: docs/methods/robis.md#sam-refinement, with any segmenter in SAM's place.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seamark.data.photographs import read_indexed
from seamark.errors import ConfigError, DataError, ManifestError
from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.manifests.index import IndexManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.maps.stored import load_map
from seamark.masks.components import choose_largest, enlarge_map, fill_holes, find_components, resize_mask
from seamark.masks.evidence import bears_out
from seamark.masks.grabcut import GrabCut
from seamark.masks.guided import GuidedFilter
from seamark.masks.sam_prompts import zoom_image
from seamark.masks.segmenter import Patch, Segmenter
from seamark.masks.stored import load_mask, save_mask
from seamark.repair import repair_command
from seamark.settings.refine import RefineSettings
from seamark.tiles.geometry import Box, map_shape

MIN_SURROUNDINGS_PX = 16
"""Least distance from the box of a component up to which scores count as its surroundings, in px of the image."""


def segmenter_for(settings: RefineSettings, device: str = "cpu", seed: int = 0) -> Segmenter | None:
    """Return the segmenter that the settings name.

    Parameters
    ----------
    settings : RefineSettings
        The method and its block.
    device : str
        ``cpu`` or ``cuda:<index>``, where a network shall run.
    seed : int
        Seed of a network's random weights.

    Returns
    -------
    Segmenter or None
        None for the method ``none``.

    Raises
    ------
    WeightsError
        If the weights of a network are missing, damaged or of another one.
    """
    if settings.method == "sam":
        from seamark.masks.sam import SamSegmenter, load_sam  # noqa: PLC0415 (the only segmenter that needs torch)

        return SamSegmenter(load_sam(settings.sam, seed), settings.sam, device)
    if settings.method == "guided":
        return GuidedFilter(settings.guided)
    return GrabCut(settings.grabcut) if settings.method == "grabcut" else None


@dataclass(frozen=True)
class Prompts:
    """The components of a coarse mask that get a box prompt.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        0 for background, 1 to n for the components.
    numbers : tuple of int
        Labels of the components to refine, in ascending order of area; equal areas keep label order.
    boxes : tuple of Box
        Their boxes in image px.
    """

    labels: npt.NDArray[np.int32]
    numbers: tuple[int, ...]
    boxes: tuple[Box, ...]

    @classmethod
    def of(cls, coarse: BoolArray, top_n: int | None) -> "Prompts":
        """Choose the largest ``top_n`` components of a mask, or all for None."""
        components = find_components(coarse)
        chosen = choose_largest(components.areas, top_n)
        return cls(
            components.labels,
            tuple(position + 1 for position in chosen),
            tuple(components.boxes[position] for position in chosen),
        )

    def others(self) -> BoolArray:
        """Return the pixels of the components that were not chosen, bool of shape (H, W)."""
        other = np.ones(int(self.labels.max()) + 1, dtype=np.bool_)
        other[[0, *self.numbers]] = False
        return np.asarray(other[self.labels], dtype=np.bool_)


def _window_around(patch: Patch, box: Box, reach: int, shape: tuple[int, int]) -> Box:
    """Return the smallest window that holds the patch and the box grown by ``reach``, clipped to the image."""
    height, width = patch.mask.shape
    x0, y0 = min(patch.x, box[0] - reach), min(patch.y, box[1] - reach)
    x1, y1 = max(patch.x + width, box[2] + reach), max(patch.y + height, box[3] + reach)
    return max(0, x0), max(0, y0), min(shape[1], x1), min(shape[0], y1)


def _surroundings_px(box: Box, settings: RefineSettings) -> int:
    """Return how far around a box the scores are looked at: as far as GrabCut looks by default."""
    return max(settings.constrain_px, MIN_SURROUNDINGS_PX, (box[2] - box[0]) // 2, (box[3] - box[1]) // 2)


def _placed(patch: Patch, window: Box) -> BoolArray:
    x0, y0, x1, y1 = window
    placed = np.zeros((y1 - y0, x1 - x0), dtype=np.bool_)
    height, width = patch.mask.shape
    placed[patch.y - y0 : patch.y - y0 + height, patch.x - x0 : patch.x - x0 + width] = patch.mask
    return placed


def _dilated(mask: BoolArray, reach: int) -> BoolArray:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel) > 0, dtype=np.bool_)


def compose(segmented: BoolArray, component: BoolArray, settings: RefineSettings) -> BoolArray:
    """Combine what the segmenter found with the coarse component that prompted it.

    Parameters
    ----------
    segmented, component : ndarray of bool, shape (h, w)
        Both within the same window.
    settings : RefineSettings
        The policy: ``replace`` takes the segmenter's mask, ``union`` adds the component, ``constrained`` keeps only
        what lies within ``constrain_px`` of the component.

    Returns
    -------
    ndarray of bool, shape (h, w)
        The refined component; empty when the segmenter found nothing there. A segment as large as the image stays so
        with ``replace`` and ``union``; ``constrained`` makes it the component grown by ``constrain_px``.
    """
    if settings.compose == "constrained":
        return segmented & _dilated(component, settings.constrain_px)
    if settings.compose == "union" and segmented.any():
        return segmented | component
    return segmented


def refine_mask(
    image: UInt8Array, coarse: BoolArray, scores: Float32Array, segmenter: Segmenter, settings: RefineSettings
) -> tuple[BoolArray, int]:
    """Refine one coarse mask.

    Components beyond ``top_n`` stay as they are, except under ``replace``, where they vanish as in RoBiS.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        The photograph.
    coarse : ndarray of bool, shape (H, W)
        Its coarse mask.
    scores : ndarray of float32, shape (h, w)
        Its anomaly map, which is brought to the size of the image.
    segmenter : Segmenter
        Called once, and not at all for an empty mask.
    settings : RefineSettings
        Composition, number of components, what becomes of those in which nothing is found, whether the map has a say in
        what is found, hole filling.

    Returns
    -------
    tuple
        Refined mask of bool, shape (H, W), and the number of components that stay as they are: the segmenter found
        nothing there (unless with ``nothing_found: empty``) or what the map does not bear out (``accept: evidence``).
    """
    prompts = Prompts.of(coarse, settings.top_n)
    refined = np.zeros_like(coarse) if settings.compose == "replace" else prompts.others()
    scores = enlarge_map(scores, (coarse.shape[0], coarse.shape[1]))
    patches = segmenter.segment(image, coarse, scores, prompts.boxes) if prompts.boxes else []
    kept_coarse = 0
    for number, box, patch in zip(prompts.numbers, prompts.boxes, patches, strict=True):
        window = _window_around(patch, box, _surroundings_px(box, settings), coarse.shape)
        inside = np.s_[window[1] : window[3], window[0] : window[2]]
        component = np.asarray(prompts.labels[inside] == number, dtype=np.bool_)
        composed = compose(_placed(patch, window), component, settings)
        if composed.any():
            kept = settings.accept == "evidence" and not bears_out(scores[inside], component, composed)
        else:
            kept = settings.nothing_found == "coarse"
        kept_coarse += kept
        refined[inside] |= component if kept else composed
    return (fill_holes(refined) if settings.fill_holes else refined), kept_coarse


def refine_shrunk(
    image: UInt8Array,
    coarse: BoolArray,
    scores: Float32Array,
    segmenter: Segmenter,
    settings: RefineSettings,
    *,
    scale: float,
) -> tuple[BoolArray, int]:
    """Refine one coarse mask at the scale of the map that it was made from.

    Image and mask are shrunk to the size of the map, refined there, where all lengths are in map px, and the result is
    enlarged to the nearest pixel (docs/methods/robis.md#sam-refinement).

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        The photograph.
    coarse : ndarray of bool, shape (H, W)
        Its coarse mask, enlarged to the nearest pixel.
    scores : ndarray of float32, shape (h, w)
        Its anomaly map.
    segmenter : Segmenter
        Sees the shrunk image.
    settings : RefineSettings
        As for :func:`refine_mask`.
    scale : float
        Size of the map relative to the image.

    Returns
    -------
    tuple
        As for :func:`refine_mask`, at the size of the photograph.

    Raises
    ------
    ConfigError
        If the mask is not one of that scale, so that parts of it would be lost.
    """
    shape = map_shape((coarse.shape[0], coarse.shape[1]), scale)
    shrunk = resize_mask(coarse, shape)
    if not np.array_equal(resize_mask(shrunk, (coarse.shape[0], coarse.shape[1])), coarse):
        raise ConfigError(
            f"refine.sam.image_scale {scale:g}: the coarse mask has details that {shape[1]} x {shape[0]} px cannot "
            f"hold; set binarize.at to map and merge.scale to {scale:g}, or refine.sam.image_scale to null"
        )
    refined, kept_coarse = refine_mask(zoom_image(image, shape), shrunk, scores, segmenter, settings)
    return resize_mask(refined, (coarse.shape[0], coarse.shape[1])), kept_coarse


def refine_at_scale(
    image: UInt8Array, coarse: BoolArray, scores: Float32Array, segmenter: Segmenter, settings: RefineSettings
) -> tuple[BoolArray, int]:
    """Refine one coarse mask at the size of the photograph or, where SAM is given a scale, at that scale.

    Parameters, results and errors are those of :func:`refine_mask` and :func:`refine_shrunk`.
    """
    scale = settings.sam.image_scale if settings.method == "sam" else None
    if scale is None:
        return refine_mask(image, coarse, scores, segmenter, settings)
    return refine_shrunk(image, coarse, scores, segmenter, settings, scale=scale)


class Refiner:
    """Refines the masks of one split, each independently of the others.

    Parameters
    ----------
    root : Path
        Data root.
    index_path, maps_path, masks_path : Path
        Where the manifests lie.
    index : IndexManifest
        Images of the split.
    maps : MapsManifest
        Their fused maps.
    masks : MasksManifest
        Its coarse masks.
    settings : RefineSettings
        The resolved block.
    device : str
        ``cpu`` or ``cuda:<index>``, where a network shall run.
    seed : int
        Seed of a network's random weights.

    Raises
    ------
    WeightsError
        If the weights of a network are missing, damaged or of another one.
    ManifestError
        If the masks are not coarse ones, or maps or masks not of exactly the images that the index lists for the split.
    """

    def __init__(
        self,
        *,
        root: Path,
        index_path: Path,
        index: IndexManifest,
        maps_path: Path,
        maps: MapsManifest,
        masks_path: Path,
        masks: MasksManifest,
        settings: RefineSettings,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        images, wanted = index.images, (index.category, index.split)
        if masks.stage != "coarse" or (masks.category, masks.split) != wanted:
            raise ManifestError(
                f"{masks_path}: {masks.stage} masks of {masks.category} {masks.split}, expected coarse ones of "
                f"{' '.join(wanted)}; give the manifest of the binarize stage of this split"
            )
        for path, kind, records in ((maps_path, "maps", maps.maps), (masks_path, "masks", masks.masks)):
            if tuple(image.id for image in images) != tuple(record.id for record in records):
                raise ManifestError(
                    f"{path}: its {len(records)} {kind} are not those of the {len(images)} images that "
                    f"{index_path} lists for split {index.split}; rebuild them with: {repair_command(path)}"
                )
        self._root, self._index_path = root, index_path
        self._images = {image.id: image for image in images}
        self._maps_path, self._maps = maps_path, {record.id: record for record in maps.maps}
        self._masks_path = masks_path
        self._settings = settings
        has_prompts = any(mask.foreground_px for mask in masks.masks)
        self._segmenter = segmenter_for(settings, device, seed) if has_prompts else None

    def write(self, record: MaskRecord, folder: Path, published_as: str) -> MaskRecord:
        """Refine one mask and write the result into a folder.

        Parameters
        ----------
        record : MaskRecord
            The coarse mask.
        folder : Path
            Folder to write to.
        published_as : str
            Name that the folder has beside the manifest in the end.

        Returns
        -------
        MaskRecord
            Entry for the manifest.

        Raises
        ------
        DataError
            If the photograph cannot be read or has another size than its mask.
        ManifestError
            If the coarse mask or the map is not the one that its manifest describes.
        """
        coarse = load_mask(self._masks_path, record)
        if self._segmenter is None or not coarse.any():
            return save_mask(folder, published_as, record.id, coarse)
        image = self._read_photograph(record)
        scores = load_map(self._maps_path, self._maps[record.id])
        refined, kept_coarse = refine_at_scale(image, coarse, scores, self._segmenter, self._settings)
        return save_mask(folder, published_as, record.id, refined, kept_coarse=kept_coarse)

    def _read_photograph(self, record: MaskRecord) -> UInt8Array:
        path = self._root / self._images[record.id].file
        image = read_indexed(self._images[record.id], self._root, self._index_path)
        if image.shape[:2] != (record.height, record.width):
            raise DataError(
                f"{path}: {image.shape[1]} x {image.shape[0]} px, but its coarse mask has {record.width} x "
                f"{record.height} px; the photograph changed: rebuild everything below the index"
            )
        return image
