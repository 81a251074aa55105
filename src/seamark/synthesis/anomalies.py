"""Anomalous twins of tiles: a texture blended in under a Perlin mask, within the foreground."""

from dataclasses import dataclass

import numpy as np

from seamark.files.images import BoolArray, UInt8Array
from seamark.settings.synthesis import SynthesisSettings
from seamark.synthesis.perlin import draw_lattice, perlin_mask
from seamark.synthesis.textures import TextureSource

FEWEST_PX = 4
"""A mask with no more pixels than this on the foreground is drawn anew, where tries are left."""


@dataclass(frozen=True)
class AnomalousTile:
    """A tile with a synthetic anomaly."""

    pixels: UInt8Array
    """(H, W, 3)."""
    mask: BoolArray
    """(H, W), True where it is anomalous; it may be empty."""


def blend(pixels: UInt8Array, texture: UInt8Array, mask: BoolArray, weight: float) -> UInt8Array:
    """Blend a texture into a tile, both uint8 (H, W, 3), where a mask, bool (H, W), says so.

    The weight of the texture is 0..1. The result is rounded inside the mask and untouched outside.

    Source: docs/methods/urd.md#anomalous-twins. The three coefficients of its formula sum to 1, so blending and
    normalising may change places; here tiles stay 8-bit, which moves a value by at most half a grey value.
    """
    # Rows of a flat view are taken several times as fast as under a mask.
    places = np.flatnonzero(mask)
    blended = pixels.copy()
    flat = blended.reshape(-1, 3)
    inside = np.take(flat, places, axis=0).astype(np.float32)
    inside += np.float32(weight) * (np.take(texture.reshape(-1, 3), places, axis=0).astype(np.float32) - inside)
    flat[places] = np.rint(inside).astype(np.uint8)
    return blended


def _mask_on(
    foreground: BoolArray | None, shape: tuple[int, int], tries: int, random: np.random.Generator
) -> BoolArray:
    """Draw a mask within the foreground, anew on the same lattice while it has too few pixels there."""
    lattice = draw_lattice(random)
    if foreground is None:
        return perlin_mask(shape, random, lattice)
    for _ in range(tries):
        mask = perlin_mask(shape, random, lattice) & foreground
        if np.count_nonzero(mask) > FEWEST_PX:
            break
    return mask


def synthesise(
    pixels: UInt8Array,
    foreground: BoolArray | None,
    textures: TextureSource,
    settings: SynthesisSettings,
    random: np.random.Generator,
) -> AnomalousTile:
    """Make the anomalous twin of a tile.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        Tile without defects.
    foreground : ndarray of bool, shape (H, W), or None
        Where the anomaly may lie; None for everywhere.
    textures : TextureSource
        What :func:`seamark.synthesis.textures.texture_source` gives.
    settings : SynthesisSettings
        Probability and range of the weight.
    random : Generator
        Source of every choice.

    Returns
    -------
    AnomalousTile
        The tile itself with an empty mask where the coin falls so or mask and foreground do not meet.
    """
    shape = (pixels.shape[0], pixels.shape[1])
    mask: BoolArray = np.zeros(shape, dtype=np.bool_)
    if random.random() < settings.probability:
        mask = _mask_on(foreground, shape, settings.foreground_tries, random)
    if not mask.any():
        return AnomalousTile(pixels, mask)
    weight = float(random.uniform(*settings.beta))
    return AnomalousTile(blend(pixels, textures(shape, random), mask, weight), mask)
