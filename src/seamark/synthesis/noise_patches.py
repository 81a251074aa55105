"""Rectangles of noise on tiles.

Source: Cao et al., "Collaborative discrepancy optimization for reliable image anomaly localization", IEEE TII 2023
(docs/methods/efficientad.md#noise-patches).
"""

import cv2
import numpy as np

from seamark.files.images import BoolArray, UInt8Array
from seamark.settings.synthesis import NoisePatchSettings
from seamark.synthesis.anomalies import AnomalousTile

BRIGHT, DARK = 220, 30
"""Grey values above the one and below the other may be background."""
MEDIAN_PX, DILATION_PX = 7, 19
PLACES_TRIED = 200
"""Places that are tried for one patch until its centre lies on foreground."""
USEFUL_SHARES = (0.1, 0.9)
"""A background with a share of the mean training tile within these is one."""


def estimate_background(pixels: UInt8Array) -> BoolArray:
    """Estimate where a tile or the mean of many, uint8 (H, W, 3), shows background: nearly white or nearly black.

    The result is bool (H, W), True on background and a little beyond.
    """
    grey = pixels.mean(axis=2)
    extreme = ((grey > BRIGHT) | (grey < DARK)).astype(np.uint8)
    smooth = cv2.medianBlur(extreme, MEDIAN_PX)
    return np.asarray(cv2.dilate(smooth, np.ones((DILATION_PX, DILATION_PX), dtype=np.uint8)) > 0, dtype=np.bool_)


def has_background(mean_tile: UInt8Array) -> bool:
    """Return whether the background of a category covers from a tenth to nine tenths of the mean training tile."""
    return USEFUL_SHARES[0] <= float(estimate_background(mean_tile).mean()) <= USEFUL_SHARES[1]


def _sides(shape: tuple[int, int], settings: NoisePatchSettings, random: np.random.Generator) -> tuple[int, int]:
    if settings.square:
        return (_side(min(shape), settings, random),) * 2
    return _side(shape[0], settings, random), _side(shape[1], settings, random)


def _side(length: int, settings: NoisePatchSettings, random: np.random.Generator) -> int:
    """Draw one side of a patch on a tile of this length."""
    shortest, longest = (max(1, length // divisor) for divisor in settings.side_divisors)
    if settings.half_side:
        return 2 * int(random.integers(shortest, max(shortest + 1, longest)))
    return int(random.integers(shortest, longest + 1))


def _place(
    shape: tuple[int, int], sides: tuple[int, int], background: BoolArray | None, random: np.random.Generator
) -> tuple[int, int] | None:
    """Draw the top left corner of a patch, or None where background was hit too often."""
    for _ in range(PLACES_TRIED):
        top, left = (int(random.integers(0, length - side + 1)) for length, side in zip(shape, sides, strict=True))
        if background is None or not background[top + sides[0] // 2, left + sides[1] // 2]:
            return top, left
    return None


def _noise(sides: tuple[int, int], settings: NoisePatchSettings, random: np.random.Generator) -> UInt8Array:
    if settings.noise == "uniform":
        return random.integers(0, 255, (*sides, 3), dtype=np.uint8)
    return np.clip(np.rint(random.normal(127.5, 63.75, (*sides, 3))), 0, 255).astype(np.uint8)


def inject_noise_patches(
    pixels: UInt8Array, background: BoolArray | None, settings: NoisePatchSettings, random: np.random.Generator
) -> AnomalousTile:
    """Replace rectangles of a tile by noise.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        Tile without defects.
    background : ndarray of bool, shape (H, W), or None
        Where no patch may have its centre, see :func:`estimate_background`; None for nowhere.
    settings : NoisePatchSettings
        Probability, number, sides and kind of noise.
    random : Generator
        Source of every choice.

    Returns
    -------
    AnomalousTile
        The tile itself with an empty mask where the coin falls so or no place was found.
    """
    shape = (pixels.shape[0], pixels.shape[1])
    mask = np.zeros(shape, dtype=np.bool_)
    if random.random() >= settings.probability:
        return AnomalousTile(pixels, mask)
    patched = pixels.copy()
    for _ in range(int(random.integers(settings.count[0], settings.count[1] + 1))):
        sides = _sides(shape, settings, random)
        corner = _place(shape, sides, background, random)
        if corner is not None:
            rows, columns = (slice(start, start + side) for start, side in zip(corner, sides, strict=True))
            patched[rows, columns] = _noise(sides, settings, random)
            mask[rows, columns] = True
    return AnomalousTile(patched, mask)
