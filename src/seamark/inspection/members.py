"""The members of a bundle's fusion: from a photograph to its anomaly map."""

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from seamark.errors import DataError
from seamark.files.images import Float32Array, UInt8Array
from seamark.manifests.bundle import BundledMember
from seamark.manifests.maps import Scaling
from seamark.manifests.tilemaps import CellGeometry
from seamark.maps.merge_methods import merging
from seamark.maps.merging import cell_side
from seamark.maps.tile_maps import ScoredImage, weighted
from seamark.settings.merge import MergeSettings
from seamark.tiles.cutting import cut_photograph
from seamark.tiles.geometry import tile_boxes, tile_count

MOST_TILE_SHARE, MOST_TILE_PX = 1000, 1 << 24
"""Pixels that the tiles of a photograph may have together: so many times its own, and those of one large tile."""

LARGE_PX = 1 << 24
"""Pixels from which on photographs are judged one at a time: each takes up to 30 bytes of memory a pixel."""


class Scorer(Protocol):
    """A trained detector, computed by whatever library."""

    @property
    def cells(self) -> CellGeometry:
        """Where the cells of a tile map lie in a tile."""
        ...

    def __call__(self, tiles: UInt8Array) -> tuple[Float32Array, Float32Array | None]:
        """Score tiles, uint8 (T, H, W, C): scores (T, h, w), and the two maps (T, 2, h, w) that they are the mean of.

        Raises DataError if a score is not finite.
        """
        ...


class Member:
    """A trained detector with its grid.

    Parameters
    ----------
    scorer : Scorer
        The detector.
    record : BundledMember
        What the bundle says of it.
    merge : MergeSettings
        How its tile maps become one map.
    """

    def __init__(self, scorer: Scorer, record: BundledMember, merge: MergeSettings) -> None:
        self._scorer, self._grid, self._merge = scorer, record.grid, merge
        self.scaling: Scaling = record.scaling

    def map_of(self, photograph: UInt8Array) -> tuple[Float32Array, float]:
        """Return the anomaly map of a photograph, uint8 (H, W, C), as the stages crop, infer and merge make it.

        Returns
        -------
        tuple
            The map, float32 (h, w), and the side of its cells in px of the photograph.

        Raises
        ------
        DataError
            If a score is not finite, or the tiles have more than 1000 times the pixels of the photograph.
        """
        height, width = photograph.shape[:2]
        number = tile_count(width, height, self._grid)
        if number * math.prod(self._grid.input_shape) > MOST_TILE_SHARE * width * height + MOST_TILE_PX:
            raise DataError(
                f"{number} tiles of {self._grid.input_px} px for a photograph of {width} x {height} px; expected a "
                "grid with a larger window_px or less overlap: make the bundle of such a run"
            )
        boxes = tuple(tile_boxes(width, height, self._grid))
        scores, components = self._scorer(cut_photograph(photograph, boxes, self._grid))
        if self._merge.alpha is not None and components is not None:
            scores = weighted(components, self._merge.alpha)
        image, cells = ScoredImage("photograph", (height, width), boxes, scores), self._scorer.cells
        merged = merging([image], cells, self._grid, self._merge, _one_by_one)(image)
        if width * height > LARGE_PX:
            return_memory()
        return merged, cell_side(boxes[0], cells, self._grid.input_shape)


def return_memory() -> None:
    """Return freed memory to the system: glibc keeps, for each thread, what it was asked for in pieces up to 32 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _one_by_one(function: Callable[[Any], Any], items: Sequence[Any], what: str) -> list[Any]:  # noqa: ARG001
    return [function(item) for item in items]
