"""Laying out the tile array of a split before any pixel is read, and refusing what cannot work."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.errors import ConfigError, DataError
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.settings.crossfit import CROSSFIT_TRAIN
from seamark.settings.grid import GridSettings
from seamark.tiles.geometry import Box, tile_boxes, tile_bytes, tile_count, working_bytes


@dataclass(frozen=True)
class PlannedImage:
    """An image and where its tiles go."""

    record: ImageRecord
    boxes: tuple[Box, ...]
    """Windows in image px."""
    first_tile: int
    """Index of its first tile in the tile array."""
    versions: tuple[int, ...] = (0,)
    """Its variants by number, 0 for itself; their tiles follow each other."""

    @property
    def id(self) -> str:
        """The image id, for messages."""
        return self.record.id


@dataclass(frozen=True)
class TilePlan:
    """What the tile array of one category and split will hold."""

    grid: GridSettings
    images: tuple[PlannedImage, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Tiles, height, width and channels of the array."""
        tiles = sum(len(image.boxes) * len(image.versions) for image in self.images)
        return tiles, *self.grid.input_shape, self.images[0].record.channels


def images_of(index: IndexManifest, root: Path) -> tuple[ImageRecord, ...]:
    """Return the images of a split, sorted by id; raises DataError if there is none."""
    if index.images:
        return index.images
    split = index.split
    needed = split in ("train", "validation")
    remedy = "add defect-free images" if needed else f"add images, or take {split} out of data.splits"
    raise DataError(
        f"{root / index.category}: no image of split {split} in the index; expected at least one image below "
        f"{root / index.category / split}; {remedy}, then rerun index"
    )


def seen_of(images: tuple[ImageRecord, ...], split: str, holdout_every: int | None) -> tuple[ImageRecord, ...]:
    """Return the training photographs that ``train`` or ``train_crossfit`` has, of the images of a split in order.

    Every ``holdout_every``-th one, from the first, is of the latter, all others of the former; None leaves each all.

    >>> "".join(seen_of(tuple("abcde"), "train_crossfit", 2)), "".join(seen_of(tuple("abcde"), "train", 2))
    ('ace', 'bd')
    """
    if holdout_every is None:
        return images
    held_out = split == CROSSFIT_TRAIN
    return tuple(image for place, image in enumerate(images) if (place % holdout_every == 0) == held_out)


def _check_disk(records: Sequence[ImageRecord], grid: GridSettings, folder: Path, versions: int) -> None:
    tiles = versions * sum(tile_count(record.width, record.height, grid) for record in records)
    needed = tile_bytes(tiles, grid.input_shape, records[0].channels)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: {tiles} tiles of {len(records)} images need {needed} bytes, but only {free} bytes are free; "
            "free some space, or use a larger window_px, a smaller overlap or a smaller input_px"
        )


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_memory(records: Sequence[ImageRecord], grid: GridSettings, workers: int) -> None:
    needed = workers * max(working_bytes(record.width, record.height, grid) for record in records)
    if needed > _memory_bytes():
        raise ConfigError(
            f"window_px {grid.window_px}: cutting with {workers} worker(s) needs {needed} bytes of memory, "
            f"this machine has {_memory_bytes()}; use a smaller window_px or fewer cores"
        )


def plan_tiles(
    records: Sequence[ImageRecord], grid: GridSettings, folder: Path, workers: int, versions: tuple[int, ...] = (0,)
) -> TilePlan:
    """Lay out the tile array of a split before any pixel is read.

    Parameters
    ----------
    records : sequence of ImageRecord
        Images of one category and split; their sizes may differ. Tiles come in this order.
    grid : GridSettings
        The tiling.
    folder : Path
        Where the tile array will be written; made when it is missing.
    workers : int
        Images that are cut at the same time.
    versions : tuple of int
        Variants of each image by number, 0 for itself.

    Raises
    ------
    DataError
        If grey and RGB images are mixed, or the tile array does not fit on the disk.
    ConfigError
        If the grid is impossible or cutting takes more memory than the machine has.
    """
    _check_memory(records, grid, workers)
    _check_disk(records, grid, folder, len(versions))
    planned: list[PlannedImage] = []
    first_tile = 0
    for record in records:
        boxes = tuple(tile_boxes(record.width, record.height, grid))
        planned.append(PlannedImage(record, boxes, first_tile, versions))
        first_tile += len(boxes) * len(versions)
    return TilePlan(grid, tuple(planned))
