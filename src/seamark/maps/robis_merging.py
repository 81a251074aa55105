"""RoBiS's released merge: what its code does to tile maps, with every quirk of it a setting.

Source: docs/methods/robis.md#merging-as-released. Each tile map is brought to the model's input, then to its share of
the merged map, and blurred by 5 x 5 px; all tiles of a split are stretched to 0..255 together; the stretched tiles are
averaged where they overlap.

The chain before the stretching is linear and separable, so it is one sparse matrix per axis, with at most three entries
in a row at the released sizes. Sums in float16 are rounded only where tiles overlap: elsewhere there is nothing to sum.
Two passes over the tile maps, one image at a time; no pass keeps a tile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from seamark.errors import ConfigError
from seamark.files.images import Float32Array
from seamark.files.parallel import MapItems
from seamark.maps.merging import side_by_side
from seamark.maps.robis_axes import RobisAxis, TilePlacement, as_sparse, placements, tile_operator
from seamark.maps.tile_maps import ScoredImage
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.tiles.geometry import map_shape

SMALLEST_NORMAL_HALF = 2.0**-14
SUBNORMAL_HALVES_PER_UNIT = 2.0**24
RANGE_EPS = 1e-8


def round_to_half(values: Float32Array) -> None:
    """Round float32 to float16 and back in place, ties to even as the hardware does it.

    The values are C-contiguous, finite and of magnitude up to 65504.
    """
    tiny = np.abs(values) < SMALLEST_NORMAL_HALF
    subnormal = np.rint(values[tiny] * np.float32(SUBNORMAL_HALVES_PER_UNIT)) / np.float32(SUBNORMAL_HALVES_PER_UNIT)
    bits = values.view(np.uint32)
    bits += ((bits >> np.uint32(13)) & np.uint32(1)) + np.uint32(0x0FFF)
    bits &= np.uint32(0xFFFFE000)
    values[tiny] = subnormal


@dataclass(frozen=True)
class ScoreRange:
    """Smallest and largest value of blurred tile maps."""

    low: float
    high: float


def tile_range(image: ScoredImage, grid: GridSettings, settings: MergeSettings) -> ScoreRange:
    """Return the range of the blurred tile maps of one image in raw score units, what lies in the padding included."""
    tiles, h, w = image.scores.shape
    tile_px = round(grid.window_px * settings.scale)
    down = as_sparse(tile_operator(h, grid.input_shape[0], tile_px, settings.robis))
    across = as_sparse(tile_operator(w, grid.input_shape[1], tile_px, settings.robis))
    widened = across @ np.ascontiguousarray(image.scores.transpose(2, 0, 1)).reshape(w, tiles * h)
    blurred = down @ np.ascontiguousarray(widened.reshape(tile_px * tiles, h).T)
    return ScoreRange(float(blurred.min()), float(blurred.max()))


def average_tiles(
    strips: Sequence[Float32Array],
    down: Sequence[TilePlacement],
    across: Sequence[TilePlacement],
    shape: tuple[int, int],
    precision: str,
) -> Float32Array:
    """Average tiles where they overlap, adding row by row and from left to right.

    Parameters
    ----------
    strips : sequence of ndarray of float32, each of shape (n, m)
        The tiles of each row side by side, cut to the map.
    down, across : sequence of TilePlacement
        Where the rows and columns of tiles go.
    shape : tuple of int
        Height and width of the map.
    precision : {"float16", "float32"}
        float16: every sum and the average are rounded to float16.

    Returns
    -------
    ndarray of float32, shape (height, width)
        Averages; 0 where no tile reaches.
    """
    merged = np.zeros(shape, np.float32)
    for row, strip in zip(down, strips, strict=True):
        taken = 0
        for column in across:
            tile = strip[:, taken : taken + column.operator.shape[0]]
            taken += tile.shape[1]
            target = merged[row.start : row.start + tile.shape[0], column.start : column.start + tile.shape[1]]
            top, left = max(0, row.covered - row.start), max(0, column.covered - column.start)
            target[top:, left:] = tile[top:, left:]
            for overlap in (np.s_[:top], np.s_[top:, :left]):
                target[overlap] += tile[overlap]
                if precision == "float16":
                    round_to_half(target[overlap])
    merged /= np.outer(_coverage(down, shape[0]), _coverage(across, shape[1]))
    if precision == "float16":
        round_to_half(merged)
    return merged


def _coverage(placed: Sequence[TilePlacement], length: int) -> Float32Array:
    counts = np.zeros(length, np.float32)
    for part in placed:
        counts[part.start : part.start + part.operator.shape[0]] += 1.0
    return np.maximum(counts, np.float32(1.0))


def _axes(
    image: ScoredImage, starts: tuple[tuple[int, ...], tuple[int, ...]], grid: GridSettings, settings: MergeSettings
) -> list[tuple[TilePlacement, ...]]:
    """Placements of rows and of columns."""
    shape = map_shape(image.image_shape, settings.scale)
    return [
        placements(
            RobisAxis(
                starts[axis],
                grid.window_px,
                grid.overlap,
                settings.scale,
                shape[axis],
                grid.input_shape[axis],
                image.scores.shape[1 + axis],
            ),
            settings.robis,
        )
        for axis in (0, 1)
    ]


def merge_robis(
    image: ScoredImage, score_range: ScoreRange | None, grid: GridSettings, settings: MergeSettings
) -> Float32Array:
    """Merge the tile maps of one image.

    Parameters
    ----------
    image : ScoredImage
        Tile maps of shape (n, h, w) and their windows.
    score_range : ScoreRange or None
        Range of the split, which is stretched to 0..255; None leaves the scores raw.
    grid, settings : GridSettings, MergeSettings
        The tiling, scale and quirks.

    Returns
    -------
    ndarray of float32, shape (max(1, round(H * scale)), max(1, round(W * scale)))
        Scores; with precision ``float16`` each is a float16.

    Raises
    ------
    ManifestError
        If the tiles are not full rows and columns.
    """
    h, w = image.scores.shape[1:]
    mosaic, rows, columns = side_by_side(image.scores, image.boxes)
    starts = (tuple(start for start, _ in rows), tuple(start for start, _ in columns))
    down, across = _axes(image, starts, grid, settings)
    turned = [np.ascontiguousarray(mosaic[:, w * tile : w * (tile + 1)].T) for tile in range(len(across))]
    widened = np.concatenate([column.operator @ cells for column, cells in zip(across, turned, strict=True)])
    strips = []
    for tile, row in enumerate(down):
        strip = row.operator @ np.ascontiguousarray(widened[:, h * tile : h * (tile + 1)].T)
        if score_range is not None:
            strip -= np.float32(score_range.low)
            strip *= np.float32(255.0 / (score_range.high - score_range.low + RANGE_EPS))
        if settings.robis.precision == "float16":
            round_to_half(strip)
        strips.append(strip)
    return average_tiles(strips, down, across, map_shape(image.image_shape, settings.scale), settings.robis.precision)


def robis_merge(
    images: Sequence[ScoredImage], grid: GridSettings, settings: MergeSettings, map_images: MapItems
) -> Callable[[ScoredImage], Float32Array]:
    """Look through the tile maps of a split and return the function that merges one of its images.

    Parameters
    ----------
    images : sequence of ScoredImage
        All images of the split: with ``score_range: split`` the map of each depends on all of them.
    grid, settings : GridSettings, MergeSettings
        The tiling, scale and quirks.
    map_images : callable
        Applies a function to every image.

    Returns
    -------
    callable
        From an image of the split to its map, see :func:`merge_robis`.

    Raises
    ------
    ConfigError
        If the grid is not one that the released merge can work on.
    """
    refusal = settings.refusal(grid)
    if refusal:
        raise ConfigError(refusal)
    score_range = None
    if settings.robis.score_range == "split":
        ranges = map_images(partial(tile_range, grid=grid, settings=settings), images, "images looked through")
        score_range = ScoreRange(min(part.low for part in ranges), max(part.high for part in ranges))
    return partial(merge_robis, score_range=score_range, grid=grid, settings=settings)
