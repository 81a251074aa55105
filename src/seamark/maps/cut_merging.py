"""SuperADD's merge: tiles cut in the middle of their overlaps, their cells as one grid, brought to the map as a whole.

Source: docs/methods/superadd.md#map.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from seamark.errors import ConfigError
from seamark.files.images import Float32Array
from seamark.maps.merging import side_by_side
from seamark.maps.robis_axes import resizing
from seamark.maps.tile_maps import ScoredImage
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.tiles.cells import cell_starts, own_spans, shrunken_side
from seamark.tiles.geometry import map_shape


@dataclass(frozen=True)
class CutAxis:
    """One axis of the merge."""

    starts: tuple[int, ...]
    """Where each row (or column) of tiles starts, in cells of the grid."""
    window: int
    """Cells of the grid along a tile."""
    finer: int
    """Cells of a tile map per cell of the grid."""
    extent: float | None
    """Side of the shrunken image in cells of the tile maps; None to stretch the cells over it."""
    map_px: int


@lru_cache(maxsize=16)
def cut_operator(axis: CutAxis) -> sparse.csr_array:
    """Return the matrix, float64 (map_px, tiles * cells), that turns the cells of one axis into map px.

    Bilinear without antialiasing, as torch does it without aligned corners; rows sum to 1, and what a tile has in
    common with its neighbours beyond the middle has no part in it.
    """
    width = axis.window * axis.finer
    kept = np.concatenate(
        [
            np.arange(tile * width + axis.finer * low, tile * width + axis.finer * high)
            for tile, (low, high) in enumerate(own_spans(axis.starts, axis.window))
        ]
    )
    operator = np.zeros((axis.map_px, len(axis.starts) * width))
    operator[:, kept] = resizing(len(kept), axis.map_px, align_corners=False, extent=axis.extent)
    return sparse.csr_array(operator)


def merge_cut(image: ScoredImage, grid: GridSettings, settings: MergeSettings) -> Float32Array:
    """Merge the tile maps of one image.

    Parameters
    ----------
    image : ScoredImage
        Tile maps of shape (n, h, w), a whole number of cells per cell of the grid.
    grid, settings : GridSettings, MergeSettings
        The tiling, of the layout cells; scale and quirk.

    Returns
    -------
    ndarray of float32, shape (max(1, round(H * scale)), max(1, round(W * scale)))
        Scores in the same unit.

    Raises
    ------
    ManifestError
        If the tiles are not full rows and columns.
    ConfigError
        If the grid is not of the layout cells, or its cells are finer than those of the tile maps.
    """
    if refusal := settings.refusal(grid):
        raise ConfigError(refusal)
    mosaic, _, _ = side_by_side(image.scores.astype(np.float64), image.boxes)
    down, across = (
        cut_operator(_axis(length, cells, map_px, grid, settings))
        for length, cells, map_px in zip(
            image.image_shape, image.scores.shape[1:], map_shape(image.image_shape, settings.scale), strict=True
        )
    )
    widened = across @ np.ascontiguousarray(mosaic.T)
    return np.asarray(down @ np.ascontiguousarray(widened.T), np.float32)


def _axis(length: int, cells: int, map_px: int, grid: GridSettings, settings: MergeSettings) -> CutAxis:
    if cells % grid.window_cells:
        raise ConfigError(
            f"merge.method cut: tile maps of {cells} cells for tiles of {grid.window_cells}; set the grid's cell_px to "
            f"{max(1, grid.input_shape[0] // cells)}, or a multiple of it"
        )
    finer = cells // grid.window_cells
    extent = None if settings.cut.cells == "stretched" else shrunken_side(length, grid) * finer / grid.cell_px
    return CutAxis(cell_starts(length, grid), grid.window_cells, finer, extent, map_px)
