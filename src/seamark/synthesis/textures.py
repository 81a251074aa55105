"""Textures that are blended into tiles: photographs of a folder, or drawn ones."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from seamark.errors import DataError
from seamark.files.images import UInt8Array, read_image
from seamark.settings.synthesis import SynthesisSettings
from seamark.synthesis.drawn_textures import draw_texture

SUFFIXES = {".jpg", ".jpeg", ".png"}

TextureSource = Callable[[tuple[int, int], np.random.Generator], UInt8Array]
"""Gives a texture, uint8 (H, W, 3), of a height and width from a generator; any thread may ask."""


class FolderTextures:
    """Photographs (jpg, jpeg, png) of a folder and its subfolders, such as those of the Describable Textures Dataset.

    Shrunk photographs take up to ``cache_mb`` MB of memory. Raises DataError if there is no photograph.
    """

    def __init__(self, folder: Path, cache_mb: int) -> None:
        files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        self.files = sorted(files, key=lambda path: path.relative_to(folder).as_posix())
        if not self.files:
            raise DataError(
                f"{folder}: no photographs of textures (jpg, jpeg, png); unpack the Describable Textures Dataset there "
                "or set texture_folder: null for drawn textures"
            )
        self._room = cache_mb * 1_000_000
        self._kept: dict[tuple[int, tuple[int, int]], UInt8Array] = {}
        self._lock = Lock()

    def __call__(self, shape: tuple[int, int], random: np.random.Generator) -> UInt8Array:
        """Return a photograph, each as likely as any other, shrunk to a height and width whatever its own are."""
        number = int(random.integers(len(self.files)))
        kept = self._kept.get((number, shape))
        return self._read(number, shape) if kept is None else kept

    def _read(self, number: int, shape: tuple[int, int]) -> UInt8Array:
        pixels = read_image(self.files[number])
        picture = Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
        texture = np.array(picture.resize(shape[::-1], Image.Resampling.BILINEAR))
        with self._lock:
            if texture.nbytes <= self._room and (number, shape) not in self._kept:
                self._kept[number, shape] = texture
                self._room -= texture.nbytes
        return texture


def texture_source(settings: SynthesisSettings) -> TextureSource:
    """Return the source of textures that the settings name: a folder of photographs, or drawn ones."""
    if settings.texture_folder is None:
        return draw_texture
    return FolderTextures(Path(settings.texture_folder), settings.texture_cache_mb)
