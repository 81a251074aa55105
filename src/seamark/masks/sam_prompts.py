"""Prompts of Segment Anything: scales, crops and boxes, without the network.

Source: docs/methods/robis.md#sam-refinement, steps 1, 4 and 5; crops are our own.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import numpy.typing as npt

from seamark.files.images import Float64Array, UInt8Array
from seamark.settings.refine import SamSettings
from seamark.tiles.geometry import Box


def _corner_aligned(length: int, wanted: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Float64Array]:
    """Return for each wanted index its two neighbours and the share of the second."""
    step = (length - 1) / (wanted - 1) if wanted > 1 else 0.0
    position = np.arange(wanted, dtype=np.float64) * step
    below = np.minimum(position.astype(np.int64), length - 1)
    return below, np.minimum(below + 1, length - 1), np.asarray(position - below, dtype=np.float64)


def zoom_image(image: UInt8Array, shape: tuple[int, int]) -> UInt8Array:
    """Resize a photograph linearly, corners on corners, without smoothing it first.

    Index i of the result lies at ``i * (length - 1) / (wanted - 1)`` of the image.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, C)
        The photograph.
    shape : tuple of int
        Wanted height and width.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
        The photograph at the wanted size, halves rounded up.
    """
    above, below, down = _corner_aligned(image.shape[0], shape[0])
    left, right, across = _corner_aligned(image.shape[1], shape[1])
    down, across = down[:, np.newaxis, np.newaxis], across[:, np.newaxis]
    # In this order the sum has the bits of scipy.ndimage.zoom, which decide about the rounding of halves.
    zoomed = np.full((*shape, image.shape[2]), 0.0)
    for row, vertical in ((above, 1.0 - down), (below, down)):
        for column, horizontal in ((left, 1.0 - across), (right, across)):
            zoomed += image[row[:, np.newaxis], column] * vertical * horizontal
    return (zoomed + 0.5).astype(np.uint8)


def input_shape(shape: tuple[int, int], longest_px: int) -> tuple[int, int]:
    """Return the size at which an image enters the network.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    longest_px : int
        Side of the network's input, 1024 for the published models.

    Returns
    -------
    tuple of int
        Height and width; the longer is ``longest_px``, halves are rounded up, neither is below 1.
    """
    scale = longest_px / max(shape)
    return max(1, int(shape[0] * scale + 0.5)), max(1, int(shape[1] * scale + 0.5))


def scale_boxes(boxes: Sequence[Box], shape: tuple[int, int], resized: tuple[int, int]) -> Float64Array:
    """Carry boxes from an image to its resized form, each axis by its own factor.

    Parameters
    ----------
    boxes : sequence of Box
        Boxes in px of the image; they may reach beyond it and be empty.
    shape, resized : tuple of int
        Height and width of the image before and after.

    Returns
    -------
    ndarray of float64, shape (N, 4)
        x0, y0, x1, y1 in px of the resized image.
    """
    across, down = resized[1] / shape[1], resized[0] / shape[0]
    factors = np.array([across, down, across, down], dtype=np.float64)
    return np.asarray(np.array(boxes, dtype=np.float64).reshape(-1, 4) * factors, dtype=np.float64)


def _span(start: int, end: int, side: int, length: int) -> tuple[int, int]:
    """Return ``side`` px around the middle of a span, moved into 0..length and cut to it."""
    side = min(side, length)
    first = min(max(0, (start + end - side) // 2), length - side)
    return first, first + side


def crop_windows(boxes: Sequence[Box], shape: tuple[int, int], settings: SamSettings) -> list[Box]:
    """Return the crop of the image that each box is prompted on.

    A box shares the crop of an earlier one when it lies in it with all of its margin, so that neighbours cost one
    embedding. In ascending order of size, sharing never takes detail away from a box.

    Parameters
    ----------
    boxes : sequence of Box
        Prompts in image px.
    shape : tuple of int
        Height and width of the image.
    settings : SamSettings
        Margin and shortest side.

    Returns
    -------
    list of Box
        A window within the image for each box.
    """
    windows: list[Box] = []
    for x0, y0, x1, y1 in boxes:
        margin = ceil(settings.crop_margin * max(x1 - x0, y1 - y0, 1))
        side = max(settings.crop_min_px, max(x1 - x0, y1 - y0) + 2 * margin)
        left, top = max(0, x0 - margin), max(0, y0 - margin)
        right, bottom = min(shape[1], x1 + margin), min(shape[0], y1 + margin)
        shared = (one for one in windows if one[0] <= left and one[1] <= top and right <= one[2] and bottom <= one[3])
        (first, last), (upper, lower) = _span(x0, x1, side, shape[1]), _span(y0, y1, side, shape[0])
        windows.append(next(shared, (first, upper, last, lower)))
    return windows
