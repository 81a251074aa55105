"""Cutting images into a tile array."""

import builtins
import errno
import hashlib
import io
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from seamark.errors import ConfigError, DataError
from seamark.files.images import read_image
from seamark.manifests.index import ImageRecord, IndexManifest
from seamark.settings.grid import GridSettings
from seamark.tiles import plan as tile_plan
from seamark.tiles.cutting import cut_tiles, read_indexed, tiles_manifest, write_tiles
from seamark.tiles.geometry import tile_boxes
from seamark.tiles.plan import images_of, plan_tiles

GRID = GridSettings(window_px=32, overlap=0.25, input_px=16)


def in_turn(function, items, what):
    return [function(item) for item in items]


def in_threads(function, items, what):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, items))


def add_image(root, name, size=(50, 40), mode="RGB", split="train", seed=0):
    """Write a random image and return its index record."""
    width, height = size
    channels = 1 if mode == "L" else 3
    pixels = np.random.default_rng([seed, *name.encode()]).integers(0, 256, (height, width, channels), dtype=np.uint8)
    path = root / "can" / split / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)
    return ImageRecord(
        id=name.removesuffix(".png"),
        file=str(path.relative_to(root)),
        split=split,
        label="good",
        light="regular",
        width=width,
        height=height,
        channels=channels,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        mask=None,
    )


def test_tiles_are_padded_with_zeros_and_then_resized():
    image = np.full((40, 50, 3), 200, np.uint8)
    tiles = cut_tiles(image, [(24, 24, 56, 56)], (16, 16))
    expected = np.zeros((32, 32, 3), np.uint8)
    expected[:16, :26] = 200
    assert np.array_equal(tiles[0], np.asarray(Image.fromarray(expected).resize((16, 16), Image.Resampling.BILINEAR)))
    assert tiles[0, 0, 0].tolist() == [200, 200, 200]
    assert not tiles[0, -1].any()


@pytest.mark.parametrize("layout", ["even", "whole"])
def test_the_filter_of_a_grid_resizes_its_windows(tmp_path, layout):
    record = add_image(tmp_path, "000_regular.png", size=(32, 32))
    photograph = Image.open(tmp_path / record.file)
    for name in ("bilinear", "bicubic"):
        grid = GridSettings(layout=layout, window_px=32, input_px=20, resampling=name)
        plan = plan_tiles([record], grid, tmp_path, workers=1)
        write_tiles(tmp_path / f"{name}.npy", plan, tmp_path, in_turn)
        expected = photograph.resize((20, 20), Image.Resampling[name.upper()])
        assert np.array_equal(np.load(tmp_path / f"{name}.npy")[0], np.asarray(expected))


def test_a_window_does_not_see_its_neighbourhood():
    image = np.zeros((32, 64, 1), np.uint8)
    image[:, 32:] = 255
    assert not cut_tiles(image, [(0, 0, 32, 32)], (7, 7)).any()


def test_whole_images_may_be_stretched():
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 1), dtype=np.uint8)
    (tile,) = cut_tiles(image, tile_boxes(50, 40, GridSettings(layout="whole")), (8, 20))
    assert tile.shape == (8, 20, 1)
    assert abs(float(tile.mean()) - float(image.mean())) < 2.0


@pytest.mark.parametrize("layout", ["padded", "even", "whole"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_of_different_size_share_an_array(tmp_path, mode, layout):
    sizes = [(50, 40), (20, 90), (128, 33), (5, 3)]
    records = [add_image(tmp_path, f"bad/{i}.png", size, mode) for i, size in enumerate(sizes)]
    grid = GRID.model_copy(update={"layout": layout})
    plan = plan_tiles(records, grid, tmp_path / "out", workers=1)
    write_tiles(tmp_path / "out" / "train.npy", plan, tmp_path, in_turn)
    array = np.load(tmp_path / "out" / "train.npy", mmap_mode="r")
    manifest = tiles_manifest(plan, "can", tmp_path / "out" / "train.npy")
    assert array.shape == manifest.shape == plan.shape
    assert array.dtype == np.uint8
    first = 0
    for record, image in zip(records, manifest.images, strict=True):
        boxes = tile_boxes(record.width, record.height, grid)
        assert list(image.boxes_xyxy) == boxes
        cut = cut_tiles(read_image(tmp_path / record.file), boxes, (16, 16))
        assert np.array_equal(array[first : first + len(boxes)], cut)
        first += len(boxes)
    assert first == len(array)
    assert manifest.sha256 == hashlib.sha256((tmp_path / "out" / "train.npy").read_bytes()).hexdigest()


def test_the_file_does_not_depend_on_the_order_of_the_work(tmp_path):
    records = [add_image(tmp_path, f"{i}.png", (40 + i, 50)) for i in range(12)]
    plan = plan_tiles(records, GRID, tmp_path, workers=4)
    orders = (in_turn, in_threads, lambda function, items, what: in_turn(function, items[::-1], what))
    for name, order in zip("abc", orders, strict=True):
        write_tiles(tmp_path / f"{name}.npy", plan, tmp_path, order)
    files = [(tmp_path / f"{name}.npy").read_bytes() for name in "abc"]
    assert files[0] == files[1] == files[2]


def written_files(folder):
    return sorted(path.name for path in folder.iterdir())


def check_refused(tmp_path, record, message):
    out = tmp_path / "out"
    plan = plan_tiles([record], GRID, out, workers=1)
    with pytest.raises(DataError, match=message):
        write_tiles(out / "train.npy", plan, tmp_path, in_turn)
    assert written_files(out) == []


def test_an_image_that_changed_is_refused(tmp_path):
    record = add_image(tmp_path, "0.png")
    add_image(tmp_path, "0.png", seed=1)
    check_refused(tmp_path, record, r"0\.png: the file has changed since it was indexed.*rerun index")


def test_an_image_that_vanished_is_refused(tmp_path):
    record = add_image(tmp_path, "0.png")
    (tmp_path / record.file).unlink()
    check_refused(tmp_path, record, r"0\.png: the image is missing")


@pytest.mark.parametrize("change", [{"width": 51}, {"height": 41}, {"channels": 1}])
def test_an_image_of_another_form_than_indexed_is_refused(tmp_path, change):
    record = add_image(tmp_path, "0.png").model_copy(update=change)
    check_refused(tmp_path, record, r"\(40, 50, 3\), the index says .*rerun index")


def test_a_truncated_image_is_refused(tmp_path):
    record = add_image(tmp_path, "0.png")
    path = tmp_path / record.file
    path.write_bytes(path.read_bytes()[:2000])
    record = record.model_copy(update={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    check_refused(tmp_path, record, r"0\.png: the image is truncated or damaged")


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    records = [add_image(tmp_path, f"{i}.png") for i in range(3)]
    plan = plan_tiles(records, GRID, tmp_path / "out", workers=1)

    def fill_up(function, items, what):
        function(items[0])
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_tiles(tmp_path / "out" / "train.npy", plan, tmp_path, fill_up)
    assert written_files(tmp_path / "out") == []


def test_an_array_larger_than_the_disk_is_refused_before_any_work(tmp_path, monkeypatch):
    record = add_image(tmp_path, "0.png")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(tile_plan.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match=r"4 tiles of 1 images need 3200 bytes, but only 1000 bytes are free"):
        plan_tiles([record], GRID, tmp_path, workers=1)


def test_tiny_windows_are_counted_and_not_listed(tmp_path, monkeypatch):
    record = add_image(tmp_path, "0.png").model_copy(update={"width": 16_000, "height": 16_000})
    monkeypatch.setattr(tile_plan, "tile_boxes", lambda *_: pytest.fail("listed the boxes"))
    with pytest.raises(DataError, match="256000000 tiles of 1 images need"):
        plan_tiles([record], GridSettings(window_px=1, overlap=0.0), tmp_path, workers=1)


def test_a_window_larger_than_the_memory_is_refused(tmp_path, monkeypatch):
    record = add_image(tmp_path, "0.png")
    monkeypatch.setattr(tile_plan, "_memory_bytes", lambda: 2 << 30)
    grid = GridSettings(window_px=16384)
    plan_tiles([record], grid, tmp_path, workers=1)
    with pytest.raises(ConfigError, match=r"window_px 16384.*2 worker.*smaller window_px"):
        plan_tiles([record], grid, tmp_path, workers=2)


@pytest.mark.parametrize(
    ("split", "remedy"),
    [("train", "add defect-free images"), ("test_private", "take test_private out of data.splits")],
)
def test_a_split_without_images_is_refused(tmp_path, split, remedy):
    records = (add_image(tmp_path, "0.png", split="validation"),)
    index = IndexManifest(category="can", split=split, layout="mvtec_ad_2", images=records)
    assert images_of(index, tmp_path) == records
    with pytest.raises(DataError, match=rf"can: no image of split {split}.*can/{split}; .*{remedy}"):
        images_of(index.model_copy(update={"images": ()}), tmp_path)


def test_reading_gives_the_indexed_pixels(tmp_path):
    record = add_image(tmp_path, "0.png", mode="L")
    assert np.array_equal(read_indexed(record, tmp_path), read_image(tmp_path / record.file))


def test_a_file_is_opened_once(tmp_path, monkeypatch):
    record = add_image(tmp_path, "0.png")
    opened = []

    def counting(open_file):
        def counted(file, *arguments, **options):
            opened.append(str(file))
            return open_file(file, *arguments, **options)

        return counted

    monkeypatch.setattr(io, "open", counting(io.open))
    monkeypatch.setattr(builtins, "open", counting(builtins.open))
    read_indexed(record, tmp_path)
    assert opened == [str(tmp_path / record.file)]
