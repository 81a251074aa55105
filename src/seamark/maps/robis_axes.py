"""RoBiS's released merge along one axis: resizing, blur and place of tiles as one sparse matrix per row or column.

Source: docs/methods/robis.md#merging-as-released.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from seamark.files.images import Float64Array
from seamark.settings.merge import RobisMergeSettings
from seamark.tiles.geometry import tile_stride

BLUR_SIGMA, BLUR_RADIUS = 4.0, 2
"""The Gaussian of the released code, in px of the merged map: five weights, so it is nearly a plain average."""


def resizing(cells: int, length: int, *, align_corners: bool, extent: float | None = None) -> Float64Array:
    """Return the matrix of linear interpolation from ``cells`` to ``length`` samples, without antialiasing.

    With ``align_corners`` the first and last samples of both lie on each other, otherwise both cover the same extent,
    or the samples ``extent`` cells of it. It is float64 (length, cells), and rows sum to 1.
    """
    target = np.arange(length)
    if align_corners:
        position = target * ((cells - 1) / max(length - 1, 1))
    else:
        position = np.clip((target + 0.5) * ((extent or cells) / length) - 0.5, 0.0, cells - 1)
    lower = np.minimum(position.astype(np.int64), max(cells - 2, 0))
    matrix = np.zeros((length, cells))
    np.add.at(matrix, (target, lower), 1.0 - (position - lower))
    np.add.at(matrix, (target, np.minimum(lower + 1, cells - 1)), position - lower)
    return matrix


def blurring(length: int, border: str) -> Float64Array:
    """Return the matrix of the released Gaussian blur along one axis, float64 (length, length).

    The border ``zeros`` takes what lies beyond as 0, so the matrix is symmetric; ``normalised`` divides each row by its
    sum.
    """
    offsets = np.arange(-BLUR_RADIUS, BLUR_RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / BLUR_SIGMA) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((length, length))
    for offset, weight in zip(offsets, weights, strict=True):
        matrix += weight * np.eye(length, k=int(offset))
    return matrix / matrix.sum(axis=1, keepdims=True) if border == "normalised" else matrix


@lru_cache(maxsize=8)
def tile_operator(cells: int, input_px: int, length: int, settings: RobisMergeSettings) -> Float64Array:
    """Return the matrix that turns the cells of a tile into its share of the merged map, along one axis.

    It is float64 (length, cells) for the side of the tile in px of the merged map. For 37 cells, 518 px of model input
    and 256 px with zeros beyond the border, rows sum to 0.6063, 0.8124, 1, 1, ...
    """
    to_input = resizing(cells, input_px, align_corners=settings.align_corners)
    to_map = resizing(input_px, length, align_corners=False)
    return blurring(length, settings.blur_border) @ to_map @ to_input


@dataclass(frozen=True)
class RobisAxis:
    """One axis of a released merge."""

    starts: tuple[int, ...]
    """Where each row (or column) of tiles starts in the image, in px, ascending."""
    window_px: int
    overlap: float
    scale: float
    map_px: int
    input_px: int
    cells: int

    @property
    def tile_px(self) -> int:
        """Side of a tile in px of the merged map."""
        return round(self.window_px * self.scale)


@dataclass(frozen=True)
class TilePlacement:
    """Where one row (or column) of tiles goes in the merged map."""

    start: int
    covered: int
    """End of the tiles before it: what lies before this already holds a sum."""
    operator: sparse.csr_array
    """(n, cells): from cells to the n map px from ``start`` that lie within the map."""


def as_sparse(operator: Float64Array) -> sparse.csr_array:
    """Return a matrix in float32 without its zeros."""
    return sparse.csr_array(operator.astype(np.float32))


def _shift(position: float, length: int) -> tuple[int, Float64Array]:
    """Return the first map px with its centre in a tile that starts at a fractional position, and how to sample it."""
    start = int(np.ceil(position - 0.5))
    sample = np.clip(start - position + np.arange(length), 0.0, length - 1)
    lower = np.minimum(sample.astype(np.int64), max(length - 2, 0))
    matrix = np.zeros((length, length))
    matrix[np.arange(length), lower] = 1.0 - (sample - lower)
    matrix[np.arange(length), np.minimum(lower + 1, length - 1)] += sample - lower
    return start, matrix


@lru_cache(maxsize=32)
def placements(axis: RobisAxis, settings: RobisMergeSettings) -> tuple[TilePlacement, ...]:
    """Return where the rows (or columns) of tiles go and how their cells become map px; parts beyond the map are cut.

    The stride ``truncated`` puts tile i at i times the truncated stride of the map, ``exact`` at its own start.
    """
    operator = tile_operator(axis.cells, axis.input_px, axis.tile_px, settings)
    stride = tile_stride(axis.tile_px, axis.overlap)
    placed: list[TilePlacement] = []
    covered = 0
    for tile, image_start in enumerate(axis.starts):
        start, sampled = stride * tile, operator
        if settings.stride == "exact":
            start, shift = _shift(image_start * axis.scale, axis.tile_px)
            sampled = shift @ operator
        placed.append(TilePlacement(start, covered, as_sparse(sampled[: max(0, axis.map_px - start)])))
        covered = start + axis.tile_px
    return tuple(placed)
