"""Crops of photographs for the distillation: squares of one size, some of them corrupted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import cast

import cv2
import numpy as np
from PIL import Image

from seamark.files.images import UInt8Array, read_image
from seamark.settings.pixels import PixelSettings
from seamark.settings.synthesis import NoisePatchSettings, SynthesisSettings
from seamark.settings.teacher import DistillSettings
from seamark.synthesis.anomalies import synthesise
from seamark.synthesis.colour_jitter import CHANGES, jitter_colour
from seamark.synthesis.drawn_textures import draw_texture
from seamark.synthesis.noise_patches import inject_noise_patches

COLOUR_JITTER_STRENGTH = 0.3
PATCH_SHARES = (0.05, 0.3)
"""Sides of foreign patches, relative to the crop."""


def _noisy(pixels: UInt8Array, random: np.random.Generator) -> UInt8Array:
    return inject_noise_patches(pixels, None, NoisePatchSettings(probability=1.0), random).pixels


def _pasted(pixels: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Copy a rectangle to another place."""
    sides = [max(1, int(side * random.uniform(*PATCH_SHARES))) for side in pixels.shape[:2]]
    corners = [
        [int(random.integers(0, length - side + 1)) for length, side in zip(pixels.shape[:2], sides, strict=True)]
        for _ in range(2)
    ]
    taken, given = (
        tuple(slice(start, start + side) for start, side in zip(corner, sides, strict=True)) for corner in corners
    )
    result = pixels.copy()
    result[given] = pixels[taken]
    return result


def _textured(pixels: UInt8Array, random: np.random.Generator) -> UInt8Array:
    return synthesise(pixels, None, draw_texture, SynthesisSettings(), random).pixels


def _degraded(pixels: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Blur, or compress badly."""
    if random.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), float(random.uniform(1.0, 4.0))), dtype=np.uint8)
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(5, 30))])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), dtype=np.uint8)


CORRUPTIONS: tuple[Callable[[UInt8Array, np.random.Generator], UInt8Array], ...] = (
    _noisy,
    _pasted,
    _textured,
    _degraded,
)


def corrupted(pixels: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Return a crop with noise, a foreign patch or a texture, or blurred or compressed; uint8 (H, W, 3)."""
    return CORRUPTIONS[int(random.integers(len(CORRUPTIONS)))](pixels, random)


class CroppedPhotographs:
    """Photographs as an array of tiles that is read when asked, and crops of them.

    Parameters
    ----------
    files : sequence of Path
        Photographs.
    side_px : int
        Side of tiles and crops.
    settings : DistillSettings
        How crops are drawn.
    pixels : PixelSettings or None
        How photographs of a data root are decoded; None for those of other folders, 8-bit grey or RGB.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(
        self, files: Sequence[Path], side_px: int, settings: DistillSettings, pixels: PixelSettings | None = None
    ) -> None:
        self.files, self.side_px, self.settings, self._pixels = tuple(files), side_px, settings, pixels
        self.shape = (len(self.files), side_px, side_px, 3)
        self._room = settings.photograph_cache_mb * 1_000_000
        self._kept: dict[int, UInt8Array] = {}
        self._lock = Lock()

    def as_tiles(self) -> UInt8Array:
        """Return this object under the type of the array that it stands for."""
        return cast("UInt8Array", self)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> UInt8Array:
        """Return a whole photograph, shrunk or grown to the side whatever its proportions."""
        return _resized(self._photograph(number), self.side_px)

    def crop(self, number: int, random: np.random.Generator, *, corrupt: bool) -> UInt8Array:
        """Return a crop of a photograph as the settings have it, uint8 (side, side, 3)."""
        settings, pixels = self.settings, self._photograph(number)
        if settings.crop_scale is not None:
            pixels = _square(pixels, settings.crop_scale, random)
        pixels = _resized(pixels, self.side_px)
        if settings.flip_and_turn:
            pixels = np.rot90(pixels[:: int(random.choice((-1, 1)))], int(random.integers(4)))
        if random.random() < settings.colour_jitter_probability:
            pixels = jitter_colour(np.ascontiguousarray(pixels), tuple(CHANGES), COLOUR_JITTER_STRENGTH, random)
        if random.random() < settings.grey_probability:
            grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
            pixels = np.repeat(np.asarray(grey)[:, :, np.newaxis], 3, axis=2)
        pixels = np.ascontiguousarray(pixels)
        return corrupted(pixels, random) if corrupt else pixels

    def _photograph(self, number: int) -> UInt8Array:
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        pixels = read_image(self.files[number], settings=self._pixels)
        pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
        with self._lock:
            if pixels.nbytes <= self._room and number not in self._kept:
                self._kept[number] = pixels
                self._room -= pixels.nbytes
        return pixels


def _square(pixels: UInt8Array, scale: tuple[float, float], random: np.random.Generator) -> UInt8Array:
    """Cut out a square whose area is a random share of the largest square's."""
    side = max(1, int(min(pixels.shape[:2]) * float(random.uniform(*scale)) ** 0.5))
    top, left = (int(random.integers(0, length - side + 1)) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _resized(pixels: UInt8Array, side_px: int) -> UInt8Array:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize((side_px, side_px), Image.Resampling.BILINEAR), dtype=np.uint8)


def halved(pixels: UInt8Array) -> UInt8Array:
    """Return a crop at half its size, each pixel the mean of 2 x 2."""
    height, width = pixels.shape[:2]
    return np.asarray(cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)
