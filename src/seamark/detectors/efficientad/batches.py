"""A tile in a training step of EfficientAD: as it is, in another light, with noise patches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamark.detectors.efficientad.discrepancy import TouchedCells, touched_cells
from seamark.files.images import UInt8Array
from seamark.learning.batches import Batch, TileReader
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.synthesis import SynthesisSettings
from seamark.synthesis.colour_jitter import jitter_colour
from seamark.synthesis.noise_patches import estimate_background, has_background, inject_noise_patches
from seamark.synthesis.textures import TextureSource, texture_source

GREY_SHARE = 0.3
"""Share of penalty images without colour."""
GREY = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in a grey value (ITU-R BT.601)."""


@dataclass(frozen=True)
class Views:
    """One tile as a training step sees it."""

    jittered: UInt8Array
    """(H, W, 3), its appearance changed."""
    patched: UInt8Array | None
    """(H, W, 3) with noise patches; None where there are none."""
    touched: TouchedCells | None
    """What the patches do to cells; None where there are none."""
    penalty: UInt8Array | None
    """(H, W, 3), an image that has nothing to do with the product; None without such a penalty."""


class ViewMaker:
    """Makes the views of training tiles.

    Raises
    ------
    DataError
        If the folder of penalty images holds no photograph.
    """

    def __init__(self, reader: TileReader, settings: EfficientAdSettings) -> None:
        self.reader, self.settings = reader, settings
        self.skips_background = (
            settings.penalty == "cdo" and settings.patches.skip_background and has_background(mean_tile(reader))
        )
        self.pictures: TextureSource | None = None
        if settings.penalty == "images":
            self.pictures = texture_source(SynthesisSettings(texture_folder=settings.penalty_folder))

    def __call__(self, batch: Batch, place: int) -> Views:
        """Make the views of one place of a batch; each has a generator of its own."""
        pixels = self.reader.pixels(batch.tiles[place])
        jittered = jitter_colour(
            pixels, self.settings.colour_jitter, self.settings.colour_jitter_strength, batch.random("appearance", place)
        )
        patched, touched = self.patched(pixels, batch.random("patches", place))
        penalty = self._penalty(pixels, batch.random("penalty", place)) if self.pictures else None
        return Views(jittered, patched, touched, penalty)

    def patched(
        self, pixels: UInt8Array, random: np.random.Generator
    ) -> tuple[UInt8Array, TouchedCells] | tuple[None, None]:
        """Return a tile with noise patches and what they do to its cells, or nothing where there are none."""
        if self.settings.penalty != "cdo":
            return None, None
        background = estimate_background(pixels) if self.skips_background else None
        twin = inject_noise_patches(pixels, background, self.settings.patches, random)
        if not twin.mask.any():
            return None, None
        return twin.pixels, touched_cells(twin.mask, self.settings.ring)

    def _penalty(self, pixels: UInt8Array, random: np.random.Generator) -> UInt8Array | None:
        """Return the middle of a picture of twice the tile's size, without colour three times in ten."""
        if self.pictures is None:
            return None
        height, width = pixels.shape[:2]
        picture = self.pictures((2 * height, 2 * width), random)
        picture = picture[height // 2 : height // 2 + height, width // 2 : width // 2 + width]
        if random.random() >= GREY_SHARE:
            return np.ascontiguousarray(picture)
        return np.repeat(np.rint(picture @ GREY)[:, :, np.newaxis].astype(np.uint8), 3, axis=2)


class ViewBatch(Batch):
    """The tiles of one training step with the views that ``make`` makes of each."""

    def __init__(self, make: ViewMaker, phase: str, step: int, tiles: Sequence[int]) -> None:
        super().__init__(make.reader, phase, step, tiles, None)
        self.make = make

    @cached_property
    def views(self) -> list[Views]:
        """One per place, made when first asked for."""
        return [self.make(self, place) for place in range(len(self))]

    def prepare(self) -> "ViewBatch":  # noqa: D102
        _ = self.views
        super().prepare()
        return self

    def jittered(self) -> Tensor:
        """Return the tiles in another light as network input (B, 3, H, W)."""
        return self.reader.images([views.jittered for views in self.views])

    def penalty(self) -> Tensor:
        """Return the penalty images as network input (B, 3, H, W)."""
        return self.reader.images([views.penalty for views in self.views if views.penalty is not None])

    def labels(self, shape: tuple[int, int]) -> Tensor:
        """Return the labels of all cells (B, h, w); those of tiles without patches are normal."""
        plain: NDArray[np.int64] = np.zeros(shape, dtype=np.int64)
        labels = [plain if views.touched is None else views.touched.labels for views in self.views]
        return torch.from_numpy(np.stack(labels)).to(self.reader.device)


def mean_tile(reader: TileReader) -> UInt8Array:
    """Return the mean of all tiles, rounded, uint8 (H, W, 3)."""
    total = np.zeros(reader.pixels(0).shape, dtype=np.int64)
    for tile in range(len(reader)):
        total += reader.pixels(tile)
    return np.rint(total / len(reader)).astype(np.uint8)
