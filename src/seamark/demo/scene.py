"""Scenes before a camera: surfaces without light, and the random numbers they are drawn from."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from seamark.files.images import BoolArray, Float32Array

Point = tuple[float, float]
"""x and y in px of the image that is drawn."""


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return a random generator that depends on nothing but the seed of the data set and a key.

    The key says what is drawn, for example category, split, scene number and purpose.
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.default_rng([seed, *words])


@dataclass
class Scene:
    """Surfaces of one scene before any light falls on them; defects are drawn into it in place."""

    albedo: Float32Array
    """(H, W, C) share of the light that the surface returns, 0..1."""
    height: Float32Array
    """(H, W) relief in px; its slope shades the surface."""
    mask: BoolArray
    """(H, W) every pixel that a defect changed."""
    scale: float
    """Size relative to the full demo; lengths in this package are px of the full demo."""
    shine: Float32Array | None = None
    """(H, W, 3) strength of the brushed highlight, and cosine and sine of twice the brushing angle."""
    solid: Float32Array | None = None
    """(H, W) cover by parts that cast a shadow, 0..1."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.height.shape[0], self.height.shape[1]

    def pixel(self, point: Point) -> tuple[int, int]:
        """Return column and row of the pixel of the image that is nearest to ``point``."""
        rows, columns = self.shape
        return min(max(int(point[0]), 0), columns - 1), min(max(int(point[1]), 0), rows - 1)

    def paint(self, alpha: Float32Array, colour: Float32Array) -> None:
        """Cover the surface with a colour, float32 (C,) or (H, W, C), of an opacity, float32 (H, W), 0..1."""
        self.albedo += alpha[:, :, np.newaxis] * (colour - self.albedo)

    def mark(self, alpha: Float32Array) -> None:
        """Add every pixel where ``alpha`` (H, W) is above zero to the mask."""
        self.mask |= alpha > 0.0


AnyScene = TypeVar("AnyScene", bound=Scene)
Defect = Callable[[AnyScene, np.random.Generator, Point], None]
"""Draws a defect into a scene at a place, its mask included."""
