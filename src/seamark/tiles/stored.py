"""Opening the tiles that a manifest describes."""

from pathlib import Path

import numpy as np

from seamark.files.arrays import open_array
from seamark.files.images import UInt8Array
from seamark.manifests.tiles import TilesManifest
from seamark.repair import repair_command


def open_tiles(path: Path, manifest: TilesManifest) -> UInt8Array:
    """Open a tile array, uint8 (T, h, w, C), as a read-only memory map.

    Raises ManifestError if the file is missing, damaged, or has another shape or dtype than promised.
    """
    remedy = f"cut the tiles again with: {repair_command(path)}"
    return open_array(path, np.uint8, (None, *manifest.shape[1:]), "tiles", remedy)
