"""Perlin masks: where an anomaly lies.

Source: Perlin, "Improving noise", SIGGRAPH 2002, as DRAEM and its successors use it (docs/methods/urd.md#perlin-masks).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from seamark.files.images import BoolArray, Float32Array

THRESHOLD = 0.5
"""The mask is where the rotated field is above this."""
LARGEST_EXPONENT = 5
"""A side of the lattice has 2 ** 0 to 2 ** 5 cells."""
LARGEST_ANGLE_DEG = 90.0


@dataclass(frozen=True)
class _Axis:
    """Lattice coordinates of the pixels along one side."""

    cells: np.ndarray[tuple[int], np.dtype[np.intp]]
    offset: Float32Array
    """From the lower node, in cells, 0..1."""
    fade: Float32Array
    """Weight of the upper node."""


def _axis(pixels: int, cells: int) -> _Axis:
    places, remainders = np.divmod(np.arange(pixels) * cells, pixels)
    offset = remainders / pixels
    fade = offset**3 * (offset * (6.0 * offset - 15.0) + 10.0)
    return _Axis(places.astype(np.intp), offset.astype(np.float32), fade.astype(np.float32))


def perlin_field(shape: tuple[int, int], cells: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Draw a field of Perlin noise, float32 (H, W), within -1..1 and exactly 0 at the nodes of the lattice.

    Cells, down and across, need not divide the height and width in px. One angle per node is drawn, row by row.

    Source: docs/methods/urd.md#perlin-masks, steps 1 to 3. Interpolating across and down may change places: here the
    few rows of nodes are interpolated to the columns of the image first, and only these rows then to all of its rows.
    """
    angles = random.uniform(0.0, 2.0 * np.pi, (cells[0] + 1, cells[1] + 1))
    down, across = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    y, x = _axis(shape[0], cells[0]), _axis(shape[1], cells[1])
    slope = (1.0 - x.fade) * down[:, x.cells] + x.fade * down[:, x.cells + 1]
    level = (1.0 - x.fade) * x.offset * across[:, x.cells] + x.fade * (x.offset - 1.0) * across[:, x.cells + 1]
    offset, fade = y.offset[:, np.newaxis], y.fade[:, np.newaxis]
    above = np.take(slope, y.cells, axis=0) * offset + np.take(level, y.cells, axis=0)
    below = np.take(slope, y.cells + 1, axis=0) * (offset - 1.0) + np.take(level, y.cells + 1, axis=0)
    below -= above
    below *= fade
    above += below
    above *= np.float32(np.sqrt(2.0))
    return np.asarray(above, dtype=np.float32)


def rotate(field: Float32Array, angle_deg: float) -> Float32Array:
    """Turn a field, float32 (H, W), about its centre, anticlockwise, bilinear, with zeros outside."""
    height, width = field.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, 1.0)
    turned = cv2.warpAffine(field, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(turned, dtype=np.float32)


def draw_lattice(random: np.random.Generator) -> tuple[int, int]:
    """Draw how many cells the lattice has down and across, powers of 2 from 1 to 32."""
    exponents = random.integers(0, LARGEST_EXPONENT + 1, 2)
    return 2 ** int(exponents[0]), 2 ** int(exponents[1])


def perlin_mask(
    shape: tuple[int, int], random: np.random.Generator, lattice: tuple[int, int] | None = None
) -> BoolArray:
    """Draw the mask of an anomaly, bool (H, W); about one mask in twenty is empty, which is meant.

    The cells of the lattice down and across are drawn unless they are given.

    Source: docs/methods/urd.md#perlin-masks.
    """
    field = perlin_field(shape, lattice or draw_lattice(random), random)
    return rotate(field, float(random.uniform(-LARGEST_ANGLE_DEG, LARGEST_ANGLE_DEG))) > THRESHOLD
