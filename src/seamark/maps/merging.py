"""Merging the tile maps of an image into one anomaly map.

Sampling between cells, blending of overlapping tiles and Gaussian smoothing are linear and act on rows and columns
separately. Tiles lie in rows and columns too, so the whole merge is ``down @ M @ across.T``: ``M`` holds the tile maps
side by side, ``down`` and ``across`` are sparse matrices that depend on the image size only. That is a handful of
multiplications per map pixel, no seam arithmetic, and the same bits for any number of threads.

Differences from the released merge (docs/methods/robis.md#merging-as-released, :mod:`seamark.maps.robis_merging`),
which places 256 x 256 tile maps every 230 px without resampling and averages in float16: tiles lie at their true
positions at any scale, sums are float64, and smoothing comes after merging with its borders normalised.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from seamark.errors import ManifestError
from seamark.files.images import Float32Array, Float64Array
from seamark.manifests.tilemaps import CellGeometry
from seamark.maps.tile_maps import ScoredImage
from seamark.settings.merge import MergeSettings
from seamark.tiles.geometry import Box, map_shape

Spans = tuple[tuple[int, int], ...]
"""Start and end of each row (or column) of tiles in image px, ascending."""
Real = TypeVar("Real", np.float32, np.float64)

STRIP_ROWS = 256
"""Rows of a map that are in memory as float64."""

SMALLEST_SIGMA = 0.3
"""Sigma in map px below which smoothing would do nothing but cost time."""

SMALLEST_WEIGHT = 1e-6
"""Hann weight at the very border of a tile: where no other tile lies, it is normalised away."""


@dataclass(frozen=True)
class TileAxis:
    """One axis of a merge."""

    image_px: int
    map_px: int
    spans: Spans
    input_px: int
    """Side of a tile in px of the model input."""
    cells: int
    """Cells of a tile map."""
    stride_px: float
    """Distance of cell centres in px of the model input."""
    offset_px: float
    """Centre of the first cell in px of the model input."""

    def centres(self) -> Float64Array:
        """Centres of all map pixels in image px, shape (map_px,)."""
        return np.asarray((np.arange(self.map_px) + 0.5) * (self.image_px / self.map_px), np.float64)

    def sigma_px(self, settings: MergeSettings) -> float:
        """Gaussian smoothing in image px; the windows of an axis are equally long."""
        if settings.smooth_sigma_px is not None:
            return settings.smooth_sigma_px
        start, end = self.spans[0]
        return settings.smooth_sigma_cells * self.stride_px * (end - start) / self.input_px


def _blend_weights(position: Float64Array, blend: str) -> Float64Array:
    """Weight of a tile at relative positions in it; 0 outside [0, 1)."""
    inside = (position >= 0.0) & (position < 1.0)
    weight = np.ones_like(position) if blend == "mean" else np.sin(np.pi * position) ** 2
    return np.where(inside, np.maximum(weight, SMALLEST_WEIGHT), 0.0)


def _sampling(axis: TileAxis, blend: str) -> sparse.csr_array:
    """(map_px, tiles * cells): linear between the two nearest cell centres, weighted, each row summing to 1."""
    columns, values = [], []
    for tile, (start, end) in enumerate(axis.spans):
        position = (axis.centres() - start) / (end - start)
        weight = _blend_weights(position, blend)
        cell = np.clip((position * axis.input_px - axis.offset_px) / axis.stride_px, 0, axis.cells - 1)
        lower = np.minimum(np.floor(cell), max(axis.cells - 2, 0)).astype(np.int64)
        upper = np.minimum(lower + 1, axis.cells - 1)
        columns += [tile * axis.cells + lower, tile * axis.cells + upper]
        values += [weight * (1.0 - (cell - lower)), weight * (cell - lower)]
    total = np.sum(values, axis=0)
    if not total.all():
        raise ManifestError("the tiles do not cover the image; rebuild the tiles with crop")
    rows = np.tile(np.arange(axis.map_px), len(values))
    entries = (np.concatenate(values) / np.tile(total, len(values)), (rows, np.concatenate(columns)))
    operator = sparse.csr_array(entries, shape=(axis.map_px, len(axis.spans) * axis.cells))
    operator.eliminate_zeros()
    return operator


def _smoothing(length: int, sigma: float) -> sparse.csr_array:
    """(length, length): a Gaussian cut at 4 sigma, each row divided by the part of it that lies inside."""
    radius = min(int(np.ceil(4.0 * sigma)), length - 1)
    offsets = np.arange(-radius, radius + 1)
    bands = np.repeat(np.exp(-0.5 * (offsets / sigma) ** 2)[:, np.newaxis], length, axis=1)
    kernel = sparse.dia_array((bands, offsets), shape=(length, length)).tocsr()
    return sparse.csr_array(kernel / kernel.sum(axis=1)[:, np.newaxis])


@lru_cache(maxsize=16)
def axis_operator(axis: TileAxis, blend: str, sigma_px: float) -> sparse.csr_array:
    """Return the matrix that turns the cells of one axis into map pixels.

    Parameters
    ----------
    axis : TileAxis
        Tiles, cells and map of the axis.
    blend : {"mean", "hann"}
        mean: covering tiles count the same; hann: each by sin^2(pi u) of the position u in its window.
    sigma_px : float
        Gaussian smoothing in image px; less than 0.3 map px counts as none.

    Returns
    -------
    csr_array of float64, shape (map_px, tiles * cells)
        Rows sum to 1, so constant tile maps give the same constant everywhere.

    Raises
    ------
    ManifestError
        If the tiles do not cover the axis.
    """
    operator = _sampling(axis, blend)
    sigma = sigma_px * axis.map_px / axis.image_px
    if sigma >= SMALLEST_SIGMA:
        operator = sparse.csr_array(_smoothing(axis.map_px, sigma) @ operator)
    operator.sort_indices()
    return operator


def side_by_side(tile_maps: npt.NDArray[Real], boxes: Sequence[Box]) -> tuple[npt.NDArray[Real], Spans, Spans]:
    """Lay the tile maps of an image, float (n, h, w), out as they lie in it, overlap and all.

    Returns
    -------
    tuple
        Mosaic of shape (rows * h, columns * w), and the spans of rows and columns in image px.

    Raises
    ------
    ManifestError
        If the number of tile maps and boxes differs or the boxes, in any order, are not full rows and columns.
    """
    if tile_maps.ndim != 3 or len(tile_maps) != len(boxes):
        raise ManifestError(f"tile maps of shape {tile_maps.shape}, expected ({len(boxes)}, h, w); rebuild infer")
    rows = tuple(sorted({(y0, y1) for _, y0, _, y1 in boxes}))
    columns = tuple(sorted({(x0, x1) for x0, _, x1, _ in boxes}))
    place = {box: tile for tile, box in enumerate(boxes)}
    wanted = [(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns]
    if len(place) != len(boxes) or len(boxes) != len(wanted) or any(box not in place for box in wanted):
        raise ManifestError(f"{len(boxes)} tiles do not form full rows and columns; rebuild the tiles with crop")
    h, w = tile_maps.shape[1:]
    ordered = tile_maps[[place[box] for box in wanted]].reshape(len(rows), len(columns), h, w)
    return ordered.transpose(0, 2, 1, 3).reshape(len(rows) * h, len(columns) * w), rows, columns


def merge_tiles(
    tile_maps: Float32Array,
    boxes: Sequence[Box],
    cells: CellGeometry,
    input_shape: tuple[int, int],
    *,
    image_shape: tuple[int, int],
    settings: MergeSettings,
) -> Float32Array:
    """Merge the tile maps of one image.

    The centre of map pixel j lies at ``(j + 0.5) / scale`` in image px; it is carried into every tile that covers it
    and sampled linearly between cell centres, where the outermost cells extend to the border of the tile. The map is
    sampled, not averaged, at scales below 1. Cells that lie in the padding matter only as neighbours in sampling.

    Parameters
    ----------
    tile_maps : ndarray of float32, shape (n, h, w)
        Scores of the tiles, finite.
    boxes : sequence of (x0, y0, x1, y1)
        Window of each tile in image px; any order, but together full rows and columns that cover the image.
    cells : CellGeometry
        Where the cells lie in the model input.
    input_shape, image_shape : tuple of int
        Height and width of a tile in px of the model input, and of the image in px.
    settings : MergeSettings
        Scale, blending, smoothing.

    Returns
    -------
    ndarray of float32, shape (max(1, round(H * scale)), max(1, round(W * scale)))
        Scores in the same unit.

    Raises
    ------
    ManifestError
        If the number of tile maps and boxes differs or the boxes are not full rows and columns that cover the image.
    """
    mosaic, rows, columns = side_by_side(tile_maps.astype(np.float64), boxes)
    height, width = map_shape(image_shape, settings.scale)
    h, w = tile_maps.shape[1:]
    (stride_y, stride_x), (offset_y, offset_x) = cells.stride_px, cells.offset_px
    down = TileAxis(image_shape[0], height, rows, input_shape[0], h, stride_y, offset_y)
    across = TileAxis(image_shape[1], width, columns, input_shape[1], w, stride_x, offset_x)
    from_cells = [axis_operator(axis, settings.blend, axis.sigma_px(settings)) for axis in (down, across)]
    widened = np.ascontiguousarray((from_cells[1] @ np.ascontiguousarray(mosaic.T)).T)
    merged = np.empty((height, width), np.float32)
    for top in range(0, height, STRIP_ROWS):
        merged[top : top + STRIP_ROWS] = from_cells[0][top : top + STRIP_ROWS] @ widened
    return merged


def cell_side(box: Box, cells: CellGeometry, input_shape: tuple[int, int]) -> float:
    """Return the side of a square as large as a cell in image px, of a window (x0, y0, x1, y1) that fills the input."""
    x0, y0, x1, y1 = box
    down, across = cells.stride_px[0] * (y1 - y0) / input_shape[0], cells.stride_px[1] * (x1 - x0) / input_shape[1]
    return math.sqrt(down * across)


def merge_image(
    image: ScoredImage, cells: CellGeometry, input_shape: tuple[int, int], settings: MergeSettings
) -> Float32Array:
    """Merge the tile maps of one image of a split, see :func:`merge_tiles`."""
    return merge_tiles(image.scores, image.boxes, cells, input_shape, image_shape=image.image_shape, settings=settings)
