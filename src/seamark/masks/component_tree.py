"""The number of 8-connected components of all threshold masks of a map, from one pass over its pixels.

A mask grows from step to step. Each pixel that enters opens a component and each edge of a spanning forest closes one,
so that the count at a step is the pixels so far less the forest edges so far
(docs/methods/robis.md#counting-in-one-pass). Pixels enter in the order of step and scan. Where all neighbours that
enter before a pixel touch each other, an edge to one of them is in the forest whatever else happens. So only summits,
which no neighbour enters before, open a component that lasts, and only joints, whose earlier neighbours fall apart into
groups, may close one: the forest is sought in the graph of summits with an edge for each pair that a joint joins.
"""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from seamark.files.images import Float32Array, UInt8Array

NEVER = 255
"""Step of a pixel that no mask contains."""

RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""Row and column of the eight neighbours, clockwise; bit i of a neighbourhood stands for the i-th."""

Int64Array = npt.NDArray[np.int64]


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
    ndarray of uint8, shape (H, W)
        Step 0 to n - 1, 255 where no mask contains the pixel.
    """
    steps = np.full(scores.shape, NEVER, dtype=np.uint8)
    candidates = scores >= entry_scores[-1]
    steps[candidates] = entry_scores.size - np.searchsorted(entry_scores[::-1], scores[candidates], side="right")
    return steps if erode_px <= 1 else cv2.dilate(steps, np.ones((erode_px, erode_px), np.uint8)).astype(np.uint8)


def component_counts(steps: UInt8Array, number: int) -> list[int]:
    """Count the 8-connected components of each of a sequence of growing masks.

    Parameters
    ----------
    steps : ndarray of uint8, shape (H, W)
        First mask that contains the pixel, as :func:`first_steps` finds it.
    number : int
        How many masks there are.

    Returns
    -------
    list of int
        Components of masks 0 to ``number - 1``.
    """
    flat, earlier = steps.ravel(), _earlier_neighbours(steps)
    groups = _groups_of_neighbourhoods()
    others = groups & (groups - np.uint8(1))  # all but the lowest bit
    ring = np.array([row * steps.shape[1] + column for row, column in RING])
    ways = np.array([ring[lowest.bit_length() - 1] if lowest else 0 for lowest in (groups ^ others).tolist()])
    summits = np.flatnonzero(earlier == 0)
    joints = np.flatnonzero(cv2.LUT(earlier, others) > 0)
    numbers, bits = np.nonzero(others[earlier[joints], np.newaxis] >> np.arange(len(RING)) & 1)
    pairs = np.stack([joints[numbers], joints[numbers] + ring[bits]])
    closed = _forest_steps(_summits_below(pairs, earlier, ways), flat[joints[numbers]], summits)
    changes = np.bincount(flat[summits], minlength=number) - np.bincount(closed, minlength=number)
    return [int(count) for count in np.cumsum(changes)]


def _earlier_neighbours(steps: UInt8Array) -> UInt8Array:
    """Return, flat, which neighbours enter before each pixel; of one step, those enter that the scan meets before.

    A pixel that never enters counts as enclosed, which makes it neither a summit nor a joint.
    """
    height, width = steps.shape
    padded = np.pad(steps, 1, constant_values=NEVER)
    earlier = np.where(steps == NEVER, np.uint8(255), np.uint8(0))
    for bit, (row, column) in enumerate(RING):
        neighbour = padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]
        enters = cv2.compare(neighbour, steps, cv2.CMP_LE if (row, column) < (0, 0) else cv2.CMP_LT)
        earlier |= np.asarray(enters, dtype=np.uint8) & np.uint8(1 << bit)
    return earlier.ravel()


@cache
def _groups_of_neighbourhoods() -> UInt8Array:
    """Return for each of the 256 neighbourhoods the first neighbour of each group of those that touch, as bits."""
    around = tuple(np.array(RING).T + 1)
    square, groups = np.zeros((3, 3), dtype=np.uint8), np.zeros(256, dtype=np.uint8)
    for neighbourhood in range(256):
        square[around] = neighbourhood >> np.arange(len(RING)) & 1
        labels, first = np.unique(cv2.connectedComponents(square, connectivity=8)[1][around], return_index=True)
        groups[neighbourhood] = (1 << first[labels > 0]).sum()
    return groups


def _summits_below(pixels: Int64Array, earlier: UInt8Array, ways: Int64Array, strides: int = 16) -> Int64Array:
    """Go from each pixel to the first of its earlier neighbours until there is none.

    Ways to one summit meet, so that the farther it is, the fewer are left to go.
    """
    starts, numbers = np.unique(pixels, return_inverse=True)
    reached = starts
    for _ in range(strides):
        reached = reached + ways[earlier[reached]]
    if earlier[reached].any():
        reached = _summits_below(reached, earlier, ways, 2 * strides)
    return reached[numbers]


def _forest_steps(pairs: Int64Array, steps: UInt8Array, nodes: Int64Array) -> Int64Array:
    """Return the step of each edge of a minimum spanning forest, given all edges (2, n), their steps, and the nodes."""
    ends = np.searchsorted(nodes, np.sort(pairs, axis=0))
    order = np.argsort(steps, kind="stable")
    edges, earliest = np.unique(ends[0, order] * nodes.size + ends[1, order], return_index=True)
    weights = steps[order][earliest] + 1.0  # 0 stands for no edge
    graph = csr_matrix((weights, np.divmod(edges, nodes.size)), shape=(nodes.size, nodes.size))
    return np.asarray(minimum_spanning_tree(graph).data - 1, dtype=np.int64)
