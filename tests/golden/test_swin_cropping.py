"""Swin-Cropping and merging against the numbers of the RoBiS specification, section H.1 (C-1 to C-5, M-1 to M-3)."""

import numpy as np
import pytest

from seamark.errors import ConfigError
from seamark.geometry import tile_boxes, tile_starts, tile_stride
from seamark.manifests.tilemaps import CellGeometry
from seamark.merging import merge_tiles
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.tiles import cut_tiles

PIXEL_CELLS = CellGeometry(stride_px=(1.0, 1.0), offset_px=(0.5, 0.5))
PLAIN = MergeSettings(scale=1.0, blend="mean", smooth_sigma_px=0.0)

# category: width, height, columns, rows, last valid width and height, train images, private images
OFFICIAL = {
    "can": (2232, 1024, 3, 1, 390, 1024, 412, 321),
    "fabric": (2448, 2048, 3, 3, 606, 206, 387, 314),
    "fruit_jelly": (2100, 1520, 3, 2, 258, 599, 263, 255),
    "rice": (2448, 2048, 3, 3, 606, 206, 313, 277),
    "sheet_metal": (4224, 1056, 5, 2, 540, 135, 137, 142),
    "vial": (1400, 1900, 2, 2, 479, 979, 291, 276),
    "wallplugs": (2448, 2048, 3, 3, 606, 206, 293, 232),
    "walnuts": (2448, 2048, 3, 3, 606, 206, 432, 228),
}


@pytest.mark.parametrize(
    ("length", "tiles"),
    [(103, 1), (1, 1), (104, 1), (1024, 1), (1025, 2), (1945, 2), (1946, 3), (2866, 3), (2867, 4)],
)
def test_c1_number_of_tiles(length, tiles):
    assert len(tile_starts(length, 1024, 0.1, "padded")) == tiles
    assert len(tile_starts(length, 1024, 0.1, "even")) == tiles


@pytest.mark.parametrize("category", OFFICIAL)
def test_c2_official_sizes(category):
    width, height, columns, rows, last_width, last_height, _, _ = OFFICIAL[category]
    boxes = tile_boxes(width, height, GridSettings())
    assert boxes == [
        (921 * column, 921 * row, 921 * column + 1024, 921 * row + 1024)
        for row in range(rows)
        for column in range(columns)
    ]
    assert (width - boxes[-1][0], height - boxes[-1][1]) == (last_width, last_height)


def test_c2_totals():
    tiles = {name: len(tile_boxes(width, height, GridSettings())) for name, (width, height, *_) in OFFICIAL.items()}
    assert sum(tiles[name] * row[6] for name, row in OFFICIAL.items()) == 18_173
    assert sum(tiles[name] * row[7] for name, row in OFFICIAL.items()) == 14_476


def test_c3_every_pixel_is_covered_once_or_twice_per_axis():
    for length in (*range(104, 6000, 7), 1024, 1025, 1945, 1946):
        starts = tile_starts(length, 1024, 0.1, "padded")
        covered = np.zeros(length, np.int64)
        for start in starts:
            covered[start : start + 1024] += 1
        assert covered.min() == 1
        assert covered.max() <= 2
        assert len(starts) == 1 or 104 <= length - starts[-1] <= 1024


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["padded", "even"])
def test_c4_tiles_written_back_reproduce_the_image(layout, channels):
    image = np.random.default_rng(1).integers(1, 256, (205, 245, channels), dtype=np.uint8)
    boxes = tile_boxes(245, 205, GridSettings(layout=layout, window_px=102, input_px=102))
    canvas = np.zeros((400, 400, channels), np.uint8)
    for tile, (x0, y0, x1, y1) in zip(cut_tiles(image, boxes, (102, 102)), boxes, strict=True):
        canvas[y0:y1, x0:x1] = tile
        assert not tile[max(0, 205 - y0) :].any()
        assert not tile[:, max(0, 245 - x0) :].any()
    assert np.array_equal(canvas[:205, :245], image)


def test_c5_strides_truncate_and_a_stride_of_zero_is_refused():
    assert tile_stride(1024, 0.1) == 921
    assert tile_stride(256, 0.1) == 230
    with pytest.raises(ConfigError, match="stride of 0 px"):
        tile_stride(10, 0.9)
    with pytest.raises(ValueError, match="stride of 0 px"):
        GridSettings(window_px=10, overlap=0.9)


def merged_constants(values, width, height):
    boxes = tile_boxes(width, height, GridSettings(window_px=4, overlap=0.25, input_px=4))
    tiles = np.repeat(np.array(values, np.float32), 16).reshape(-1, 4, 4)
    return merge_tiles(tiles, boxes, PIXEL_CELLS, (4, 4), image_shape=(height, width), settings=PLAIN)


def test_m1_overlapping_tiles_are_averaged():
    assert np.array_equal(merged_constants([1, 3], 7, 4), np.tile(np.float32([1, 1, 1, 2, 3, 3, 3]), (4, 1)))
    square = merged_constants([1, 2, 3, 4], 7, 7)
    assert np.array_equal(square[0], np.float32([1, 1, 1, 1.5, 2, 2, 2]))
    assert np.array_equal(square[3], np.float32([2, 2, 2, 2.5, 3, 3, 3]))
    assert np.array_equal(square[6], np.float32([3, 3, 3, 3.5, 4, 4, 4]))
    assert np.array_equal(merged_constants([1, 3], 6, 4), np.tile(np.float32([1, 1, 1, 2, 3, 3]), (4, 1)))


@pytest.mark.parametrize("blend", ["mean", "hann"])
def test_m2_tiles_of_a_known_map_give_it_back_in_any_order(blend):
    known = np.random.default_rng(2).random((41, 57), dtype=np.float32)
    boxes = tile_boxes(57, 41, GridSettings(window_px=16, overlap=0.1, input_px=16))
    padded = np.pad(known, ((0, 16), (0, 16)))
    tiles = np.stack([padded[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes])
    settings = PLAIN.model_copy(update={"blend": blend})
    merged = merge_tiles(tiles, boxes, PIXEL_CELLS, (16, 16), image_shape=(41, 57), settings=settings)
    assert np.abs(merged - known).max() < 1e-6
    order = np.random.default_rng(3).permutation(len(boxes))
    shuffled = [boxes[tile] for tile in order]
    again = merge_tiles(tiles[order], shuffled, PIXEL_CELLS, (16, 16), image_shape=(41, 57), settings=settings)
    assert np.abs(again - merged).max() < 1e-6


@pytest.mark.parametrize("category", OFFICIAL)
def test_m2_all_maps_of_a_category_have_quarter_size(category):
    width, height, columns, rows, *_ = OFFICIAL[category]
    merged = merge_tiles(
        np.zeros((rows * columns, 37, 37), np.float32),
        tile_boxes(width, height, GridSettings()),
        CellGeometry(stride_px=(14.0, 14.0), offset_px=(7.0, 7.0)),
        (518, 518),
        image_shape=(height, width),
        settings=MergeSettings(scale=0.25),
    )
    assert merged.shape == (height // 4, width // 4)
    assert merged.dtype == np.float32


def test_m3_four_overlapping_values_average_exactly():
    assert (merged_constants([255, 255, 255, 255], 7, 7) == 255.0).all()
