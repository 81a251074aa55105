"""Defects of the canvas: what weaving, handling and dirt do to cloth."""

import cv2
import numpy as np

from seamark.demo.scene import Defect, Point
from seamark.demo.shapes import blob, cut_edge, polar, polyline, smooth_noise, wander
from seamark.demo.woven import Cloth, Threads
from seamark.files.images import BoolArray, Float32Array


def _grey(value: float) -> Float32Array:
    return np.array([value], np.float32)


def _show(cloth: Cloth, where: BoolArray, layer: Threads) -> None:
    """Let one layer of threads be seen alone, with the dark backing between its threads."""
    cloth.height[where] = layer.height[where]
    cloth.albedo[where, 0] = np.where(layer.height[where] < -0.3 * min(cloth.pitch), 0.13, layer.albedo[where])
    cloth.mask |= where


def missing_thread(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Pull two or three neighbouring threads over a long stretch."""
    vertical = bool(rng.random() < 0.5)
    position, run = (cloth.across, cloth.along) if vertical else (cloth.along, cloth.across)
    column, row = cloth.pixel(centre)
    first = np.floor(position[row, column])
    threads = 2.0 + float(rng.random() < 0.6)
    half_run = rng.uniform(0.12, 0.26) * min(cloth.shape) / cloth.pitch[int(vertical)]
    where = (position >= first) & (position < first + threads) & (np.abs(run - run[row, column]) < half_run)
    _show(cloth, where, cloth.horizontal if vertical else cloth.vertical)


def broken_thread(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Tear a thread over a few crossings and let its ends stand up as loose fibres."""
    column, row = cloth.pixel(centre)
    first = np.floor(cloth.across[row, column])
    half_run = rng.uniform(2.0, 5.0)
    offset = np.abs(cloth.along - cloth.along[row, column])
    _show(cloth, (cloth.across >= first) & (cloth.across < first + 1.0) & (offset < half_run), cloth.horizontal)
    for side in (-1.0, 1.0):
        end = (centre[0], centre[1] + side * half_run * cloth.pitch[1])
        for _ in range(4):
            heading, length = rng.uniform(-np.pi, np.pi), rng.uniform(12.0, 34.0)
            _lay_fibre(cloth, rng, end, heading=heading, length=length, width=1.6, shade=0.78)


def _lay_fibre(
    cloth: Cloth, rng: np.random.Generator, start: Point, *, heading: float, length: float, width: float, shade: float
) -> None:
    size = cloth.scale
    alpha = polyline(cloth.shape, wander(rng, start, heading, length * size, 1.6), max(1.0, width * size))
    cloth.paint(alpha, _grey(shade))
    cloth.height += alpha * np.float32(width * size)
    cloth.mark(alpha)


def foreign_fibre(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Lay a long hair or a bright fibre across the cloth."""
    shade, width = float(rng.choice([0.16, 0.2, 0.95])), rng.uniform(4.0, 7.0)
    heading, length = rng.uniform(-np.pi, np.pi), rng.uniform(150.0, 420.0)
    _lay_fibre(cloth, rng, centre, heading=heading, length=length, width=width, shade=shade)


def stain(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Soak a patch of the cloth with a dark liquid that dries to a darker rim."""
    radius = rng.uniform(40.0, 84.0) * cloth.scale
    inside = blob(rng, cloth.shape, centre, radius, roughness=0.3, softness=3.0)
    core = blob(rng, cloth.shape, centre, 0.8 * radius, roughness=0.2, softness=0.3 * radius)
    depth = inside * (np.float32(rng.uniform(0.27, 0.4)) - np.float32(0.09) * core)
    depth *= np.float32(1.0) + np.float32(0.12) * smooth_noise(rng, cloth.shape, 18.0 * cloth.scale)
    cloth.albedo *= np.float32(1.0) - depth[:, :, np.newaxis]
    cloth.mark(inside)


def hole(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Tear a hole through which the dark backing is seen, with torn fibres around it."""
    radius = rng.uniform(26.0, 56.0) * cloth.scale
    torn = blob(rng, cloth.shape, centre, radius, roughness=0.3)
    cloth.paint(torn, _grey(0.13))
    cloth.height += torn * (np.float32(-0.6 * cloth.pitch[0]) - cloth.height)
    cloth.mark(torn)
    for angle in rng.uniform(-np.pi, np.pi, 14):
        rim = (centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle))
        inward = angle + np.pi + rng.normal(0.0, 0.6)
        length = rng.uniform(0.4, 1.2) * radius / cloth.scale
        _lay_fibre(cloth, rng, rim, heading=inward, length=length, width=2.0, shade=0.6)


def knot(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Put a lump of spun yarn on the surface."""
    radius = rng.uniform(9.0, 19.0) * cloth.scale
    lump = blob(rng, cloth.shape, centre, radius, roughness=0.2, softness=1.5)
    distance, angle = polar(cloth.shape, centre)
    dome = np.sqrt(np.maximum(np.float32(1.0) - (distance / np.float32(1.5 * radius)) ** 2, np.float32(0.0)))
    winding = np.sin(angle * np.float32(2.0) + distance * np.float32(2.4 / max(1.0, 4.0 * cloth.scale)))
    cloth.height += lump * (dome * np.float32(0.8 * radius) + winding * np.float32(0.7 * cloth.scale) - cloth.height)
    cloth.paint(lump, (np.float32(0.62) + np.float32(0.05) * winding)[:, :, np.newaxis])
    cloth.mark(lump)


def crease(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Press a fold into the cloth: a ridge that is lit on one side and dark on the other."""
    heading = rng.uniform(-np.pi, np.pi)
    length, width = rng.uniform(220.0, 520.0) * cloth.scale, rng.uniform(24.0, 36.0) * cloth.scale
    start = (centre[0] - 0.5 * length * np.cos(heading), centre[1] - 0.5 * length * np.sin(heading))
    course = wander(rng, start, heading, length, 0.35)
    band = polyline(cloth.shape, course, max(3.0, width))
    apart = cv2.distanceTransform((polyline(cloth.shape, course, 1.0) <= 0.0).astype(np.uint8), cv2.DIST_L2, 5)
    fold = np.maximum(np.float32(1.0) - np.float32(2.0 / max(3.0, width)) * apart, np.float32(0.0)) * (band > 0.0)
    cloth.height += fold * np.float32(0.36 * width)
    cloth.albedo *= (np.float32(1.0) + np.float32(0.12) * fold**4 - np.float32(0.1) * fold)[:, :, np.newaxis]
    cloth.mark(band)


def speck(cloth: Cloth, rng: np.random.Generator, centre: Point) -> None:
    """Drop a speck of dirt of a few px."""
    radius = max(1.5, rng.uniform(1.6, 2.7) * cloth.scale)
    dirt = cut_edge(blob(rng, cloth.shape, centre, radius, roughness=0.1))
    cloth.paint(dirt, _grey(float(rng.choice([0.1, 0.98]))))
    cloth.mark(dirt)


LARGE: tuple[Defect[Cloth], ...] = (stain, missing_thread, hole, crease, foreign_fibre)
"""Defects that are drawn in turn, so that every kind occurs."""
SMALL: tuple[Defect[Cloth], ...] = (knot, broken_thread, speck)
"""Defects that come on top of a large one."""
