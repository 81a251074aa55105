"""docs/methods/robis.md#merging-as-released to the letter: float16 tile maps of 256 px and their mean at quarter scale.

``merge_native`` does the same at the size of the image: every tile map is enlarged to its window, windows are averaged,
and the mean is smoothed, each step on full arrays.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from scipy import ndimage

from literal.cropping import tile_starts

Float32Array = npt.NDArray[np.float32]
TILE = 256
OVERLAP = 0.1


def tile_maps_256(cells: Float32Array, input_side: int) -> Float32Array:
    """Carry cell maps (n, h, w) to the input with aligned corners, to 256 px, and blur them with zeros around."""
    maps = torch.from_numpy(cells)[:, None]
    maps = F.interpolate(maps, (input_side, input_side), mode="bilinear", align_corners=True)
    maps = F.interpolate(maps, (TILE, TILE), mode="bilinear", align_corners=False)
    line = torch.exp(-0.5 * (torch.arange(-2, 3) / 4.0) ** 2)
    kernel = (line[:, None] * line[None, :])[None, None]
    return np.asarray(F.conv2d(maps, kernel / kernel.sum(), padding=2)[:, 0].numpy())


def write_tile_maps(maps: Float32Array, folder: Path, lowest: float, highest: float) -> list[Path]:
    """Stretch tile maps to 0..255 with the range of the split and write each as a float16 TIFF."""
    stretched = ((maps - lowest) / (highest - lowest + 1e-8) * 255.0).astype(np.float16)
    paths = [folder / f"{number}.tiff" for number in range(len(stretched))]
    for path, tile in zip(paths, stretched, strict=True):
        tifffile.imwrite(path, tile, metadata=None)
    return paths


def merge_quarter(tiles: Sequence[Path], image_shape: tuple[int, int], target: Path) -> None:
    """Add float16 tiles every 230 px, divide by their count, crop, write and delete the tiles."""
    height, width = image_shape[0] // 4, image_shape[1] // 4
    rows, columns = tile_starts(height, TILE, OVERLAP), tile_starts(width, TILE, OVERLAP)
    canvas = (-(-height // TILE) * TILE, -(-width // TILE) * TILE)
    total, count = np.zeros(canvas, np.float16), np.zeros(canvas, np.float16)
    for path, (top, left) in zip(tiles, [(top, left) for top in rows for left in columns], strict=True):
        tile = tifffile.imread(path)
        bottom, right = min(top + TILE, canvas[0]), min(left + TILE, canvas[1])
        total[top:bottom, left:right] += tile[: bottom - top, : right - left]
        count[top:bottom, left:right] += np.float16(1)
        path.unlink()
    count[count == 0] = 1
    tifffile.imwrite(target, (total / count).astype(np.float16)[:height, :width], metadata=None)


def merge_native(cells: Float32Array, image_shape: tuple[int, int], window: int, sigma_px: float, target: Path) -> None:
    """Enlarge every tile map to its window, average them on a float32 canvas, smooth and write."""
    height, width = image_shape
    rows, columns = tile_starts(height, window, OVERLAP), tile_starts(width, window, OVERLAP)
    canvas = (rows[-1] + window, columns[-1] + window)
    total, count = np.zeros(canvas, np.float32), np.zeros(canvas, np.float32)
    for tile, (top, left) in zip(cells, [(top, left) for top in rows for left in columns], strict=True):
        maps = torch.from_numpy(tile)[None, None]
        enlarged = F.interpolate(maps, (window, window), mode="bilinear", align_corners=False)[0, 0].numpy()
        total[top : top + window, left : left + window] += enlarged
        count[top : top + window, left : left + window] += 1.0
    mean = (total / np.maximum(count, 1.0))[:height, :width]
    tifffile.imwrite(target, ndimage.gaussian_filter(mean, sigma_px), metadata=None)
