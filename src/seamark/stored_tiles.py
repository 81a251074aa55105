"""Opening the tiles that a manifest describes."""

from pathlib import Path

import numpy as np

from seamark.errors import ManifestError
from seamark.images import UInt8Array
from seamark.manifests.tiles import TilesManifest
from seamark.repair import repair_command


def open_tiles(path: Path, manifest: TilesManifest) -> UInt8Array:
    """Open a tile array as a read-only memory map.

    Parameters
    ----------
    path : Path
        The .npy file.
    manifest : TilesManifest
        Its manifest.

    Returns
    -------
    ndarray of uint8, shape (T, h, w, C)
        Tiles, values 0..255.

    Raises
    ------
    ManifestError
        If the file is missing, damaged, or has another shape or dtype than promised.
    """
    remedy = f"cut the tiles again with: {repair_command(path)}"
    try:
        tiles = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ManifestError(f"{path}: cannot read the tiles ({error}); {remedy}") from error
    if tiles.dtype != np.uint8 or tiles.shape[1:] != manifest.shape[1:]:
        raise ManifestError(
            f"{path}: expected uint8 tiles of shape {manifest.shape[1:]}, found {tiles.dtype} {tiles.shape}; {remedy}"
        )
    checked: UInt8Array = tiles
    return checked
