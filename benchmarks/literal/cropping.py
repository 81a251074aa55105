"""docs/methods/robis.md#swin-cropping to the letter: tiles as PNG files, read again and resized for the network."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

UInt8Array = npt.NDArray[np.uint8]


def tile_starts(length: int, window: int, overlap: float) -> list[int]:
    """Return the multiples of the truncated stride; the last tile may reach beyond the image."""
    stride = int(window * (1.0 - overlap))
    return [stride * tile for tile in range(max(1, math.ceil((length - window) / stride) + 1))]


def crop(path: Path, folder: Path, window: int, overlap: float) -> list[Path]:
    """Decode an image and write each zero-padded window as a PNG with three channels, rows outer."""
    image = np.asarray(Image.open(path).convert("RGB"))
    rows = tile_starts(image.shape[0], window, overlap)
    columns = tile_starts(image.shape[1], window, overlap)
    padded = np.zeros((rows[-1] + window, columns[-1] + window, 3), np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    written = []
    for row, top in enumerate(rows):
        for column, left in enumerate(columns):
            target = folder / f"{path.stem}_{row}{column}.png"
            Image.fromarray(padded[top : top + window, left : left + window]).save(target)
            written.append(target)
    return written


def network_input(tile: Path, side: int) -> UInt8Array:
    """Read a tile and resize it with Pillow's antialiased bilinear filter."""
    return np.asarray(Image.open(tile).convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
