"""Irregular shapes and noise that materials and defects are made of."""

import cv2
import numpy as np
import numpy.typing as npt

from seamark.demo.scene import Point
from seamark.files.images import Float32Array

EDGE = 0.3
"""Opacity below which an anti-aliased edge is cut off, so that a mask holds exactly what was drawn."""


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Float32Array:
    """Draw smooth noise, about normally distributed with variance 1, float32 (H, W), with bumps of ``cell`` px."""
    rows, columns = (int(np.ceil(side / cell)) + 3 for side in shape)
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    to_grid = np.array([[1.0 / cell, 0.0, 1.0], [0.0, 1.0 / cell, 1.0]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    noise = cv2.warpAffine(grid, to_grid, shape[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(noise * np.float32(1.3), np.float32)


def cut_edge(alpha: Float32Array) -> Float32Array:
    """Return ``alpha`` (H, W) with everything below :data:`EDGE` set to zero."""
    return np.where(alpha >= EDGE, alpha, np.float32(0.0)).astype(np.float32)


def polar(shape: tuple[int, int], centre: Point) -> tuple[Float32Array, Float32Array]:
    """Return distance in px and angle in rad of every pixel around ``centre`` (x, y), each (H, W) float32."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    dx, dy = (x - centre[0]).astype(np.float32), (y - centre[1]).astype(np.float32)
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def blob(
    rng: np.random.Generator,
    shape: tuple[int, int],
    centre: Point,
    radius: float,
    *,
    roughness: float = 0.25,
    softness: float = 1.0,
) -> Float32Array:
    """Draw the opacity of an irregular patch, float32 (H, W), 0..1, zero outside.

    ``centre`` is x and y in px, ``radius`` the mean one in px, ``roughness`` the share of it by which the outline
    wanders, and ``softness`` the width of the edge in px.
    """
    distance, angle = polar(shape, centre)
    outline = np.full(shape, radius, np.float32)
    for order in range(2, 8):
        amplitude, phase = rng.normal(0.0, roughness * radius / order), rng.uniform(0.0, 2.0 * np.pi)
        outline += np.float32(amplitude) * np.cos(np.float32(order) * angle + np.float32(phase))
    np.maximum(outline, np.float32(0.4 * radius), out=outline)
    return cut_edge(np.clip((outline - distance) / np.float32(softness) + np.float32(0.5), 0.0, 1.0))


def wander(
    rng: np.random.Generator, start: Point, heading: float, length: float, curl: float
) -> npt.NDArray[np.float64]:
    """Draw the course of a thin smooth curve such as a fibre or a scratch: x and y of points, float64 (N, 2), in px.

    ``heading`` is the direction at the start in rad, ``curl`` the standard deviation of the total turn in rad; 0 for a
    straight line.
    """
    steps = max(8, int(length / 6.0))
    direction = heading + np.cumsum(rng.normal(0.0, curl / np.sqrt(steps), steps))
    step = length / steps * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return np.asarray(start + np.concatenate([np.zeros((1, 2)), np.cumsum(step, axis=0)]), np.float64)


def polyline(shape: tuple[int, int], points: npt.NDArray[np.float64], width: float) -> Float32Array:
    """Draw the opacity of an anti-aliased line through points, float64 (N, 2), x and y in px: float32 (H, W), 0..1.

    Points may lie outside the image; the width is in px.
    """
    alpha = np.zeros(shape, np.float32)
    low = np.maximum(np.floor(points.min(axis=0) - width - 2.0), 0.0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0) + width + 2.0), shape[::-1]).astype(int)
    if (high <= low).any():
        return alpha
    fine = 4
    canvas = np.zeros(((high[1] - low[1]) * fine, (high[0] - low[0]) * fine), np.uint8)
    corners = np.rint((points - low + 0.5) * fine - 0.5).astype(np.int32)
    cv2.polylines(canvas, [corners], isClosed=False, color=255, thickness=max(fine, round(width * fine)))
    window = cv2.resize(canvas, (high - low).tolist(), interpolation=cv2.INTER_AREA)
    alpha[low[1] : high[1], low[0] : high[0]] = window.astype(np.float32) / np.float32(255.0)
    return cut_edge(alpha)
