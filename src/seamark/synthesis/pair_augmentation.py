"""Augmentation that a tile and its anomalous twin share, so that they differ by the anomaly alone.

Source: AURD, with the strengths of docs/methods/urd.md#shared-augmentation.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from seamark.files.images import BoolArray, Float32Array, UInt8Array
from seamark.settings.anomalous_pairs import PairAugmentationSettings

BLUR_PX = 5
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of R, G and B in a grey value (ITU-R BT.601)."""


@dataclass(frozen=True)
class CameraPose:
    """Flips and a turn that were drawn for one tile."""

    flip_rows: bool
    flip_columns: bool
    angle_deg: float

    @classmethod
    def drawn(cls, settings: PairAugmentationSettings, random: np.random.Generator) -> "CameraPose":
        """Draw a placement."""
        rows, columns, turn = (float(coin) for coin in random.random(3))
        angle = 180.0 + float(random.uniform(-settings.turn_deg, settings.turn_deg))
        return cls(
            rows < settings.flip_probability,
            columns < settings.flip_probability,
            angle if turn < settings.turn_probability else 0.0,
        )

    def pixels(self, tile: UInt8Array) -> UInt8Array:
        """Place a tile, uint8 (H, W, 3); beyond its border the edge is repeated."""
        return self._placed(tile, cv2.INTER_LINEAR)

    def mask(self, foreground: BoolArray) -> BoolArray:
        """Place a mask, bool (H, W), by the nearest pixel."""
        return self._placed(foreground.view(np.uint8), cv2.INTER_NEAREST).view(np.bool_)

    def _placed(self, values: UInt8Array, interpolation: int) -> UInt8Array:
        values = values[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        if not self.angle_deg:
            return np.ascontiguousarray(values)
        height, width = values.shape[:2]
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), self.angle_deg, 1.0)
        turned = cv2.warpAffine(
            np.ascontiguousarray(values), turn, (width, height), flags=interpolation, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(turned, dtype=np.uint8)


def change_light(tile: UInt8Array, settings: PairAugmentationSettings, random: np.random.Generator) -> UInt8Array:
    """Change brightness, contrast and saturation of a tile, uint8 (H, W, 3), each where its coin falls so.

    The result is clipped and rounded; it is the tile itself where no coin falls.
    """
    coins = random.random(3) < settings.light_probability
    brightness, contrast, saturation = (
        np.float32(random.uniform(*bounds)) for bounds in (settings.brightness, settings.contrast, settings.saturation)
    )
    if not coins.any():
        return tile
    pixels = tile.astype(np.float32)
    if coins[0]:
        pixels = _clipped(pixels * brightness)
    if coins[1]:
        mean = np.float32((pixels @ GREY_WEIGHTS).mean(dtype=np.float64))
        pixels = _clipped(mean + contrast * (pixels - mean))
    if coins[2]:
        grey: Float32Array = (pixels @ GREY_WEIGHTS)[:, :, np.newaxis]
        pixels = _clipped(grey + saturation * (pixels - grey))
    return np.rint(pixels).astype(np.uint8)


def _clipped(pixels: Float32Array) -> Float32Array:
    return np.clip(pixels, 0.0, 255.0, out=pixels)


@dataclass(frozen=True)
class Camera:
    """Noise and blur that were drawn for one pair of tiles."""

    noise: Float32Array | None
    """(H, W, 3), grey values."""
    sigma_px: float | None

    @classmethod
    def drawn(cls, shape: tuple[int, ...], settings: PairAugmentationSettings, random: np.random.Generator) -> "Camera":
        """Draw noise and blur for tiles of a shape (H, W, 3)."""
        noisy, blurred = (float(coin) for coin in random.random(2))
        std, sigma = random.uniform(0.0, settings.noise_std), float(random.uniform(*settings.blur_sigma_px))
        noise = None
        if noisy < settings.noise_probability:
            noise = random.standard_normal(shape, dtype=np.float32) * np.float32(std)
        return cls(noise, sigma if blurred < settings.blur_probability else None)

    def pixels(self, tile: UInt8Array) -> UInt8Array:
        """Show a tile, uint8 (H, W, 3), as this camera would: noise, then blur."""
        if self.noise is not None:
            tile = np.rint(_clipped(np.add(tile, self.noise, dtype=np.float32))).astype(np.uint8)
        if self.sigma_px is not None:
            tile = np.asarray(cv2.GaussianBlur(tile, (BLUR_PX, BLUR_PX), self.sigma_px), dtype=np.uint8)
        return tile
