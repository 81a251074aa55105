"""Places of tiles in an image: Swin-Cropping, the even layout, whole cells and the whole image.

Source: docs/methods/robis.md#swin-cropping; whole cells: docs/methods/superadd.md#tiles.
"""

import math
from itertools import product
from typing import Literal

from seamark.errors import ConfigError, DataError
from seamark.settings.grid import GridSettings
from seamark.tiles.cells import cell_starts, own_spans, shrunken_side

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in image px, half-open."""

NPY_HEADER_BYTES = 128
"""What NumPy writes before the values of an array of this kind."""


def tile_stride(window: int, overlap: float) -> int:
    """Return the distance in px of neighbouring tiles of the padded layout, ``trunc(window * (1 - overlap))``.

    The product is truncated as it comes out in floating point, as in the released code: 1024 and 0.1 give 921, 10 and
    0.9 would give 0. Raises ConfigError if the tiles would not advance.

    Examples
    --------
    >>> tile_stride(1024, 0.1)
    921
    """
    if window < 1 or not 0.0 <= overlap < 1.0:
        raise ConfigError(
            f"window {window} px, overlap {overlap}: expected a window of 1 px or more, overlap in [0, 1)"
        )
    stride = int(window * (1.0 - overlap))
    if stride < 1:
        raise ConfigError(f"window {window} px with overlap {overlap} gives a stride of 0 px; use a smaller overlap")
    return stride


def tile_starts(length: int, window: int, overlap: float, layout: Literal["padded", "even"]) -> tuple[int, ...]:
    """Return where the tiles of one axis start, ascending from 0, in px.

    Both layouts have ``ceil((length - window) / stride) + 1`` tiles, and one where that is less. An axis that is not
    longer than the window has one tile at 0.

    Parameters
    ----------
    length, window : int
        Sides of the image and of a tile in px.
    overlap : float
        Share of the window that neighbours have in common, in [0, 1).
    layout : {"padded", "even"}
        padded: multiples of the stride, so the last tile may reach beyond the image; even: spread from the first to
        the last pixel without padding, ``round(i * (length - window) / (n - 1))``, with a stride of at least 1.

    Raises
    ------
    ConfigError
        If the tiles of the padded layout would not advance.
    DataError
        If the axis has no pixel.

    Examples
    --------
    >>> tile_starts(2448, 1024, 0.1, "padded"), tile_starts(2448, 1024, 0.1, "even")
    ((0, 921, 1842), (0, 712, 1424))
    """
    stride = tile_stride(window, overlap) if layout == "padded" else max(1, int(window * (1.0 - overlap)))
    if length < 1:
        raise DataError(f"an image side of {length} px cannot be tiled; expected 1 px or more")
    tiles = max(1, -((window - length) // stride) + 1)
    if layout == "padded" or tiles == 1:
        return tuple(stride * tile for tile in range(tiles))
    return tuple(round(tile * (length - window) / (tiles - 1)) for tile in range(tiles))


def _window(width: int, height: int, grid: GridSettings) -> int:
    return grid.window_px if grid.layout == "padded" else min(grid.window_px, width, height)


def _spans(width: int, height: int, grid: GridSettings) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return starts and ends of the columns and of the rows of tiles."""
    if grid.layout == "whole":
        return [(0, width)], [(0, height)]
    if grid.layout == "cells":
        return _cell_spans(width, grid), _cell_spans(height, grid)
    window = _window(width, height, grid)
    columns, rows = (tile_starts(length, window, grid.overlap, grid.layout) for length in (width, height))
    return [(start, start + window) for start in columns], [(start, start + window) for start in rows]


def _cell_spans(length: int, grid: GridSettings) -> list[tuple[int, int]]:
    """Return the spans of tiles of whole cells in px of the image, to the nearest of them."""
    px = grid.cell_px * length / shrunken_side(length, grid)
    return [(round(px * start), round(px * (start + grid.window_cells))) for start in cell_starts(length, grid)]


def own_parts(width: int, height: int, grid: GridSettings) -> list[Box]:
    """Return which part of each tile is no other's: cut in the middle of overlaps, and at the border of the image.

    Parts are half-open boxes in px of the model's input, in the order of :func:`tile_boxes`; of the layout cells they
    consist of whole cells.

    Examples
    --------
    >>> own_parts(1000, 448, GridSettings(layout="even", window_px=448, input_px=448))
    [(0, 0, 362, 448), (86, 0, 362, 448), (86, 0, 448, 448)]
    """
    if grid.layout == "cells":
        columns, rows = (own_spans(cell_starts(length, grid), grid.window_cells) for length in (width, height))
        across = down = float(grid.cell_px)
    else:
        spans = _spans(width, height, grid)
        columns, rows = (_own_px(own, length) for own, length in zip(spans, (width, height), strict=True))
        across, down = (
            side / (own[0][1] - own[0][0]) for own, side in zip(spans, reversed(grid.input_shape), strict=True)
        )
    return [
        (round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down))
        for (y0, y1), (x0, x1) in product(rows, columns)
    ]


def _own_px(spans: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    starts = [start for start, _ in spans]
    own = own_spans(starts, spans[0][1] - spans[0][0])
    return [(low, min(high, length - start)) for (low, high), start in zip(own, starts, strict=True)]


def tile_count(width: int, height: int, grid: GridSettings) -> int:
    """Return the number of tiles of an image, its size in px, without listing them.

    Examples
    --------
    >>> tile_count(2448, 2048, GridSettings(window_px=1024, overlap=0.1))
    9
    """
    columns, rows = _spans(width, height, grid)
    return len(columns) * len(rows)


def tile_boxes(width: int, height: int, grid: GridSettings) -> list[Box]:
    """Return the windows of all tiles of an image, half-open in image px, rows outer, columns inner.

    Together they cover the image. Of the layout padded they may reach beyond it, and what lies there is padding. Those
    of the layout even are no larger than the image's shorter side, so a small photograph fills the model's input too.
    Those of the layout cells may end before the image does. Raises ConfigError if the tiles would not advance and
    DataError if the image has no pixel, or of the layout cells fewer than a tile.

    Examples
    --------
    >>> tile_boxes(1000, 448, GridSettings(layout="even", window_px=448))
    [(0, 0, 448, 448), (276, 0, 724, 448), (552, 0, 1000, 448)]
    """
    columns, rows = _spans(width, height, grid)
    return [(x0, y0, x1, y1) for (y0, y1), (x0, x1) in product(rows, columns)]


def tile_bytes(tiles: int, input_shape: tuple[int, int], channels: int) -> int:
    """Return the size in bytes of a file that holds a tile array, header included."""
    return NPY_HEADER_BYTES + tiles * input_shape[0] * input_shape[1] * channels


def working_bytes(width: int, height: int, grid: GridSettings) -> int:
    """Return how much memory cutting one image takes: the image twice (as array and as Pillow image) and one window.

    Bytes are those of three channels, which Pillow keeps in 4 bytes per px.
    """
    window = width * height if grid.layout in ("whole", "cells") else _window(width, height, grid) ** 2
    return 7 * width * height + 4 * window


def map_shape(image_shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return height and width of the anomaly map of an image in px, each at least 1, for a scale in (0, 1].

    Examples
    --------
    >>> map_shape((1024, 2232), 0.25)
    (256, 558)
    """
    return max(1, round(image_shape[0] * scale)), max(1, round(image_shape[1] * scale))


def fold_count(shape: tuple[int, ...]) -> int:
    """Return into how many rows (columns of a high one) an image of shape (H, W, ...) is folded to be looked at.

    As many as make it nearest to a square, so that a web does not shrink to a thread.

    Examples
    --------
    >>> fold_count((2048, 2448)), fold_count((3000, 20000)), fold_count((20000, 3000, 3))
    (1, 3, 3)
    """
    return max(1, round(math.sqrt(max(shape[:2]) / min(shape[:2]))))
