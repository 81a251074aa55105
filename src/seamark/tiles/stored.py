"""Opening the tiles that a manifest describes."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from seamark.errors import ManifestError
from seamark.files.arrays import open_array
from seamark.files.images import UInt8Array
from seamark.manifests.tiles import TilesManifest
from seamark.repair import repair_command


@dataclass(frozen=True)
class StoredTiles:
    """Tiles on disk under the attributes of the array that they are, uint8 (T, h, w, C).

    Each is read when it is asked for. A memory map would count every tile that was looked at as memory of the job,
    which the tiles of a line-scan web or of many photographs exceed.
    """

    path: Path
    start: int
    """Where the values begin in the file."""
    shape: tuple[int, int, int, int]
    remedy: str
    """What to do about a file that is not what it was."""
    ndim: ClassVar[int] = 4
    dtype: ClassVar[np.dtype[np.uint8]] = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, tile: int) -> UInt8Array:
        """Read one tile, uint8 (h, w, C), counted from 0; raises ManifestError if the file has become shorter."""
        values = math.prod(self.shape[1:])
        pixels = np.fromfile(self.path, np.uint8, values, offset=self.start + range(len(self))[tile] * values)
        if len(pixels) < values:
            raise ManifestError(f"{self.path}: tile {tile} is not there any more, the file was cut off; {self.remedy}")
        return pixels.reshape(self.shape[1:])


def open_tiles(path: Path, manifest: TilesManifest) -> UInt8Array:
    """Open a tile array, uint8 (T, h, w, C), whose tiles are read one by one, see :class:`StoredTiles`.

    Raises ManifestError if the file is missing, damaged, or has another shape or dtype than promised.
    """
    remedy = f"cut the tiles again with: {repair_command(path)}"
    array = open_array(path, np.uint8, (None, *manifest.shape[1:]), "tiles", remedy)
    shape = (len(array), *manifest.shape[1:])
    return cast("UInt8Array", StoredTiles(path, array.offset, shape, remedy))
