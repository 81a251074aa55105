"""Seam check: whether scores jump more across the borders of tiles than elsewhere."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from operator import add

import cv2
import numpy as np

from seamark.files.images import Float32Array
from seamark.settings.grid import GridSettings
from seamark.tiles.geometry import tile_boxes


@dataclass(frozen=True)
class ScoreJumps:
    """Sums of the absolute score differences of neighbouring map pixels; adds up over images.

    Pairs of neighbours that a tile border separates stand apart from all others; sums are in raw score units.
    """

    border: float = 0.0
    inside: float = 0.0
    border_pairs: int = 0
    inside_pairs: int = 0

    @classmethod
    def of(cls, anomaly_map: Float32Array, image_shape: tuple[int, int], grids: Sequence[GridSettings]) -> "ScoreJumps":
        """Sum up the jumps of one map.

        Parameters
        ----------
        anomaly_map : ndarray of float32, shape (h, w)
            As it is stored, before it is enlarged to the size of its image.
        image_shape : tuple of int
            Height and width of the image, px.
        grids : sequence of GridSettings
            How the detectors behind the map cut the image; borders of any of them count.
        """
        height, width = image_shape
        boxes = [box for grid in grids for box in tile_boxes(width, height, grid)]
        columns = _border_pairs({x for box in boxes for x in box[::2]}, width, anomaly_map.shape[1])
        rows = _border_pairs({y for box in boxes for y in box[1::2]}, height, anomaly_map.shape[0])
        across = _split(anomaly_map[:, 1:], anomaly_map[:, :-1], 0, columns)
        return across + _split(anomaly_map[1:], anomaly_map[:-1], 1, rows)

    def __add__(self, other: "ScoreJumps") -> "ScoreJumps":
        """Pool the images of both."""
        return ScoreJumps(*map(add, astuple(self), astuple(other)))

    def means(self) -> tuple[float | None, float | None]:
        """Return the mean jump across borders and elsewhere; None where there is no such pair."""
        return (
            self.border / self.border_pairs if self.border_pairs else None,
            self.inside / self.inside_pairs if self.inside_pairs else None,
        )

    def ratio(self) -> float | None:
        """Return how many times larger the mean jump across borders is; None without borders or on a flat map."""
        border, inside = self.means()
        return border / inside if border is not None and inside else None


def _border_pairs(edges: set[int], length: int, map_length: int) -> list[int]:
    """Return which pairs of neighbours along an axis have a tile edge between their centres; pair i is (i, i + 1).

    An edge that meets the centre of a pixel separates it from the one before.
    """
    inside = {edge for edge in edges if 0 < edge < length}
    after = {-((length - 2 * edge * map_length) // (2 * length)) for edge in inside}
    return sorted(pixel - 1 for pixel in after if 0 < pixel < map_length)


def _split(after: Float32Array, before: Float32Array, axis: int, borders: list[int]) -> ScoreJumps:
    """Add up the differences of neighbours along ``axis`` and take those of the border pairs apart from the others."""
    if not after.size:
        return ScoreJumps()
    jumps = cv2.absdiff(after, before)
    sums = cv2.reduce(jumps, axis, cv2.REDUCE_SUM, dtype=cv2.CV_64F).ravel()
    at_border = np.zeros(sums.size, dtype=np.bool_)
    at_border[borders] = True
    crossing = len(borders) * after.shape[axis]
    return ScoreJumps(float(sums[at_border].sum()), float(sums[~at_border].sum()), crossing, after.size - crossing)
