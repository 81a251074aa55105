"""Batches of training tiles: what a step sees depends on seed, phase and step alone."""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from seamark.errors import DataError
from seamark.files.images import UInt8Array
from seamark.settings.augmentation import AugmentationSettings
from seamark.synthesis.photometric import augment
from seamark.tiles.geometry import Box

Item = TypeVar("Item")
Made = TypeVar("Made")
Key = tuple[int, int]
"""Tile and version of it; version 0 is the tile itself."""


def counted_random(seed: int, *words: str | int) -> np.random.Generator:
    """Return a generator that depends on a seed and on what it is for, and on nothing that was drawn before.

    Words are purpose and position, e.g. phase, step and place in the batch; generators of other words are independent.
    """
    return np.random.default_rng(
        [seed, *(zlib.crc32(word.encode()) if isinstance(word, str) else word for word in words)]
    )


class TileReader:
    """Tiles as pixels and as network input.

    Parameters
    ----------
    tiles : ndarray of uint8, shape (T, H, W, C)
        Tiles, C = 1 or 3, each read when it is wanted.
    normalise : callable
        Turns (B, H, W, 3) uint8 into the network's input (B, 3, H, W) float32.
    device : str
        Where the input shall be.
    seed : int
        Seed of the training.
    left_out : range
        Tiles that are not read; those behind them move up.
    own : sequence of Box
        Which part of each of the T tiles is no other's, in its own px; empty for tiles that have nothing in common.

    Raises
    ------
    DataError
        If there is no tile or the array is of another form.
    """

    def __init__(
        self,
        tiles: UInt8Array,
        normalise: Callable[[Tensor], Tensor],
        device: str,
        seed: int,
        left_out: range = range(0),
        *,
        own: Sequence[Box] = (),
    ) -> None:
        if tiles.ndim != 4 or tiles.dtype != np.uint8 or tiles.shape[3] not in (1, 3) or len(tiles) <= len(left_out):
            raise DataError(
                f"tiles: expected uint8 (T > {len(left_out)}, H, W, 1 or 3), found {tiles.dtype} {tiles.shape}; "
                "crop them again"
            )
        self.tiles, self.normalise, self.device, self.seed = tiles, normalise, torch.device(device), seed
        self.left_out, self._own = left_out, own

    def __len__(self) -> int:
        return len(self.tiles) - len(self.left_out)

    def pixels(self, tile: int) -> UInt8Array:
        """Return one tile with three channels, uint8 (H, W, 3)."""
        pixels = np.array(self.tiles[self._place(tile)])
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels

    def own(self, tile: int) -> Box:
        """Return which part of a tile is no other's, in its px."""
        return self._own[self._place(tile)] if self._own else (0, 0, self.tiles.shape[2], self.tiles.shape[1])

    def _place(self, tile: int) -> int:
        return tile if tile < self.left_out.start else tile + len(self.left_out)

    def images(self, pixels: Sequence[UInt8Array]) -> Tensor:
        """Return normalised float32 (B, 3, H, W) of B tiles given as uint8 (H, W, 3)."""
        return self.uploaded(self.stacked(pixels))

    def stacked(self, pixels: Sequence[UInt8Array]) -> Tensor:
        """Return uint8 (B, H, W, 3) of B tiles, in memory from which a GPU copies while it computes."""
        stacked = torch.from_numpy(np.stack(pixels))
        return stacked.pin_memory() if self.device.type == "cuda" else stacked

    def uploaded(self, stacked: Tensor) -> Tensor:
        """Return normalised float32 (B, 3, H, W) of what :meth:`stacked` gave, on the device."""
        return self.normalise(stacked.to(self.device, non_blocking=True))


@dataclass(frozen=True)
class TrainingTiles:
    """The defect-free tiles that a training may see."""

    train: TileReader
    validation: TileReader


class Batch:
    """The tiles of one training step, read and augmented when they are asked for.

    Parameters
    ----------
    reader : TileReader
        Where the tiles come from.
    phase : str
        Name of the phase.
    step : int
        Step within the phase, from 0.
    tiles : sequence of int
        Which tiles.
    augmentation : AugmentationSettings or None
        How they are augmented; None for not at all.
    """

    def __init__(
        self, reader: TileReader, phase: str, step: int, tiles: Sequence[int], augmentation: AugmentationSettings | None
    ) -> None:
        self.reader, self.phase, self.step, self.tiles = reader, phase, step, tuple(tiles)
        self.augmentation = augmentation
        self._fresh: dict[int, UInt8Array | None] = {}
        self._ready: dict[int, UInt8Array] = {}

    def __len__(self) -> int:
        return len(self.tiles)

    def random(self, *words: str | int) -> np.random.Generator:
        """Return a generator for this step and a purpose."""
        return counted_random(self.reader.seed, self.phase, self.step, *words)

    def key(self, place: int) -> Key | None:
        """Return the tile and version at a place, or None for an augmentation that never comes again."""
        tile = self.tiles[place]
        if self.augmentation is None:
            return tile, 0
        if self.augmentation.frozen_variants is not None:
            return tile, int(self.random("version", place).integers(self.augmentation.frozen_variants + 1))
        return (tile, 0) if self._drawn(place, self.augmentation) is None else None

    def pixels(self, place: int) -> UInt8Array:
        """Return the augmented tile at a place, uint8 (H, W, 3)."""
        if place in self._ready:
            return self._ready[place]
        key, fresh = self.key(place), self._fresh.get(place)
        if fresh is not None:
            return fresh
        tile, version = key or (self.tiles[place], 0)
        pixels = self.reader.pixels(tile)
        if version == 0 or self.augmentation is None:
            return pixels
        return augment(pixels, self.augmentation, counted_random(self.reader.seed, "version", tile, version))

    def prepare(self) -> "Batch":
        """Read and augment all tiles now, for use ahead of time in another thread."""
        self._ready = {place: self.pixels(place) for place in range(len(self))}
        return self

    def _drawn(self, place: int, augmentation: AugmentationSettings) -> UInt8Array | None:
        """Augmented pixels, or None where the tile stays as it is."""
        if place not in self._fresh:
            plain = self.reader.pixels(self.tiles[place])
            pixels = augment(plain, augmentation, self.random("augment", place))
            self._fresh[place] = None if pixels is plain else pixels
        return self._fresh[place]

    def images(self, places: Sequence[int] | None = None) -> Tensor:
        """Return the network input of the whole batch or of some places.

        Parameters
        ----------
        places : sequence of int, optional
            Which; None for all.

        Returns
        -------
        Tensor of float32, shape (B, 3, H, W)
            Normalised, on the device of the training.
        """
        return self.reader.images([self.pixels(place) for place in (range(len(self)) if places is None else places)])


def steps_per_epoch(tiles: int, batch_size: int) -> int:
    """Return how many full batches the tiles give; with fewer tiles than a batch, one smaller batch."""
    return max(1, tiles // batch_size)


def step_count(epochs: int, most: int | None, batch_size: int, tiles: int) -> int:
    """Return how many steps some epochs over the training tiles have, at most so many."""
    steps = epochs * steps_per_epoch(tiles, batch_size)
    return min(steps, most or steps)


def batch_tiles(seed: int, phase: str, step: int, tiles: int, batch_size: int) -> list[int]:
    """Return which tiles a step of a phase, counted from 0, sees: ``min(batch_size, tiles)`` different ones.

    Every epoch is a new shuffle; its last incomplete batch is dropped.
    """
    epoch, place = divmod(step, steps_per_epoch(tiles, batch_size))
    order = counted_random(seed, phase, "order", epoch).permutation(tiles)
    return [int(tile) for tile in order[place * batch_size : (place + 1) * batch_size]]


def ahead(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """Make something of each item, in order, with a few made ahead in threads.

    The same for any number of workers; with 0, each is made only when it is asked for.
    """
    if workers < 1:
        yield from map(make, items)
        return
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def batches_ahead(make: Callable[[int], Batch], steps: range, workers: int) -> Iterator[Batch]:
    """Yield the batches of some steps in order, with a few prepared ahead in threads.

    The same for any number of workers; with 0, each tile is read only when it is asked for, which suits a training
    whose features are cached.
    """
    return ahead((lambda step: make(step).prepare()) if workers > 0 else make, steps, workers)


class FeatureCache:
    """Frozen features of the tiles of a batch, kept in memory as far as they fit and as they can come again.

    Parameters
    ----------
    compute : callable
        Turns network input (B, 3, H, W) into features (B, ...), each row independent of the others.
    limit_mb : int
        Memory for features in MB; 0 keeps none. The features do not depend on it.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], limit_mb: int) -> None:
        self.compute, self.room = compute, limit_mb * 1_000_000
        self.kept: dict[Key | None, Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return the features (B, ...) of a batch."""
        keys = [batch.key(place) for place in range(len(batch))]
        missing = [place for place, key in enumerate(keys) if key not in self.kept]
        fresh = dict(zip(missing, self._computed(batch, missing), strict=True))
        for place, features in fresh.items():
            self._keep(keys[place], features)
        return torch.stack([self.kept[key] if key in self.kept else fresh[place] for place, key in enumerate(keys)])

    def _computed(self, batch: Batch, places: list[int]) -> list[Tensor]:
        """Compute tile by tile on the CPU, where the bits of a row may depend on the size of a batch."""
        if not places:
            return []
        if batch.reader.device.type == "cpu":
            return [self.compute(batch.images([place]))[0] for place in places]
        return list(self.compute(batch.images(places)))

    def _keep(self, key: Key | None, features: Tensor) -> None:
        size = features.numel() * features.element_size()
        if key is not None and size <= self.room:
            self.kept[key] = features.clone()
            self.room -= size
