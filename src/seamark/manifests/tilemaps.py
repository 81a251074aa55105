"""Manifest of the infer stage."""

from seamark.manifests.base import Inside, Manifest, Record
from seamark.settings.base import Split


class CellGeometry(Record):
    """Where the cells of a tile map lie in the model input.

    The centre of cell (i, j) is at ``offset_px + stride_px * i`` down and likewise across, in input px, with pixel
    centres at half-integers: a patch grid has stride p and offset p/2.
    """

    stride_px: tuple[float, float]
    """Down, across."""
    offset_px: tuple[float, float]


class TilemapsManifest(Manifest):
    """Raw scores of all tiles of one split: ``file`` is a float32 array (T, h, w), higher is more anomalous."""

    detector: str
    category: Inside
    split: Split
    file: Inside
    """Name of the .npy file beside the manifest."""
    shape: tuple[int, int, int]
    sha256: str
    """Digest of the .npy file."""
    tiles_sha256: str
    """Digest of the tile array that was scored."""
    minimum: float
    maximum: float
    cells: CellGeometry
