"""Photometric augmentation of 8-bit tiles: exposure and noise as in RoBiS, wide variants that imitate another lamp."""

from collections.abc import Callable

import numpy as np

from seamark.files.images import Float32Array, UInt8Array
from seamark.settings.augmentation import AugmentationSettings, WideSettings

STRIP_ROWS = 64
"""Rows of a wide variant that are worked on at a time, so that its numbers of 32 bits take little memory."""


def expose(pixels: Float32Array, stops: float) -> Float32Array:
    """Change the exposure of grey values, float32, 0..255, by the factor ``2 ** stops``; clip and do not round."""
    return np.asarray(np.clip(pixels * np.float32(2.0**stops), 0.0, 255.0), np.float32)


def add_noise(pixels: Float32Array, std: float, random: np.random.Generator) -> Float32Array:
    """Add Gaussian noise to grey values, float32, 0..255, independent per pixel and channel; clip and do not round."""
    if std == 0.0:
        return pixels
    noise = random.standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(pixels + noise * np.float32(std), 0.0, 255.0)


def expose_and_add_noise(tile: UInt8Array, settings: AugmentationSettings, random: np.random.Generator) -> UInt8Array:
    """Augment a tile, uint8 (H, W, C), as RoBiS does, with the coin already tossed; truncate and do not round.

    Every channel gets its own noise, also where a grey tile was repeated.

    Source: docs/methods/robis.md#augmentation.
    """
    stops = float(random.uniform(-settings.exposure_stops, settings.exposure_stops))
    pixels = tile.astype(np.float32)
    if settings.order == "exposure_first":
        pixels = add_noise(expose(pixels, stops), settings.noise_std, random)
    else:
        pixels = expose(add_noise(pixels, settings.noise_std, random), stops)
    return pixels.astype(np.uint8)


def wide_variant(picture: UInt8Array, settings: WideSettings, random: np.random.Generator) -> UInt8Array:
    """Show a tile or photograph, uint8 (H, W, C), as another lamp and camera would; rounded.

    The families, each drawn uniformly from its range: gamma and gain (of their logarithms, or the gain itself), a
    linear gradient of the light in any direction, a vignette that falls with the squared distance from the middle,
    gains of the colours, and Gaussian noise. As of a sensor, noise is amplified with the picture: its standard
    deviation, drawn in grey values at a gain of 1, is multiplied by the gain. A family whose range is 0 draws nothing.
    Zeros (padding) stay zeros but for noise.
    """
    gamma = float(np.exp(random.uniform(*settings.log_gamma)))
    gain = float(random.uniform(*settings.gain) if settings.gain else np.exp(random.uniform(*settings.log_gain)))
    curve = (255.0 * gain * (np.arange(256) / 255.0) ** gamma).astype(np.float32)
    light = _light(picture.shape, settings, random)
    colours = np.ones(1, np.float32)
    if settings.log_white_balance and picture.shape[2] > 1:
        logarithms = random.uniform(-settings.log_white_balance, settings.log_white_balance, picture.shape[2])
        colours = np.exp(logarithms).astype(np.float32)
    std = np.float32(gain * float(random.uniform(0.0, settings.noise_std)) if settings.noise_std else 0.0)
    variant = np.empty_like(picture)
    for top in range(0, len(picture), STRIP_ROWS):
        strip = slice(top, top + STRIP_ROWS)
        lit: Float32Array = curve[picture[strip]] * (light(strip) * colours)
        if settings.noise_std:  # drawn strip by strip, noise has the numbers of the whole picture's
            lit += random.standard_normal(lit.shape, dtype=np.float32) * std
        variant[strip] = np.clip(lit + np.float32(0.5), 0.0, 255.0).astype(np.uint8)
    return variant


def _light(
    shape: tuple[int, ...], settings: WideSettings, random: np.random.Generator
) -> Callable[[slice], Float32Array]:
    """Return what gives the factor of the light at each place of some rows, shape (rows, W, 1)."""
    slope = np.float32(float(random.uniform(0.0, settings.gradient)))
    angle = float(random.uniform(0.0, 2.0 * np.pi))
    loss = np.float32(random.uniform(0.0, settings.vignette) if settings.vignette else 0.0)
    every = np.linspace(-1.0, 1.0, shape[0], dtype=np.float32)[:, np.newaxis, np.newaxis]
    across = np.linspace(-1.0, 1.0, shape[1], dtype=np.float32)[np.newaxis, :, np.newaxis]

    def light(rows: slice) -> Float32Array:
        down = every[rows]
        even = 1.0 + slope * (np.float32(np.sin(angle)) * down + np.float32(np.cos(angle)) * across)
        if settings.vignette:
            even = even * (1.0 - loss * (down**2 + across**2) / 2.0)
        return np.asarray(even, np.float32)

    return light


def augment(tile: UInt8Array, settings: AugmentationSettings, random: np.random.Generator) -> UInt8Array:
    """Augment one training tile, uint8 (H, W, C); it is the tile itself where neither coin falls."""
    if random.random() < settings.wide_probability:
        tile = wide_variant(tile, settings.wide, random)
    if random.random() >= 1.0 - settings.probability:
        tile = expose_and_add_noise(tile, settings, random)
    return tile
