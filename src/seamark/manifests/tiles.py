"""Manifest of the crop stage."""

from seamark.manifests.base import Inside, Manifest, PositionPx, Px, Record
from seamark.settings.base import Split
from seamark.settings.grid import GridSettings


class TiledImage(Record):
    """One image and its tiles, which lie next to each other in the tile array."""

    id: Inside
    width: Px
    """px"""
    height: Px
    """px"""
    sha256: str
    """Digest of the image file."""
    boxes_xyxy: tuple[tuple[PositionPx, PositionPx, PositionPx, PositionPx], ...]
    """Window of each tile in image px, half-open, rows outer; what lies beyond the image is padding (zeros)."""


class TilesManifest(Manifest):
    """The tiles of one category and split: ``file`` is a uint8 array (T, h, w, C)."""

    category: Inside
    split: Split
    grid: GridSettings
    file: Inside
    """Name of the .npy file beside the manifest."""
    shape: tuple[int, int, int, int]
    sha256: str
    """Digest of the .npy file."""
    images: tuple[TiledImage, ...]
