"""Masks of anomalies on the coarser grids of features."""

from collections.abc import Sequence

import numpy as np

from seamark.files.images import BoolArray, Float32Array

HALF = 0.5
"""A cell is anomalous from this interpolated share on."""
POOLED_SHARE = 0.3
"""A cell is anomalous above this share of its pixels."""


def _resize_from_corners(values: Float32Array, shape: tuple[int, int]) -> Float32Array:
    """Interpolate bilinearly between grids whose corner cells coincide (``align_corners=True``)."""
    for axis, (old, new) in enumerate(zip(values.shape, shape, strict=True)):
        places = np.linspace(0.0, old - 1, new)
        lower = np.minimum(places.astype(np.intp), max(old - 2, 0))
        upper = np.minimum(lower + 1, old - 1)
        share = (places - lower).astype(np.float32)
        share = share[:, np.newaxis] if axis == 0 else share
        low, high = np.take(values, lower, axis), np.take(values, upper, axis)
        values = low + (high - low) * share
    return values


def cascaded_masks(mask: BoolArray, shapes: Sequence[tuple[int, int]]) -> list[BoolArray]:
    """Shrink a mask, bool (H, W), to rows and columns of each level, fine to coarse, each from the one before.

    A level is bilinear with coinciding corners, then at least one half.

    Source: docs/methods/urd.md#mask-cascade. Shrinking the full mask to every level on its own gives other masks.
    """
    levels = []
    for shape in shapes:
        mask = _resize_from_corners(mask.astype(np.float32), shape) >= HALF
        levels.append(mask)
    return levels


def quarter_mask(mask: BoolArray) -> BoolArray:
    """Shrink a mask, bool (H, W), to a quarter of its sides, multiples of 4, as the target of a segmentation network.

    It is True where at least two of the four middle pixels of a block of 4 x 4 are set.

    Source: docs/methods/urd.md#segmentation-target. It equals bilinear interpolation of cell centres, then at least
    one half. An anomaly that touches only the outer ring of a block vanishes.
    """
    ones = mask.view(np.uint8)
    middles = ones[1::4, 1::4] + ones[1::4, 2::4] + ones[2::4, 1::4] + ones[2::4, 2::4]
    return np.asarray(middles >= 2)


def pooled_masks(mask: BoolArray, shapes: Sequence[tuple[int, int]]) -> list[BoolArray]:
    """Shrink a mask, bool (H, W), to every level on its own: True where more than 0.3 of a cell's pixels are set.

    Rows and columns of a level are divisors of H and W.

    Source: docs/methods/aand.md#amplification-losses.
    """
    levels = []
    for rows, columns in shapes:
        blocks = mask.reshape(rows, mask.shape[0] // rows, columns, mask.shape[1] // columns)
        levels.append(np.asarray(blocks.mean(axis=(1, 3)) > POOLED_SHARE))
    return levels
