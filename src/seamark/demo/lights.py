"""Light conditions of the demo and the camera that turns a scene into a photograph."""

from dataclasses import dataclass

import cv2
import numpy as np

from seamark.demo.scene import Scene
from seamark.demo.shapes import smooth_noise
from seamark.files.images import Float32Array, UInt8Array

AMBIENT = 0.35
"""Share of the light that comes from all sides."""
SHADOW = 0.55
"""Share of the directed light that a part takes from the tray beside it."""
REACH_PX = 17.0
"""Length of the shadow of a part, in px of the full demo."""


@dataclass(frozen=True)
class Light:
    """One light condition."""

    exposure: float = 1.0
    """Factor on the brightness."""
    azimuth: float = 225.0
    """Direction the light comes from, in degrees from the x axis towards the y axis (down)."""
    gradient: float = 0.06
    """Share by which the brightness falls from the lit edge to the far edge."""
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on red, green and blue; their mean acts on grey images."""


LIGHTS: dict[str, Light] = {
    "regular": Light(),
    "underexposed": Light(exposure=0.76),
    "overexposed": Light(exposure=1.26),
    "shift_1": Light(azimuth=243.0, gradient=0.18, balance=(1.05, 1.0, 0.93)),
    "shift_2": Light(exposure=0.93, azimuth=207.0, gradient=0.22, balance=(0.94, 1.0, 1.06)),
    "shift_3": Light(exposure=1.06, azimuth=238.0, gradient=0.16, balance=(1.03, 0.98, 1.02)),
}
"""The conditions by the name that MVTec AD 2 gives them."""


def _direction(light: Light, rng: np.random.Generator) -> tuple[float, float]:
    azimuth = np.deg2rad(light.azimuth + rng.normal(0.0, 6.0))
    return float(np.cos(azimuth)), float(np.sin(azimuth))


def _shading(scene: Scene, towards: tuple[float, float]) -> Float32Array:
    """Lambertian shading, 1 on a flat surface; the light stands 45 degrees above the surface."""
    slope_x = cv2.Sobel(scene.height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(scene.height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    facing = np.float32(1.0) - slope_x * np.float32(towards[0]) - slope_y * np.float32(towards[1])
    steepness = np.sqrt(np.float32(1.0) + slope_x**2 + slope_y**2)
    return np.asarray(np.maximum(facing / steepness, np.float32(0.0)), np.float32)


def _shadow(solid: Float32Array, towards: tuple[float, float], scale: float) -> Float32Array:
    """Cover of the tray by shadows, 0..1: the parts' outline pushed away from the light and blurred."""
    cast = np.zeros_like(solid)
    for share in (0.3, 0.65, 1.0):
        reach = share * REACH_PX * scale
        push = np.array([[1.0, 0.0, -towards[0] * reach], [0.0, 1.0, -towards[1] * reach]], np.float32)
        cast = np.maximum(cast, cv2.warpAffine(solid, push, solid.shape[::-1], borderMode=cv2.BORDER_REPLICATE))
    sigma = max(0.6, 5.0 * scale)
    return np.asarray(cv2.GaussianBlur(cast, (0, 0), sigma), np.float32) * (np.float32(1.0) - solid)


def _falloff(
    shape: tuple[int, int], light: Light, towards: tuple[float, float], rng: np.random.Generator
) -> Float32Array:
    """Brightness over the image: a fall from the lit edge, a vignette and a slow unevenness; mean about 1."""
    y, x = np.ogrid[-1.0 : 1.0 : shape[0] * 1j, -1.0 : 1.0 : shape[1] * 1j]
    gradient = light.gradient + rng.uniform(-0.03, 0.03)
    plane = 1.0 + 0.5 * gradient * (x * towards[0] + y * towards[1])
    vignette = 1.02 - rng.uniform(0.03, 0.06) * (x**2 + y**2)
    uneven = 1.0 + 0.012 * smooth_noise(rng, shape, max(shape) / 3.0)
    return np.asarray(plane * vignette * uneven, np.float32)


def _highlight(shine: Float32Array, towards: tuple[float, float]) -> Float32Array:
    """Bow-tie highlight of brushed metal: bright where the brushing runs across the light."""
    double_cos = np.float32(towards[0] ** 2 - towards[1] ** 2)
    double_sin = np.float32(2.0 * towards[0] * towards[1])
    across = np.float32(0.5) * (1.0 - shine[:, :, 1] * double_cos - shine[:, :, 2] * double_sin)
    return np.asarray(shine[:, :, 0] * across**4, np.float32)


def _sensor(linear: Float32Array, rng: np.random.Generator, scale: float) -> UInt8Array:
    """Lens blur, soft shoulder towards white, shot and read noise, 8 bits."""
    sharp = np.asarray(cv2.GaussianBlur(linear, (0, 0), 0.4 + 0.35 * scale), np.float32).reshape(linear.shape)
    knee = np.float32(0.78)
    over = np.maximum(sharp - knee, np.float32(0.0))
    toned = np.minimum(sharp, knee) + (1.0 - knee) * (np.float32(1.0) - np.exp(-over / (1.0 - knee)))
    noise = rng.standard_normal(linear.shape, dtype=np.float32) * np.sqrt(np.float32(2e-5) + np.float32(7e-5) * toned)
    return np.asarray(np.clip(np.rint((toned + noise) * 255.0), 0.0, 255.0), np.uint8)


def photograph(scene: Scene, light: Light, rng: np.random.Generator) -> UInt8Array:
    """Take a photograph, uint8 (H, W, C), of a scene with C = 1 or 3 channels.

    Direction, gradient and exposure of the light vary a little from shot to shot.
    """
    towards = _direction(light, rng)
    lit = _shading(scene, towards)
    if scene.solid is not None:
        lit *= np.float32(1.0) - np.float32(SHADOW) * _shadow(scene.solid, towards, scene.scale)
    lit *= np.float32(1.0 - AMBIENT)
    lit += np.float32(AMBIENT)
    linear = scene.albedo * lit[:, :, np.newaxis]
    if scene.shine is not None:
        linear += _highlight(scene.shine, towards)[:, :, np.newaxis]
    exposure = light.exposure * (1.0 + rng.normal(0.0, 0.02))
    linear *= np.float32(exposure) * _falloff(scene.shape, light, towards, rng)[:, :, np.newaxis]
    if linear.shape[2] == 3:
        linear *= np.asarray(light.balance * rng.normal(1.0, 0.007, 3), np.float32)
    else:
        linear *= np.float32(np.mean(light.balance))
    return _sensor(linear, rng, scene.scale)
