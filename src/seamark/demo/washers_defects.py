"""Defects of the washers: what tools, handling, rust and dirt do to parts and tray."""

import cv2
import numpy as np

from seamark.demo.scene import Defect, Point
from seamark.demo.shapes import blob, polar, polyline, smooth_noise, wander
from seamark.demo.washers import Part, Tray
from seamark.files.images import Float32Array


def _rgb(red: float, green: float, blue: float) -> Float32Array:
    return np.array([red, green, blue], np.float32)


def _dull(tray: Tray, alpha: Float32Array) -> None:
    """Take the brushed highlight away where something covers the metal."""
    tray.shine[:, :, 0] *= np.float32(1.0) - alpha


def _nearest(tray: Tray, centre: Point, metal: bool | None = None) -> Part:
    """Return the part nearest to ``centre`` whose middle is in the image."""
    rows, columns = tray.shape
    inside = [part for part in tray.parts if 0.0 <= part.x < columns and 0.0 <= part.y < rows]
    fitting = [part for part in inside if metal is None or part.kind.metal == metal] or inside or tray.parts
    return min(fitting, key=lambda part: np.hypot(part.x - centre[0], part.y - centre[1]))


def _on_ring(part: Part, rng: np.random.Generator, share: float) -> Point:
    """Return a point of the part, ``share`` of the way from bore to rim."""
    angle, radius = rng.uniform(-np.pi, np.pi), part.inner + share * (part.outer - part.inner)
    return part.x + radius * np.cos(angle), part.y + radius * np.sin(angle)


def _of_part(tray: Tray, part: Part) -> Float32Array:
    """Return 1 where the part's metal or plastic is, 0 elsewhere (H, W)."""
    distance, _ = polar(tray.shape, (part.x, part.y))
    return ((distance <= part.reach + 1.0) & (tray.solid > 0.5)).astype(np.float32)


def _break_off(tray: Tray, gone: Float32Array) -> None:
    """Show the tray where ``gone`` (H, W), 0..1, takes a part away."""
    lost = gone * (tray.solid > 0.0)
    tray.mark(lost)
    tray.paint(lost, tray.bare_albedo)
    tray.height += lost * (tray.bare_height - tray.height)
    tray.solid *= np.float32(1.0) - lost
    _dull(tray, lost)


def chip(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Break a piece off the rim of a part."""
    part = _nearest(tray, centre)
    bite = blob(
        rng, tray.shape, _on_ring(part, rng, 1.05), rng.uniform(0.85, 1.35) * (part.outer - part.inner), roughness=0.3
    )
    _break_off(tray, bite * _near(tray, part))


def missing_segment(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Cut a segment out of a ring."""
    part = _nearest(tray, centre)
    _, angle = polar(tray.shape, (part.x, part.y))
    apart = np.abs(
        np.mod(angle - np.float32(rng.uniform(-np.pi, np.pi)) + np.float32(np.pi), np.float32(2 * np.pi))
        - np.float32(np.pi)
    )
    wedge = (apart < rng.uniform(0.45, 1.0)).astype(np.float32)
    _break_off(tray, wedge * _near(tray, part))


def _near(tray: Tray, part: Part) -> Float32Array:
    distance, _ = polar(tray.shape, (part.x, part.y))
    return (distance <= part.reach + 2.0).astype(np.float32)


def scratch(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Drag one to three scratches across a metal part."""
    part = _nearest(tray, centre, metal=True)
    on_part = _of_part(tray, part)
    start, heading = _on_ring(part, rng, 0.5), rng.uniform(-np.pi, np.pi)
    for _ in range(int(rng.integers(1, 4))):
        length = rng.uniform(0.9, 1.7) * part.outer
        origin = (start[0] - 0.5 * length * np.cos(heading), start[1] - 0.5 * length * np.sin(heading))
        course = wander(rng, origin, heading + rng.normal(0.0, 0.12), length, 0.25)
        groove = polyline(tray.shape, course, max(1.0, rng.uniform(2.4, 4.2) * tray.scale)) * on_part
        tray.paint(groove, _rgb(0.86, 0.87, 0.9) if rng.random() < 0.6 else _rgb(0.2, 0.2, 0.21))
        tray.height -= groove * np.float32(1.2 * tray.scale)
        tray.mark(groove)
        _dull(tray, groove)


def dent(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Hit a metal part so that its face caves in."""
    part = _nearest(tray, centre, metal=True)
    radius = rng.uniform(0.3, 0.46) * (part.outer - part.inner)
    middle = _on_ring(part, rng, 0.5)
    struck = blob(rng, tray.shape, middle, radius, roughness=0.2) * _of_part(tray, part)
    distance, _ = polar(tray.shape, middle)
    bowl = np.maximum(np.float32(1.0) - (distance / np.float32(1.25 * radius)) ** 2, np.float32(0.0))
    tray.height -= struck * bowl * np.float32(0.55 * radius)
    tray.albedo *= np.float32(1.0) - np.float32(0.16) * struck[:, :, np.newaxis]
    tray.mark(struck)
    _dull(tray, np.float32(0.8) * struck)


def rust(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Let a spot of rust grow on a metal part."""
    part = _nearest(tray, centre, metal=True)
    radius = rng.uniform(0.7, 1.2) * (part.outer - part.inner)
    spot = blob(
        rng, tray.shape, _on_ring(part, rng, rng.uniform(0.3, 0.8)), radius, roughness=0.35, softness=2.0
    ) * _of_part(tray, part)
    mottle = smooth_noise(rng, tray.shape, max(2.0, 5.0 * tray.scale))[:, :, np.newaxis]
    tray.paint(spot * np.float32(0.85), _rgb(0.42, 0.24, 0.13) * (np.float32(1.0) + np.float32(0.18) * mottle))
    tray.height += spot * mottle[:, :, 0] * np.float32(0.35 * tray.scale)
    tray.mark(spot)
    _dull(tray, np.float32(0.9) * spot)


def stain(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Spill oil over tray and parts."""
    radius = rng.uniform(44.0, 90.0) * tray.scale
    wet = blob(rng, tray.shape, centre, radius, roughness=0.3, softness=3.0)
    depth = wet * np.float32(rng.uniform(0.42, 0.58))
    depth *= np.float32(1.0) + np.float32(0.1) * smooth_noise(rng, tray.shape, 20.0 * tray.scale)
    tray.albedo *= np.float32(1.0) - depth[:, :, np.newaxis] * _rgb(0.72, 0.86, 1.0)
    tray.mark(wet)
    _dull(tray, np.float32(0.7) * wet)


def splinter(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Drop a foreign piece, such as a wood splinter or a shred of green plastic, on the tray."""
    length, width = rng.uniform(110.0, 210.0) * tray.scale, rng.uniform(22.0, 38.0) * tray.scale
    heading = rng.uniform(-np.pi, np.pi)
    piece = polyline(tray.shape, wander(rng, centre, heading, length, 0.5), max(2.0, width))
    grain = smooth_noise(rng, tray.shape, max(2.0, 6.0 * tray.scale))[:, :, np.newaxis]
    colour = _rgb(0.63, 0.5, 0.33) if rng.random() < 0.5 else _rgb(0.27, 0.46, 0.3)
    tray.paint(piece, colour * (np.float32(1.0) + np.float32(0.1) * grain))
    depth = cv2.distanceTransform((piece > 0.0).astype(np.uint8), cv2.DIST_L2, 5)
    tray.height += piece * (np.float32(0.7) * np.minimum(depth, np.float32(5.0 * tray.scale)) - tray.height)
    np.maximum(tray.solid, np.float32(0.7) * piece, out=tray.solid)
    tray.mark(piece)
    _dull(tray, piece)


def hair(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Lay a thin dark fibre over tray and parts."""
    length, width = rng.uniform(90.0, 260.0) * tray.scale, max(1.0, rng.uniform(2.0, 3.4) * tray.scale)
    thread = polyline(tray.shape, wander(rng, centre, rng.uniform(-np.pi, np.pi), length, 2.2), width)
    tray.paint(thread, _rgb(0.09, 0.08, 0.08))
    tray.mark(thread)
    _dull(tray, thread)


def speck(tray: Tray, rng: np.random.Generator, centre: Point) -> None:
    """Drop a bright or dark crumb of a few px."""
    crumb = blob(rng, tray.shape, centre, max(1.5, rng.uniform(1.6, 2.7) * tray.scale), roughness=0.1)
    tray.paint(crumb, _rgb(0.85, 0.83, 0.78) if rng.random() < 0.7 else _rgb(0.08, 0.08, 0.08))
    tray.mark(crumb)
    _dull(tray, crumb)


LARGE: tuple[Defect[Tray], ...] = (rust, chip, stain, missing_segment, splinter)
"""Defects that are drawn in turn, so that every kind occurs."""
SMALL: tuple[Defect[Tray], ...] = (scratch, dent, hair, speck)
"""Defects that come on top of a large one."""
AT_BORDER: tuple[Defect[Tray], ...] = (stain, splinter)
"""Defects that can lie across the border of the image, wherever the parts are."""
