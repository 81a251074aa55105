"""Conversion of stored pixels that are not 8-bit grey or RGB: depth, alpha, palettes and orientation."""

from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.settings.pixels import DepthSettings

UInt8Array = npt.NDArray[np.uint8]
IntegerArray = npt.NDArray[np.integer[Any]]
BAND_ROWS = 64
"""Rows that are worked on at a time, so that wider numbers take little memory."""


def to_8_bits(pixels: IntegerArray, depth: DepthSettings) -> UInt8Array:
    """Map 16-bit values, of any shape, linearly: ``black`` to 0, ``white`` to 255, to the nearest, halves up."""
    span = depth.white - depth.black
    above = np.arange(1 << 16, dtype=np.int64).clip(depth.black, depth.white) - depth.black
    return ((510 * above + span) // (2 * span)).astype(np.uint8)[pixels]


def laid_on(colours: IntegerArray, alpha: IntegerArray, ground: tuple[int, int, int]) -> UInt8Array:
    """Lay pixels on a colour: (alpha * colour + (most - alpha) * ground) / most, to the nearest.

    Parameters
    ----------
    colours : ndarray of uint8, shape (H, W, C)
        Not multiplied by alpha.
    alpha : ndarray of uint8 or uint16, shape (H, W)
        0 is transparent, the ``most`` of its type opaque.
    ground : tuple of int
        R, G, B; grey is laid on the first of them.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
    """
    most = int(np.iinfo(alpha.dtype).max)
    laid = np.empty(colours.shape, np.uint8)
    behind = np.array(ground[: colours.shape[2]], np.uint32)
    for top in range(0, len(colours), BAND_ROWS):
        band = slice(top, top + BAND_ROWS)
        share = alpha[band, :, np.newaxis].astype(np.uint32)
        laid[band] = (colours[band] * share + behind * (most - share) + most // 2) // most
    return laid


def turned_size(width: int, height: int, tag: int) -> tuple[int, int]:
    """Return width and height of a picture once it is turned as its orientation tag says."""
    return (height, width) if tag > 4 else (width, height)


def turned(pixels: IntegerArray, tag: int) -> IntegerArray:
    """Turn pixels, (H, W, C), as an orientation tag of 1 to 8 says. Source: Exif 2.32, section 4.6.4, Orientation."""
    across = pixels.swapaxes(0, 1) if tag > 4 else pixels
    return across[:: -1 if tag in (3, 4, 7, 8) else 1, :: -1 if tag in (2, 3, 6, 7) else 1]
