"""Defect regions of one image: connected pixels of the truth, and how many of them a mask finds."""

from dataclasses import dataclass
from operator import add
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seamark.errors import DataError
from seamark.files.images import BoolArray, Float64Array, Int64Array

SIZE_EDGES_PX = (100, 1001)
"""Where the next size class of regions begins: below 100 px, 100 to 1000 px, above 1000 px."""


def require_same_shape(array: npt.NDArray[Any], truth: BoolArray, what: str) -> None:
    """Refuse, by a DataError, a map or mask that has not the shape of its truth, or no pixel."""
    if array.shape != truth.shape or array.size == 0:
        raise DataError(
            f"the {what} has shape {array.shape}, the truth {truth.shape}; they must be equal and not empty: "
            "bring the map or mask to the size of the truth first"
        )


@dataclass(frozen=True)
class Regions:
    """The 8-connected regions of the truth of one image (docs/methods/mvtec_ad2.md#aucpro).

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        Region of each defect pixel, 0..m-1; pixels in raster order.
    sizes : ndarray of int64, shape (m,)
        Pixels of each region, at least one.

    Examples
    --------
    >>> truth = np.zeros((4, 6), dtype=bool)
    >>> truth[0, :2] = truth[1, 2] = truth[3, 5] = True
    >>> Regions.of(truth).sizes.tolist()
    [3, 1]
    """

    labels: Int64Array
    sizes: Int64Array

    @classmethod
    def of(cls, truth: BoolArray) -> "Regions":
        """Label the regions of a truth mask, bool (H, W), True where defective; there is none in a good image."""
        if not truth.any():
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        _, labels, statistics, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8), connectivity=8)
        return cls(labels[truth].astype(np.int64) - 1, statistics[1:, cv2.CC_STAT_AREA].astype(np.int64))

    @property
    def count(self) -> int:
        """Number of regions."""
        return int(self.sizes.size)

    def pixel_weights(self) -> Float64Array:
        """Return 1 / size of its region for each defect pixel, shape (n,)."""
        return (1.0 / self.sizes)[self.labels]

    def majority_keys(self, defect_keys: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
        """Return, per region, the largest key that more than half of its pixels reach, uint16 (m,).

        It is the pixel at the 0-based place floor(n / 2) of the n pixels in descending order
        (docs/methods/mvtec_ad2.md#instance-average-precision). Keys, uint16 (n,), are those of the defect pixels in
        raster order.
        """
        ordered = np.sort((self.labels << 16) | defect_keys)
        last = np.cumsum(self.sizes) - 1
        return np.asarray(ordered[last - self.sizes // 2] & 0xFFFF, dtype=np.uint16)


@dataclass(frozen=True)
class FoundRegions:
    """How many regions there are and how many a mask finds, by size class (:data:`SIZE_EDGES_PX`); adds up over images.

    A region is found when the mask covers more than half of its pixels, as for an instance score.

    Examples
    --------
    >>> truth, mask = np.zeros((2, 4, 6), dtype=bool)
    >>> truth[0, :3] = truth[3, 2:] = mask[0, :2] = True
    >>> FoundRegions.of(mask, truth, Regions.of(truth)).recalls()
    (0.5, None, None)
    """

    regions: tuple[int, ...] = (0, 0, 0)
    found: tuple[int, ...] = (0, 0, 0)

    @classmethod
    def of(cls, prediction: BoolArray, truth: BoolArray, regions: Regions) -> "FoundRegions":
        """Count the regions of one image; masks are bool (H, W), True where defective; DataError if shapes differ."""
        require_same_shape(prediction, truth, "predicted mask")
        covered = np.bincount(regions.labels[prediction[truth]], minlength=regions.count)
        classes = np.digitize(regions.sizes, SIZE_EDGES_PX)
        return cls(_tally(classes), _tally(classes[2 * covered > regions.sizes]))

    def __add__(self, other: "FoundRegions") -> "FoundRegions":
        """Pool the images of both."""
        regions, found = map(add, self.regions, other.regions), map(add, self.found, other.found)
        return FoundRegions(tuple(regions), tuple(found))

    def recalls(self) -> tuple[float | None, ...]:
        """Return the share of the regions that are found, per size class; None for a class without a region."""
        return tuple(found / all_ if all_ else None for all_, found in zip(self.regions, self.found, strict=True))


def _tally(classes: Int64Array) -> tuple[int, ...]:
    return tuple(np.bincount(classes, minlength=len(SIZE_EDGES_PX) + 1).tolist())
