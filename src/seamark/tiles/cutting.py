"""Cutting images into tiles: one decode per image, one memory-mappable array per split."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from seamark.data.photographs import read_indexed
from seamark.files.atomic import atomic_write, file_digest, reserve
from seamark.files.images import UInt8Array
from seamark.files.parallel import MapItems
from seamark.manifests.tiles import TiledImage, TilesManifest
from seamark.settings.base import Split
from seamark.settings.grid import GridSettings
from seamark.tiles.cells import cell_starts, shrunken_side
from seamark.tiles.geometry import Box
from seamark.tiles.light_variants import variant_id
from seamark.tiles.plan import PlannedImage, TilePlan

LightVariant = Callable[[UInt8Array, str, int], UInt8Array]
"""Makes a variant of a photograph from its pixels, id and number."""


def as_it_is(photograph: UInt8Array, _image_id: str, _version: int) -> UInt8Array:
    """Return a photograph as it is."""
    return photograph


def cut_tiles(
    image: UInt8Array,
    boxes: Sequence[Box],
    input_shape: tuple[int, int],
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> UInt8Array:
    """Cut windows, in image px, out of an image, uint8 (H, W, C), and resize them to the model's input.

    What lies beyond the image becomes 0. Tiles, uint8 (n, h, w, C), are resized with an antialiased filter of Pillow's
    after padding (docs/methods/robis.md#swin-cropping and docs/methods/robis.md#augmentation); a window of the
    size of the input is copied unchanged.
    """
    height, width = input_shape
    tiles = np.empty((len(boxes), height, width, image.shape[2]), np.uint8)
    for tile, box in zip(tiles, boxes, strict=True):
        window = _window(image, box)
        if window.shape != tile.shape:
            picture = Image.fromarray(window[:, :, 0] if window.shape[2] == 1 else window)
            window = np.asarray(picture.resize((width, height), resampling)).reshape(tile.shape)
        tile[...] = window
    return tiles


def _window(image: UInt8Array, box: Box) -> UInt8Array:
    x0, y0, x1, y1 = box
    inside = image[y0:y1, x0:x1]
    beyond = y1 - y0 - inside.shape[0], x1 - x0 - inside.shape[1]
    return np.pad(inside, ((0, beyond[0]), (0, beyond[1]), (0, 0))) if any(beyond) else inside


def cut_cells(image: UInt8Array, grid: GridSettings) -> UInt8Array:
    """Shrink an image, uint8 (H, W, C), as a whole and cut tiles of the layout cells, uint8 (n, h, w, C), rows outer.

    Pillow's antialiased bicubic filter, rounded to 8 bits; docs/methods/superadd.md#preprocessing says what differs.
    """
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    size = shrunken_side(picture.width, grid), shrunken_side(picture.height, grid)
    small = np.asarray(picture.resize(size, Image.Resampling.BICUBIC)).reshape(size[1], size[0], image.shape[2])
    side = grid.input_shape[0]
    corners = product(*([start * grid.cell_px for start in cell_starts(length, grid)] for length in image.shape[:2]))
    return np.stack([small[y : y + side, x : x + side] for y, x in corners])


def cut_photograph(photograph: UInt8Array, boxes: Sequence[Box], grid: GridSettings) -> UInt8Array:
    """Cut a photograph, uint8 (H, W, C), into the tiles of a grid, uint8 (n, h, w, C), whose windows are given."""
    if grid.layout == "cells":
        return cut_cells(photograph, grid)
    return cut_tiles(photograph, boxes, grid.input_shape, Image.Resampling[grid.resampling.upper()])


def _start_array(path: Path, shape: tuple[int, ...]) -> int:
    """Write the header of a uint8 .npy file; return where its values start."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        return stream.tell()


def write_tiles(
    path: Path,
    plan: TilePlan,
    root: Path,
    map_images: MapItems,
    light_variants: LightVariant = as_it_is,
    *,
    index: Path | None = None,
) -> None:
    """Cut all images of a plan, and their variants, and write the tile array, complete or not at all.

    Every image is decoded once and its tiles are written to their own part of the file, so memory holds one image per
    worker, and the file does not depend on the order of the work. Plain writes are used rather than a writable memory
    map because a full disk then raises an error instead of killing the process.

    Parameters
    ----------
    path, plan : Path, TilePlan
        Target, a .npy file of uint8 (T, h, w, C), and what to write.
    root, index : Path
        Data root, and the manifest of the index, for messages.
    map_images : MapItems
        Runs the work, for example :meth:`seamark.running.job.Job.map`.
    light_variants : callable
        Takes pixels, id and number of a variant and returns the variant.

    Raises
    ------
    DataError
        If an image is not readable or not the one that was indexed.
    """
    tile_size = math.prod(plan.shape[1:])
    with atomic_write(path) as draft:
        values_start = _start_array(draft, plan.shape)
        reserve(draft, values_start + math.prod(plan.shape))

        def cut(image: PlannedImage) -> None:
            photograph = read_indexed(image.record, root, index)
            with draft.open("r+b") as stream:
                stream.seek(values_start + image.first_tile * tile_size)
                for version in image.versions:
                    variant = light_variants(photograph, image.id, version)
                    stream.write(cut_photograph(variant, image.boxes, plan.grid).data)

        map_images(cut, plan.images, "images cut")


def tiles_manifest(plan: TilePlan, category: str, path: Path, split: Split | None = None) -> TilesManifest:
    """Describe a tile array that :func:`write_tiles` wrote; the manifest belongs into the same folder.

    ``split`` is what the images are called together, that of the index without it.
    """
    images = tuple(
        TiledImage(
            id=variant_id(image.id, version),
            width=image.record.width,
            height=image.record.height,
            sha256=image.record.sha256,
            boxes_xyxy=image.boxes,
        )
        for image in plan.images
        for version in image.versions
    )
    return TilesManifest(
        category=category,
        split=split or plan.images[0].record.split,
        grid=plan.grid,
        file=path.name,
        shape=plan.shape,
        sha256=file_digest(path),
        images=images,
    )
