"""Reading the tile maps of a split and dealing them out to their images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seamark.errors import ManifestError
from seamark.files.arrays import open_array
from seamark.files.images import Float32Array
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.repair import repair_command
from seamark.tiles.geometry import Box


def open_tile_maps(path: Path, scored: TilemapsManifest, tiles: TilesManifest) -> Float32Array:
    """Open the scores of all tiles of a split, float32 (T, h, w), as a read-only memory map.

    Raises
    ------
    ManifestError
        If the file is missing or damaged, has another shape or dtype than promised, or belongs to other tiles.
    """
    if scored.tiles_sha256 != tiles.sha256 or scored.shape[0] != tiles.shape[0]:
        raise ManifestError(f"{path}: these are scores of other tiles than {tiles.file}; rebuild infer")
    return open_array(path, np.float32, scored.shape, "tile maps", _rebuild(path))


def _rebuild(path: Path) -> str:
    return f"rebuild them with: {repair_command(path.with_name(path.name.replace('.components', '')))}"


def components_path(path: Path) -> Path:
    """Return where the two maps per tile lie whose mean is the tile map of a file."""
    return path.with_suffix(".components.npy")


def weighted_components(path: Path, scores: Float32Array, alpha: float) -> Float32Array:
    """Return tile maps, float32 (T, h, w), with other weights of their two components.

    Parameters
    ----------
    path : Path
        The .npy file of the tile maps.
    scores : ndarray of float32, shape (T, h, w)
        What it holds; they are returned for a detector without components.
    alpha : float
        Weight of the first component; the second has the rest.

    Raises
    ------
    ManifestError
        If the components cannot be read or belong to other scores.
    """
    parts = components_path(path)
    if not parts.exists():
        return scores
    components = open_array(parts, np.float32, (len(scores), 2, *scores.shape[1:]), "components", _rebuild(path))
    first: Float32Array = components[:, 0]
    second: Float32Array = components[:, 1]
    if not np.array_equal(np.float32(0.5) * (first + second), scores):
        raise ManifestError(f"{parts}: these are components of other scores than {path.name}; {_rebuild(path)}")
    return weighted(components, alpha)


def weighted(components: Float32Array, alpha: float) -> Float32Array:
    """Return the weighted mean (n, h, w) of two maps per tile (n, 2, h, w), ``alpha`` the weight of the first one."""
    mean: Float32Array = np.float32(alpha) * components[:, 0] + np.float32(1.0 - alpha) * components[:, 1]
    return mean


@dataclass(frozen=True)
class ScoredImage:
    """The tile maps of one image."""

    id: str
    image_shape: tuple[int, int]
    """Height and width in px."""
    boxes: tuple[Box, ...]
    scores: Float32Array
    """Shape (n, h, w), possibly a memory map."""


def scored_images(scores: Float32Array, scored: TilemapsManifest, tiles: TilesManifest) -> list[ScoredImage]:
    """Deal the tile maps of a split, float32 (T, h, w), out to their images, in the order of the tiles.

    Raises
    ------
    ManifestError
        If a score is not finite or the images have another number of tiles than the array.
    """
    images, first = [], 0
    for image in tiles.images:
        part = scores[first : first + len(image.boxes_xyxy)]
        _check_finite(part, scored, image.id, first)
        images.append(ScoredImage(image.id, (image.height, image.width), image.boxes_xyxy, part))
        first += len(image.boxes_xyxy)
    if first != len(scores):
        raise ManifestError(f"{scored.file}: {len(scores)} tile maps for {first} tiles; rebuild infer")
    return images


def _check_finite(part: Float32Array, scored: TilemapsManifest, image_id: str, first: int) -> None:
    strange = ~np.isfinite(part).all(axis=(1, 2))
    if strange.any():
        tile = int(strange.argmax())
        raise ManifestError(
            f"{scored.file}: detector {scored.detector}, category {scored.category}, split {scored.split}: tile {tile} "
            f"of image {image_id} (index {first + tile} of the array) has non-finite scores; train the detector again"
        )
