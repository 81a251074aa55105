"""Drawn textures, for when no folder of photographs is at hand: a grey field, coloured by a random ramp.

Fields are fractal clouds, stripes, checks, waves, spots, cells and brushed grain, each with its own scale, direction
and bends.
"""

from collections.abc import Callable

import cv2
import numpy as np

from seamark.files.images import Float32Array, UInt8Array

Field = Callable[[tuple[int, int], np.random.Generator], Float32Array]
"""Draws a field of any range, float32 (H, W)."""


def _clouds(shape: tuple[int, int], random: np.random.Generator, octaves: tuple[int, int] = (1, 7)) -> Float32Array:
    """Sum smooth noise of several scales, each half as coarse as the one before."""
    persistence = random.uniform(0.4, 0.9)
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(*octaves):
        nodes = random.standard_normal((2**octave + 1, 2**octave + 1), dtype=np.float32)
        nodes *= np.float32(persistence**octave)
        total += cv2.resize(nodes, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return total


def _bend(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Draw a smooth field of displacements, from none to a good part of a period."""
    nodes = random.standard_normal((4, 4), dtype=np.float32) * np.float32(random.choice([0.0, 0.1, 0.4]))
    return np.asarray(cv2.resize(nodes, shape[::-1], interpolation=cv2.INTER_CUBIC))


def _phases(shape: tuple[int, int], random: np.random.Generator) -> tuple[Float32Array, Float32Array]:
    """Draw two turned, bent coordinates in periods."""
    angle, periods = random.uniform(0.0, np.pi), np.exp(random.uniform(np.log(2.0), np.log(40.0)))
    scale = np.float32(periods / max(shape))
    down = np.arange(shape[0], dtype=np.float32)[:, np.newaxis] * scale
    across = np.arange(shape[1], dtype=np.float32)[np.newaxis, :] * scale
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    bend = _bend(shape, random)
    return cosine * across + sine * down + bend, cosine * down - sine * across + bend


def _stripes(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    return np.asarray(np.sin(np.float32(2.0 * np.pi) * _phases(shape, random)[0]), dtype=np.float32)


def _checks(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    first, second = _phases(shape, random)
    return np.asarray((np.floor(first) + np.floor(second)) % 2, dtype=np.float32)


def _waves(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    first, second = _phases(shape, random)
    turn = np.float32(2.0 * np.pi)
    return np.asarray(np.sin(turn * first) * np.sin(turn * second), dtype=np.float32)


def _seeds(shape: tuple[int, int], random: np.random.Generator) -> UInt8Array:
    """Draw zeros at random places, ones elsewhere."""
    count = int(np.exp(random.uniform(np.log(20.0), np.log(600.0))))
    ground = np.ones(shape, dtype=np.uint8)
    ground[random.integers(0, shape[0], count), random.integers(0, shape[1], count)] = 0
    return ground


def _spots(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    distance = cv2.distanceTransform(_seeds(shape, random), cv2.DIST_L2, 3)
    return np.asarray(np.minimum(distance, np.float32(random.uniform(0.2, 1.0)) * distance.max()), dtype=np.float32)


def _cells(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    _, labels = cv2.distanceTransformWithLabels(_seeds(shape, random), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    return np.asarray(random.random(int(labels.max()) + 1, dtype=np.float32)[labels], dtype=np.float32)


def _grain(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    noise = np.frombuffer(random.bytes(shape[0] * shape[1]), dtype=np.uint8).reshape(shape)
    lengths = [int(length) for length in random.integers(1, 16, 2)]
    return cv2.blur(noise, (lengths[0], lengths[1])).astype(np.float32)


FIELDS: tuple[Field, ...] = (_clouds, _stripes, _checks, _waves, _spots, _cells, _grain)


def _coloured(field: Float32Array, random: np.random.Generator) -> UInt8Array:
    """Colour a field with a ramp through two to four random colours, from grey to garish."""
    stops = int(random.integers(2, 5))
    places = np.linspace(0.0, 255.0, stops)
    colours = random.uniform(0.0, 255.0, (stops, 3))
    grey_levels = colours.mean(axis=1, keepdims=True)
    colours = grey_levels + random.random() * (colours - grey_levels)
    ramp = [np.interp(np.arange(256), places, colours[:, channel]) for channel in range(3)]
    palette = np.rint(np.stack(ramp, axis=1)).astype(np.uint8)
    lowest, highest = float(field.min()), float(field.max())
    grey = ((field - np.float32(lowest)) * np.float32(255.0 / max(highest - lowest, 1e-6))).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, palette[:, np.newaxis]), dtype=np.uint8)


def draw_texture(shape: tuple[int, int], random: np.random.Generator) -> UInt8Array:
    """Draw a texture, uint8 (H, W, 3): its kind, scale, direction, bends and colours are all random."""
    field = FIELDS[int(random.integers(len(FIELDS)))](shape, random)
    return _coloured(field, random)
