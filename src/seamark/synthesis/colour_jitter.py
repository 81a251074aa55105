"""One change of a tile's appearance, for the autoencoder's half of EfficientAD.

Source: Batzner et al., WACV 2024, with the two options that the thesis on EfficientAD with collaborative discrepancy
optimisation adds (docs/methods/efficientad.md#appearance).
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from seamark.files.images import UInt8Array


def _gamma(picture: Image.Image, factor: float) -> Image.Image:
    levels = 255.0 * (np.arange(256) / 255.0) ** factor
    return picture.point(np.rint(levels).astype(np.uint8).tolist() * 3)


CHANGES: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "brightness": lambda picture, factor: ImageEnhance.Brightness(picture).enhance(factor),
    "contrast": lambda picture, factor: ImageEnhance.Contrast(picture).enhance(factor),
    "saturation": lambda picture, factor: ImageEnhance.Color(picture).enhance(factor),
    "sharpness": lambda picture, factor: ImageEnhance.Sharpness(picture).enhance(factor),
    "gamma": _gamma,
}
"""By name: takes an RGB picture and a factor, where 1 changes nothing."""


def jitter_colour(
    pixels: UInt8Array, options: tuple[str, ...], strength: float, random: np.random.Generator
) -> UInt8Array:
    """Change one thing about a tile, uint8 (H, W, 3): one of the options, keys of :data:`CHANGES`, all as likely.

    The factor is uniform within 1 - strength and 1 + strength. parity: the tile is changed after it was resized, the
    reference changes the photograph before; they differ by rounding and clipping.
    """
    chosen = options[int(random.integers(len(options)))]
    factor = float(random.uniform(1.0 - strength, 1.0 + strength))
    return np.asarray(CHANGES[chosen](Image.fromarray(pixels), factor), dtype=np.uint8)
