"""The colour category of the demo: washers, plastic rings and nuts scattered on a moulded tray."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from seamark.demo.scene import Scene
from seamark.demo.shapes import polar, smooth_noise
from seamark.files.images import Float32Array

RIB_PX = 92.0
"""Distance of the moulded ribs of the tray."""
TRAY = (0.335, 0.365, 0.385)
"""Albedo of the tray."""


@dataclass(frozen=True)
class Kind:
    """A kind of part; lengths in px of the full demo."""

    outer: float
    """Outer radius; of a nut the radius of the inscribed circle."""
    inner: float
    """Radius of the bore."""
    colour: tuple[float, float, float]
    """Albedo."""
    metal: bool
    """Metal is flat, chamfered and turned; plastic is round and dull."""
    hexagon: bool = False
    spread: float = 0.0
    """Standard deviation of the hue between parts, as a share of each channel."""


KINDS: tuple[Kind, ...] = (
    Kind(86.0, 44.0, (0.56, 0.57, 0.59), metal=True),
    Kind(62.0, 29.0, (0.56, 0.57, 0.59), metal=True),
    Kind(70.0, 36.0, (0.60, 0.49, 0.29), metal=True, spread=0.02),
    Kind(66.0, 38.0, (0.66, 0.23, 0.15), metal=False, spread=0.04),
    Kind(54.0, 30.0, (0.18, 0.34, 0.58), metal=False, spread=0.04),
    Kind(56.0, 30.0, (0.52, 0.53, 0.56), metal=True, hexagon=True),
)


@dataclass(frozen=True)
class Part:
    """A part on the tray, in px of the image that is drawn."""

    kind: Kind
    x: float
    y: float
    angle: float
    """Rotation in rad."""
    outer: float
    inner: float

    @property
    def reach(self) -> float:
        """Radius of the circle around the part."""
        return self.outer * (1.16 if self.kind.hexagon else 1.0)


@dataclass(kw_only=True)
class Tray(Scene):
    """A tray with parts that remembers what lies below them."""

    shine: Float32Array
    solid: Float32Array
    bare_albedo: Float32Array
    """(H, W, 3) albedo of the tray without parts."""
    bare_height: Float32Array
    """(H, W) relief of the tray without parts in px."""
    parts: list[Part] = field(default_factory=list)


def _empty_tray(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Tray:
    """Draw matt plastic with fine grain and shallow ribs."""
    angle, start = np.deg2rad(rng.normal(0.0, 1.0)), rng.uniform(0.0, 1.0, 2)
    y, x = np.ogrid[: shape[0], : shape[1]]
    rib = max(8.0, RIB_PX * scale)
    relief = np.zeros(shape, np.float32)
    for offset, cos, sin in ((start[0], np.cos(angle), np.sin(angle)), (start[1], -np.sin(angle), np.cos(angle))):
        phase = (x * cos + y * sin) / rib + offset
        aside = ((phase - np.floor(phase) - 0.5) * rib / max(1.0, 2.6 * scale)).astype(np.float32)
        np.maximum(relief, np.exp(-(aside**2)), out=relief)
    grain = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 1.2) * np.float32(2.4)
    height = np.float32(0.9 * scale) * relief + np.float32(0.13) * grain
    tone = 1.0 + 0.03 * smooth_noise(rng, shape, 230.0 * scale) + 0.018 * grain
    albedo = (tone[:, :, np.newaxis] * np.array(TRAY, np.float32)).astype(np.float32)
    zeros = np.zeros(shape, np.float32)
    return Tray(
        albedo=albedo, height=height, mask=np.zeros(shape, np.bool_), scale=scale, solid=zeros,
        shine=np.zeros((*shape, 3), np.float32), bare_albedo=albedo.copy(), bare_height=height.copy(),
    )  # fmt: skip


def _scatter(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> list[Part]:
    """Throw parts until enough lie side by side; some reach over the edge of the image."""
    wanted = int(rng.integers(16, 22))
    parts: list[Part] = []
    for attempt in range(40 * wanted):
        kind = KINDS[len(parts) % len(KINDS)] if attempt < 20 * wanted else KINDS[int(rng.integers(len(KINDS)))]
        size = rng.normal(1.0, 0.012) * scale
        x, y = rng.uniform(-30.0 * scale, shape[1] + 30.0 * scale), rng.uniform(-30.0 * scale, shape[0] + 30.0 * scale)
        part = Part(kind, x, y, rng.uniform(-np.pi, np.pi), kind.outer * size, kind.inner * size)
        gaps = (np.hypot(part.x - other.x, part.y - other.y) - part.reach - other.reach for other in parts)
        if all(gap > 14.0 * scale for gap in gaps):
            parts.append(part)
        if len(parts) == wanted:
            break
    return parts


def _window(part: Part, shape: tuple[int, int]) -> tuple[slice, slice]:
    reach = part.reach + 3.0
    rows = slice(max(0, int(part.y - reach)), max(0, min(shape[0], int(part.y + reach) + 2)))
    return rows, slice(max(0, int(part.x - reach)), max(0, min(shape[1], int(part.x + reach) + 2)))


def _depth_inside(part: Part, distance: Float32Array, angle: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Distance to the outer edge and to the bore in px, positive inside the part."""
    outer = np.float32(part.outer) - distance
    if part.kind.hexagon:
        sector = np.mod(angle - np.float32(part.angle), np.float32(np.pi / 3)) - np.float32(np.pi / 6)
        outer = np.float32(part.outer) - distance * np.cos(sector)
    return outer, distance - np.float32(part.inner)


def _metal_finish(
    part: Part, rng: np.random.Generator, distance: Float32Array, angle: Float32Array, scale: float
) -> tuple[Float32Array, Float32Array]:
    """Draw turning marks: tone (H, W, 1) around 1 and the brushed highlight (H, W, 3)."""
    grooves = cv2.GaussianBlur(rng.standard_normal((1, 512), dtype=np.float32), (0, 0), 1.0)
    table = (distance * np.float32(1.6 / max(scale, 0.3))) % np.float32(511.0)
    marks = cv2.remap(grooves, table, np.zeros_like(table), cv2.INTER_LINEAR)
    strength = np.float32(rng.uniform(0.1, 0.17)) * (np.float32(1.0) + np.float32(0.5) * marks)
    if part.kind.hexagon:
        angle = np.full_like(angle, part.angle)
        strength = strength * np.float32(0.6)
    tone = (
        np.float32(1.0) + np.float32(0.06) * marks + np.float32(0.02) * smooth_noise(rng, distance.shape, 24.0 * scale)
    )
    # The brushing runs around the bore, so its doubled direction is the doubled polar angle turned by half a circle.
    shine = np.stack([strength, -np.cos(2.0 * angle), -np.sin(2.0 * angle)], axis=2)
    return tone[:, :, np.newaxis], shine.astype(np.float32)


def _place(tray: Tray, part: Part, rng: np.random.Generator) -> None:
    """Draw one part onto the tray."""
    window = _window(part, tray.shape)
    shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    colour = np.array(part.kind.colour, np.float32) * (
        1.0 + rng.normal(0.0, 0.5 * part.kind.spread, 3) + rng.normal(0.0, 0.02)
    )
    if min(shape) < 1:
        return
    distance, angle = polar(shape, (part.x - window[1].start, part.y - window[0].start))
    to_rim, to_bore = _depth_inside(part, distance, angle)
    inside = np.minimum(to_rim, to_bore)
    alpha = np.clip(inside + np.float32(0.5), 0.0, 1.0).astype(np.float32)
    if part.kind.metal:
        height = np.float32(3.4 * tray.scale) * np.clip(inside / np.float32(max(1.5, 5.0 * tray.scale)), 0.0, 1.0)
        tone, shine = _metal_finish(part, rng, distance, angle, tray.scale)
    else:
        half = np.float32(0.5 * (part.outer - part.inner))
        height = np.float32(0.6) * np.sqrt(np.maximum(half**2 - (half - inside) ** 2, np.float32(0.0)))
        tone = np.float32(1.0) + np.float32(0.018) * smooth_noise(rng, shape, 7.0 * tray.scale + 1.0)[:, :, np.newaxis]
        shine = np.zeros((*shape, 3), np.float32)
    cover = alpha[:, :, np.newaxis]
    tray.albedo[window] += cover * (tone * colour.astype(np.float32) - tray.albedo[window])
    tray.height[window] += alpha * (height - tray.height[window])
    tray.shine[window] = np.where(cover > 0.5, shine, tray.shine[window])
    tray.solid[window] = np.maximum(tray.solid[window], alpha)


def draw_tray(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Tray:
    """Draw a tray with parts, in three channels and without defects, of a height and width in px."""
    tray = _empty_tray(rng, shape, scale)
    tray.parts.extend(_scatter(rng, shape, scale))
    for part in tray.parts:
        _place(tray, part, rng)
    return tray
