"""The grey category of the demo: canvas in plain weave, thread by thread."""

from dataclasses import dataclass

import cv2
import numpy as np

from seamark.demo.scene import Scene
from seamark.demo.shapes import smooth_noise
from seamark.files.images import Float32Array

PITCH_PX = (14.0, 15.5)
"""Distance between neighbouring vertical and horizontal threads."""
SMALLEST_PITCH_PX = 5.0
"""Below it threads would alias; only small test images come near."""


@dataclass
class Threads:
    """All threads that run one way."""

    height: Float32Array
    """(H, W) px, far below the cloth between the threads."""
    albedo: Float32Array
    """(H, W) 0..1"""


@dataclass(kw_only=True)
class Cloth(Scene):
    """A piece of canvas that knows its threads, so that single ones can be pulled."""

    across: Float32Array
    """(H, W) position in threads counted from left to right; the whole part numbers the vertical thread."""
    along: Float32Array
    """(H, W) position in threads counted from top to bottom."""
    vertical: Threads
    horizontal: Threads
    pitch: tuple[float, float]
    """Distance of the threads in px of this image."""


def _positions(
    rng: np.random.Generator, shape: tuple[int, int], pitch: tuple[float, float], scale: float
) -> list[Float32Array]:
    """Position of every pixel in threads, from left to right and from top to bottom."""
    angle = np.deg2rad(rng.normal(0.0, 1.2))
    skew = np.deg2rad(rng.normal(0.0, 0.6))
    y, x = np.ogrid[: shape[0], : shape[1]]
    straight = (
        (x * np.cos(angle) + y * np.sin(angle)) / pitch[0],
        (y * np.cos(angle + skew) - x * np.sin(angle + skew)) / pitch[1],
    )
    start = rng.uniform(40.0, 60.0, 2)
    return [
        (lines + offset + 0.35 * smooth_noise(rng, shape, 420.0 * scale)).astype(np.float32)
        for lines, offset in zip(straight, start, strict=True)
    ]


def _yarn(
    rng: np.random.Generator, thread: Float32Array, run: Float32Array, cell: float, spread: float
) -> Float32Array:
    """Look up noise that varies from thread to thread and slowly along each of them."""
    size = (int(thread.max()) + 2, int(np.ceil(float(run.max()) / cell)) + 3)
    table = rng.normal(0.0, spread, size).astype(np.float32)
    found = cv2.remap(table, run / np.float32(cell), thread, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(found, np.float32)


def _fibres(rng: np.random.Generator, position: Float32Array, run: Float32Array) -> Float32Array:
    """Fine twisted streaks along the threads, mean 0."""
    grain = cv2.GaussianBlur(rng.standard_normal((256, 256), dtype=np.float32), (0, 0), 0.7)
    twisted = position * np.float32(9.0) + run * np.float32(5.0)
    return np.asarray(cv2.remap(grain, twisted % 255.0, (run * np.float32(2.5)) % 255.0, cv2.INTER_LINEAR), np.float32)


def _layer(rng: np.random.Generator, position: Float32Array, run: Float32Array, sign: float, pitch: float) -> Threads:
    """Draw the threads that ``position`` counts; ``run`` is the position along them, both (H, W) in threads."""
    thread = np.floor(position)
    offset = _yarn(rng, thread, run, 6.0, 0.042)
    half_width = np.float32(0.455) + _yarn(rng, thread, run, 3.0, 0.022) + _yarn(rng, thread, run, 500.0, 0.024)
    aside = (position - thread - np.float32(0.5) - offset) / half_width
    round_top = np.sqrt(np.maximum(np.float32(1.0) - aside**2, np.float32(0.0)))
    parity = np.float32(1.0) - np.float32(2.0) * (thread % np.float32(2.0))
    wave = np.float32(sign) * parity * np.cos(np.float32(np.pi) * (run - np.float32(0.5)))
    height = np.float32(0.27 * pitch) * round_top + np.float32(0.15 * pitch) * wave
    height = np.where(round_top > 0.0, height, np.float32(-0.35 * pitch))
    shade = np.float32(0.63) + _yarn(rng, thread, run, 500.0, 0.026) + _yarn(rng, thread, run, 4.0, 0.02)
    shade += np.float32(0.045) * _fibres(rng, position, run)
    depth = np.clip(np.float32(0.62) + height * np.float32(1.0 / pitch), 0.3, 1.0)
    return Threads(height, shade * depth)


def draw_cloth(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Cloth:
    """Draw a piece of canvas, in one channel and without defects, of a height and width in px."""
    stretch = rng.normal(1.0, 0.012)
    pitch = (
        max(SMALLEST_PITCH_PX, PITCH_PX[0] * scale) * stretch,
        max(SMALLEST_PITCH_PX, PITCH_PX[1] * scale) / stretch,
    )
    across, along = _positions(rng, shape, pitch, scale)
    vertical = _layer(rng, across, along, 1.0, pitch[0])
    horizontal = _layer(rng, along, across, -1.0, pitch[1])
    height = np.maximum(vertical.height, horizontal.height)
    albedo = np.where(vertical.height > horizontal.height, vertical.albedo, horizontal.albedo)
    albedo *= np.float32(1.0) + np.float32(0.012) * smooth_noise(rng, shape, 130.0 * scale)
    mask = np.zeros(shape, np.bool_)
    return Cloth(
        albedo[:, :, np.newaxis], height, mask, scale,
        across=across, along=along, vertical=vertical, horizontal=horizontal, pitch=pitch,
    )  # fmt: skip
