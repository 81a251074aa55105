"""Manifest of the crop stage."""

from seamark.manifests.base import Manifest, Record
from seamark.settings.base import Split
from seamark.settings.grid import GridSettings


class TiledImage(Record):
    """One image and its tiles, which lie next to each other in the tile array."""

    id: str
    width: int
    """px"""
    height: int
    """px"""
    sha256: str
    """Digest of the image file."""
    boxes_xyxy: tuple[tuple[int, int, int, int], ...]
    """Window of each tile in image px, half-open, rows outer; what lies beyond the image is padding (zeros)."""


class TilesManifest(Manifest):
    """The tiles of one category and split: ``file`` is a uint8 array (T, h, w, C)."""

    category: str
    split: Split
    grid: GridSettings
    file: str
    """Name of the .npy file beside the manifest."""
    shape: tuple[int, int, int, int]
    sha256: str
    """Digest of the .npy file."""
    images: tuple[TiledImage, ...]
