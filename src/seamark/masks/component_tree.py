"""The number of 8-connected components of all threshold masks of a map, from one pass over its pixels.

A mask grows from step to step. Each pixel that enters opens a component and each edge of a spanning forest closes one,
so that the count at a step is the pixels so far less the forest edges so far (RoBiS specification section H.3). Pixels
enter in the order of step and scan. Where all neighbours that enter before a pixel touch each other, an edge to one of
them is in the forest whatever else happens; only where they fall apart into groups is a union-find asked, in order.
"""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from seamark.files.images import Float32Array, UInt8Array

RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""Row and column of the eight neighbours, clockwise; bit i of a neighbourhood stands for the i-th."""


def first_steps(scores: Float32Array, entry_scores: Float32Array, erode_px: int) -> UInt8Array:
    """Find the first of a sequence of growing masks that contains each pixel.

    The masks are ``scores >= entry_scores[k]``, each eroded as :func:`seamark.masks.components.erode_scores` does;
    eroding a mask is the same as taking the latest step within the square.

    Parameters
    ----------
    scores : ndarray of float32, shape (H, W)
        Scores; what is not a number belongs to no mask.
    entry_scores : ndarray of float32, shape (n,)
        Smallest score that counts at each step, descending, n up to 255; infinite where none does.
    erode_px : int
        Side of the square; up to 1 nothing is eroded.

    Returns
    -------
    ndarray of uint8, shape (H + 2, W + 2)
        Step 0 to n - 1, 255 where no mask contains the pixel and along the border.
    """
    from seamark.masks import component_kernels as kernels  # noqa: PLC0415 - only runs with MEBin wait for numba

    height, width = scores.shape
    steps = np.full((height + 2, width + 2), kernels.NEVER, dtype=np.uint8)
    sharp = np.full((height, width), kernels.NEVER, dtype=np.uint8)
    slope, doubt = _straight_line(entry_scores)
    kernels.write_first_steps(_read_only(scores), _read_only(entry_scores), slope, doubt, sharp)
    inside = steps[1:-1, 1:-1]
    inside[:] = sharp if erode_px <= 1 else cv2.dilate(sharp, np.ones((erode_px, erode_px), dtype=np.uint8))
    return steps


def component_counts(steps: UInt8Array, number: int) -> list[int]:
    """Count the 8-connected components of each of a sequence of growing masks.

    Takes 4 bytes a pixel and holds no interpreter lock.

    Parameters
    ----------
    steps : ndarray of uint8, shape (H + 2, W + 2)
        First mask that contains the pixel, as :func:`first_steps` finds it.
    number : int
        How many masks there are.

    Returns
    -------
    list of int
        Components of masks 0 to ``number - 1``.
    """
    from seamark.masks import component_kernels as kernels  # noqa: PLC0415 - only runs with MEBin wait for numba

    ring = np.array([row * steps.shape[1] + column for row, column in RING], dtype=np.int32)
    groups, first = _groups_of_neighbourhoods()
    offsets = np.where(groups > 1, kernels.JOINT, np.where(groups > 0, ring[first], 0)).astype(np.int32)
    parents = np.empty(steps.size + number, dtype=np.int32)
    summits = np.zeros(number, dtype=np.int32)
    kernels.link_pixels(steps, offsets, parents, summits)
    return [int(count) for count in kernels.count_trees(steps.reshape(-1), ring, parents, summits)]


@cache
def _groups_of_neighbourhoods() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how many groups each of the 256 neighbourhoods falls apart into, and its first neighbour."""
    square = np.zeros((256, 3, 3), dtype=np.uint8)
    for number, (row, column) in enumerate(RING):
        square[:, 1 + row, 1 + column] = np.arange(256) >> number & 1
    groups = [cv2.connectedComponents(one, connectivity=8)[0] - 1 for one in square]
    first = [(one & -one).bit_length() - 1 if one else 0 for one in range(256)]
    return np.array(groups), np.array(first)


def _read_only(array: Float32Array) -> Float32Array:
    """Give all arrays one type, for which the loops are compiled once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _straight_line(entry_scores: Float32Array) -> tuple[np.float32, np.float32]:
    """Return the steps per unit of score and twice the most that an entry score lies off, in float32 as the loop does.

    Rounding never changes the order of two scores, so that what holds for the entry scores holds between them.
    """
    finite = entry_scores[np.isfinite(entry_scores)]
    reach = float(finite[0]) - float(finite[-1]) if finite.size else 0.0
    slope = np.float32((finite.size - 1) / reach if reach > 0 else 0.0)
    if not 0 < slope < np.inf:
        return np.float32(0.0), np.float32(1.0)
    climb = (finite - finite[-1]) * slope + np.float32(1.0)
    return slope, np.float32(2 * np.abs(climb - np.arange(finite.size, 0, -1)).max() + 1e-4)
