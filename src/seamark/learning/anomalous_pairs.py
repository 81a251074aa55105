"""Pairs of a tile and its anomalous twin: batches of them for training, a fixed set of them for validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from seamark.errors import DataError
from seamark.files.images import BoolArray, UInt8Array
from seamark.learning.batches import Batch, TileReader, counted_random
from seamark.settings.anomalous_pairs import EarlyStopSettings, PairAugmentationSettings
from seamark.settings.synthesis import SynthesisSettings
from seamark.synthesis.anomalies import synthesise
from seamark.synthesis.foreground import ForegroundMasks
from seamark.synthesis.pair_augmentation import Camera, CameraPose, change_light
from seamark.synthesis.pyramids import cascaded_masks, quarter_mask
from seamark.synthesis.textures import texture_source

TRIES = 20
"""Anomalies that are drawn for one validation tile until one covers a cell."""


@dataclass(frozen=True)
class Pair:
    """A tile and its anomalous twin."""

    clean: UInt8Array
    """(H, W, 3)."""
    anomalous: UInt8Array
    """(H, W, 3)."""
    mask: BoolArray
    """(H, W), True where they differ by an anomaly; it may be empty."""


class PairMaker:
    """Makes pairs of the tiles of one split; both twins share the augmentation, if there is one.

    Raises
    ------
    DataError
        If the folder of textures holds no photograph.
    """

    def __init__(
        self, reader: TileReader, synthesis: SynthesisSettings, augmentation: PairAugmentationSettings | None = None
    ) -> None:
        self.reader, self.synthesis, self.augmentation = reader, synthesis, augmentation
        self.textures = texture_source(synthesis)
        self.foregrounds = ForegroundMasks(reader.pixels, synthesis.foreground)

    def __call__(self, tile: int, anomaly: np.random.Generator, augmentation: np.random.Generator) -> Pair:
        """Make a pair of a tile, with a generator for the anomaly and one for everything else.

        CameraPose and light come before the anomaly, noise and blur after it, all of them with the same draws for both
        twins (docs/methods/urd.md#shared-augmentation).
        """
        pixels, foreground = self.reader.pixels(tile), self.foregrounds(tile)
        if self.augmentation is None:
            return self._pair(pixels, foreground, anomaly)
        placement = CameraPose.drawn(self.augmentation, augmentation)
        pixels = change_light(placement.pixels(pixels), self.augmentation, augmentation)
        pair = self._pair(pixels, None if foreground is None else placement.mask(foreground), anomaly)
        camera = Camera.drawn(pixels.shape, self.augmentation, augmentation)
        return Pair(camera.pixels(pair.clean), camera.pixels(pair.anomalous), pair.mask)

    def _pair(self, pixels: UInt8Array, foreground: BoolArray | None, random: np.random.Generator) -> Pair:
        twin = synthesise(pixels, foreground, self.textures, self.synthesis, random)
        return Pair(pixels, twin.pixels, twin.mask)


class PairBatch(Batch):
    """The pairs of one training step, of which ``make`` makes one per tile."""

    def __init__(self, make: PairMaker, phase: str, step: int, tiles: Sequence[int]) -> None:
        super().__init__(make.reader, phase, step, tiles, None)
        self.make = make

    @cached_property
    def pairs(self) -> list[Pair]:
        """One pair per place, made when first asked for."""
        return [
            self.make(tile, self.random("anomaly", place), self.random("augment", place))
            for place, tile in enumerate(self.tiles)
        ]

    def prepare(self) -> "PairBatch":  # noqa: D102
        _ = self.pairs
        return self

    def clean(self) -> Tensor:
        """Return the clean twins as network input, float32 (B, 3, H, W)."""
        return self.reader.images([pair.clean for pair in self.pairs])

    def anomalous(self) -> Tensor:
        """Return the anomalous twins as network input, float32 (B, 3, H, W)."""
        return self.reader.images([pair.anomalous for pair in self.pairs])

    def level_masks(self, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Return the masks on the grids of features, float32 (B, H_l, W_l) of 0 and 1 each, fine to coarse."""
        levels = zip(*(cascaded_masks(pair.mask, shapes) for pair in self.pairs), strict=True)
        return [self._on_device(np.stack(level)) for level in levels]

    def quarter_masks(self) -> Tensor:
        """Return the targets of a segmentation, float32 (B, H / 4, W / 4) of 0 and 1."""
        return self._on_device(np.stack([quarter_mask(pair.mask) for pair in self.pairs]))

    def _on_device(self, masks: BoolArray) -> Tensor:
        return torch.from_numpy(masks).to(self.reader.device, torch.float32)


class SyntheticValidation:
    """Synthetic anomalies on validation tiles, the same ones at every call; ``make`` must not augment."""

    def __init__(self, make: PairMaker, settings: EarlyStopSettings) -> None:
        self.make, self.copies = make, settings.anomalies_per_tile
        available = len(make.reader)
        count = min(available, settings.max_tiles or available)
        self.tiles = [place * available // count for place in range(count)]

    def __iter__(self) -> Iterator[tuple[Tensor, BoolArray]]:
        """Yield network inputs (1, 3, H, W) and which of their cells (H / 4, W / 4) are anomalous.

        Raises
        ------
        DataError
            If a tile takes no anomaly.
        """
        for tile in self.tiles:
            for copy in range(self.copies):
                pair = self._pair(tile, copy)
                yield self.make.reader.images([pair.anomalous]), quarter_mask(pair.mask)

    def _pair(self, tile: int, copy: int) -> Pair:
        for attempt in range(TRIES):
            words = ("synthetic validation", tile, copy, attempt)
            pair = self.make(
                tile,
                counted_random(self.make.reader.seed, "anomaly", *words),
                counted_random(self.make.reader.seed, "augment", *words),
            )
            if quarter_mask(pair.mask).any():
                return pair
        raise DataError(
            f"validation tile {tile}: {TRIES} synthetic anomalies in a row covered no cell; raise "
            "synthesis.probability, choose another synthesis.foreground, or set early_stop: null"
        )
