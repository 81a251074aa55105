"""Tiles over the whole cells of a shrunken photograph, as SuperADD cuts them, and which part of a tile is its own.

Source: docs/methods/superadd.md#tiles.
"""

from collections.abc import Sequence
from itertools import pairwise

from seamark.errors import DataError
from seamark.settings.grid import GridSettings


def shrunken_side(length: int, grid: GridSettings) -> int:
    """Return a side of the shrunken photograph in px, ``int(length * input_px / window_px)``."""
    return length * grid.input_shape[0] // grid.window_px


def cell_starts(length: int, grid: GridSettings) -> tuple[int, ...]:
    """Return where the tiles of an axis start, in cells of the shrunken photograph, ascending from 0.

    There are ``ceil((T - w) / stride) + 1`` tiles of w cells for T whole cells, spread as evenly as rounding down
    allows, so that neighbours have at least ``overlap`` of a tile in common.

    Parameters
    ----------
    length : int
        Side of the photograph in px.
    grid : GridSettings
        Of the layout cells.

    Raises
    ------
    DataError
        If the shrunken photograph is smaller than a tile.
    """
    cells, window = shrunken_side(length, grid) // grid.cell_px, grid.window_cells
    if cells < window:
        raise DataError(
            f"a photograph's side of {length} px gives {cells} cells, and a tile of the layout cells has {window}; set "
            "the grid's window_px and input_px lower in one proportion, or take the layout even and merge.method exact"
        )
    stride = int(window * (1.0 - grid.overlap))
    tiles = -((window - cells) // stride) + 1
    return tuple(tile * (cells - window) // max(1, tiles - 1) for tile in range(tiles))


def own_spans(starts: Sequence[int], window: int) -> list[tuple[int, int]]:
    """Return from where to where each tile of an axis is nearer to its middle than its neighbours; they abut.

    An overlap of d is cut after its first ``ceil(d / 2)``. Spans are half-open, in the unit of the starts, and counted
    from the start of their tile.

    >>> own_spans([0, 24], 40)
    [(0, 32), (8, 40)]
    """
    shared = [0, *(before + window - after for before, after in pairwise(starts)), 0]
    return [(-(-before // 2), window - after // 2) for before, after in pairwise(shared)]
