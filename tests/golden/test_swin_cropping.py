"""Swin-Cropping and merging against docs/methods/robis.md#checks (C-1 to C-6, M-1 to M-3)."""

import numpy as np
import pytest
from PIL import Image

from seamark.data.index import index_split
from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import ConfigError
from seamark.files.images import read_map
from seamark.learning.batches import steps_per_epoch
from seamark.manifests.tilemaps import CellGeometry, TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.maps.merging import merge_image, merge_tiles
from seamark.maps.stored import save_map
from seamark.maps.tile_maps import scored_images
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.tiles.cutting import cut_tiles, tiles_manifest, write_tiles
from seamark.tiles.geometry import tile_boxes, tile_count, tile_starts, tile_stride
from seamark.tiles.plan import images_of, plan_tiles

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


# category: share of tile pixels that is padding in %, and tile pixels per image pixel
PADDING = {
    "can": (20.6, 1.38),
    "fabric": (36.6, 1.88),
    "fruit_jelly": (40.5, 1.97),
    "rice": (36.6, 1.88),
    "sheet_metal": (48.8, 2.35),
    "vial": (28.2, 1.58),
    "wallplugs": (36.6, 1.88),
    "walnuts": (36.6, 1.88),
}


@pytest.mark.parametrize("category", OFFICIAL)
def test_c2_padding(category):
    width, height, *_ = OFFICIAL[category]
    share, ratio = PADDING[category]
    boxes = tile_boxes(width, height, GridSettings())
    valid = sum((min(x1, width) - x0) * (min(y1, height) - y0) for x0, y0, x1, y1 in boxes)
    assert 100 * (1 - valid / (len(boxes) * 1024**2)) == pytest.approx(share, abs=0.05)
    assert len(boxes) * 1024**2 / (width * height) == pytest.approx(ratio, abs=0.005)


# category: train tiles, steps per epoch of 16, steps of 200 epochs, tiles of test_private, test_public and validation
WORKLOAD = {
    "can": (1236, 77, 15_400, 963, 486, 138),
    "fabric": (3483, 217, 43_400, 2826, 1404, 387),
    "fruit_jelly": (1578, 98, 19_600, 1530, 480, 222),
    "rice": (2817, 176, 35_200, 2493, 1188, 315),
    "sheet_metal": (1370, 85, 17_000, 1420, 1140, 190),
    "vial": (1164, 72, 14_400, 1104, 560, 164),
    "wallplugs": (2637, 164, 32_800, 2088, 1350, 297),
    "walnuts": (3888, 243, 48_600, 2052, 1350, 432),
}


@pytest.mark.parametrize("category", OFFICIAL)
def test_c2_workload(category):
    width, height, *_ = OFFICIAL[category]
    per_image = tile_count(width, height, GridSettings())
    tiles = {split: per_image * images for split, images in OFFICIAL_COUNTS[category].items()}
    steps = steps_per_epoch(tiles["train"], 16)
    found = (tiles["train"], steps, 200 * steps, tiles["test_private"], tiles["test_public"], tiles["validation"])
    assert found == WORKLOAD[category]
    assert tiles["test_private_mixed"] == tiles["test_private"]


def test_c2_workload_totals():
    assert [sum(row[column] for row in WORKLOAD.values()) for column in range(6)] == [
        18_173, 1132, 226_400, 14_476, 7958, 2145,
    ]  # fmt: skip


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


@pytest.mark.parametrize("category", OFFICIAL)
def test_c3_every_pixel_is_covered_by_one_to_four_tiles(category):
    width, height, columns, rows, last_width, last_height, *_ = OFFICIAL[category]
    covered = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in tile_boxes(width, height, GridSettings()):
        covered[y0:y1, x0:x1] += 1
    assert covered.min() == 1
    assert covered.max() == (2 if columns > 1 else 1) * (2 if rows > 1 else 1)
    assert all(104 <= last <= 1024 for last in (last_width, last_height))


@pytest.mark.parametrize("size", [(1400, 1900), (1024, 1024), (1025, 60), (900, 2049)])
def test_c4_windows_of_1024_px_written_back_reproduce_the_image(size):
    width, height = size
    image = np.random.default_rng(5).integers(0, 256, (height, width, 1), dtype=np.uint8)
    boxes = tile_boxes(width, height, GridSettings(input_px=1024))
    canvas = np.zeros((boxes[-1][3], boxes[-1][2], 1), np.uint8)
    for tile, (x0, y0, x1, y1) in zip(cut_tiles(image, boxes, (1024, 1024)), boxes, strict=True):
        canvas[y0:y1, x0:x1] = tile
    assert np.array_equal(canvas[:height, :width], image)
    assert not canvas[height:].any()
    assert not canvas[:, width:].any()


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
    assert int(10 * (1 - 0.9)) == 0
    with pytest.raises(ConfigError, match="stride of 0 px"):
        tile_stride(10, 0.9)
    with pytest.raises(ConfigError, match="stride of 0 px"):
        tile_starts(100, 10, 0.9, "padded")
    with pytest.raises(ValueError, match="stride of 0 px"):
        GridSettings(window_px=10, overlap=0.9)


# Names that the released naming (up to the first dot, then two digits) confuses, and an image of 12 x 11 tiles.
NAMED_IMAGES = {
    "007_regular": (20, 9),
    "007.v2_regular": (15, 20),
    "007.v3_regular_12": (9, 9),
    "a_b_c_3_4": (85, 78),
}


def write_named_images(root):
    """Write the named images into every split that crop reads, each with pixels of its own."""
    random = np.random.default_rng(6)
    pixels = {}
    for folder in ("train/good", "validation/good", "test_private"):
        (root / "can" / folder).mkdir(parents=True)
        for name, (width, height) in NAMED_IMAGES.items():
            pixels[folder.split("/")[0], name] = random.integers(1, 256, (height, width), dtype=np.uint8)
            Image.fromarray(pixels[folder.split("/")[0], name]).save(root / "can" / folder / f"{name}.png")
    return pixels


def in_turn(function, items, what):
    return [function(item) for item in items]


@pytest.mark.parametrize("split", ["train", "validation", "test_private"])
def test_c6_names_and_many_rows_and_columns_survive_the_round_trip(tmp_path, split):
    """Index, crop, merge and write: with the pixels as scores the maps are the images again, under their own names."""
    pixels = write_named_images(tmp_path / "data")
    index = index_split(tmp_path / "data", "can", split, "mvtec_ad_2", in_turn)
    grid = GridSettings(window_px=8, overlap=0.1, input_px=8)
    plan = plan_tiles(images_of(index, tmp_path / "data"), grid, tmp_path / "tiles", workers=1)
    path = tmp_path / "tiles" / f"{split}.npy"
    write_tiles(path, plan, tmp_path / "data", in_turn)
    tiles = TilesManifest.model_validate_json(tiles_manifest(plan, "can", path).model_dump_json())
    counts = {image.id: len(image.boxes_xyxy) for image in tiles.images}
    assert counts == {"007_regular": 6, "007.v2_regular": 6, "007.v3_regular_12": 4, "a_b_c_3_4": 12 * 11}
    scores = np.load(path)[..., 0].astype(np.float32)
    scored = TilemapsManifest(
        detector="pixels", category="can", split=split, file=path.name, shape=scores.shape, sha256="0" * 64,
        tiles_sha256=tiles.sha256, minimum=0.0, maximum=255.0, cells=PIXEL_CELLS,
    )  # fmt: skip
    for image in scored_images(scores, scored, tiles):
        merged = merge_image(image, PIXEL_CELLS, (8, 8), PLAIN)
        record = save_map(tmp_path / "maps", split, image.id, merged, merged.shape)
        assert record.file == f"{split}/{image.id}.tiff"
        assert np.array_equal(read_map(tmp_path / "maps" / f"{image.id}.tiff"), pixels[split, image.id])
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == sorted(
        f"{name}.tiff" for name in NAMED_IMAGES
    )


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
