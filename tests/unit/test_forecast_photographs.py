"""Sizes of photographs and tiles as the forecasts know them."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tests.planned_work import SIZES, SPLITS

from seamark.data.index import index_split
from seamark.forecast.disk import disk_bytes
from seamark.forecast.photographs import DataSetSizes, PhotographSizes
from seamark.forecast.work import Work
from seamark.manifests.base import write_manifest
from seamark.planning.resources import PlannedForecast
from seamark.planning.teachers import PlannedTeachers
from seamark.planning.variations import Variation
from seamark.settings.config import load_config
from seamark.tiles.cutting import write_tiles
from seamark.tiles.geometry import tile_boxes
from seamark.tiles.plan import plan_tiles


def plain_map(function, items, _what):
    return [function(item) for item in items]


@pytest.fixture
def nuts(tmp_path, monkeypatch):
    """Sizes of a small data set that lies in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, shape in {
        "train/good/000_regular": (20, 30),
        "train/good/001_regular": (40, 50),
        "validation/good/000_regular": (21, 30),
    }.items():
        path = tmp_path / "nut" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8)).save(path)
    config = load_config({"run": "r", "data": {"root": str(tmp_path)}})
    return DataSetSizes(config, {"nut": tmp_path / "nut"})


def index_training(root):
    return index_split(root, "nut", "train", "mvtec_ad_2", plain_map)


def test_the_demo_is_known_before_it_is_drawn():
    assert SIZES.of("woven", ("train",)) == PhotographSizes((((1480, 840, 1), 16),))
    assert SIZES.of("washers", SPLITS).count == 5 + 24 + 10 + 10


def test_the_largest_file_of_a_split_stands_for_all_until_they_are_indexed(nuts):
    assert nuts.of("nut", ("train",)).sizes == (((50, 40, 1), 2),)
    assert nuts.of("nut", ("validation",)).sizes == (((30, 21, 1), 1),)


def test_the_index_tells_the_sizes_of_what_it_lists(nuts, tmp_path):
    write_manifest(tmp_path / "out/r/00_index/nut/train.json", index_training(tmp_path))
    assert nuts.of("nut", ("train",)).sizes == (((30, 20, 1), 1), ((50, 40, 1), 1))
    assert nuts.of("nut", ("validation",)).sizes == (((30, 21, 1), 1),)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_an_unreadable_header_counts_as_a_large_photograph(nuts, tmp_path, content):
    for path in (tmp_path / "nut/train/good").iterdir():
        path.write_bytes(content)
    assert nuts.of("nut", ("train",)).sizes == (((2448, 2048, 3), 2),)


def test_stored_tiles_are_counted_to_the_byte(nuts, tmp_path):
    records = index_training(tmp_path).images
    config = load_config({"grids": {"tile": {"layout": "padded", "window_px": 16, "overlap": 0.25, "input_px": 8}}})
    grid, target = config.grids["tile"], tmp_path / "tiles/train.npy"
    write_tiles(target, plan_tiles(records, grid, target.parent, 1), tmp_path, plain_map)
    sizes = PhotographSizes.of((record.width, record.height, record.channels) for record in records)
    header_and_records = 128 - 400 * 2
    assert disk_bytes(Work("crop", config, sizes, grid_name="tile")) + header_and_records == target.stat().st_size
    assert sizes.tiles(grid) == sum(len(tile_boxes(record.width, record.height, grid)) for record in records)


def test_variants_count_as_photographs_where_they_are_tiles():
    raw = {
        "data": {"demo": True, "truth_root": "truth"},
        "light_variants": {"train_variants": 2, "validation_variants": 3},
    }
    config = load_config(raw)
    places = {"demo": Variation("demo", "demo", raw, PlannedTeachers(config))}
    planned = PlannedForecast(places, ("woven", "washers"), DataSetSizes(config, {}), 0)

    def count(rule, split="", detector=""):
        place = SimpleNamespace(place="demo", category="woven", split=split, detector=detector)
        return planned.work(rule, place).photographs.count

    train, validation = config.demo.train, config.demo.validation
    assert count("crop", "train") == 3 * train
    assert count("crop", "validation") == count("merge", "validation") == count("binarize", "validation") == validation
    assert count("fuse", "validation_variants") == 3 * validation
    assert count("train", detector="inp_former") == 3 * train + validation
    assert planned.work("index", SimpleNamespace(category="woven")).photographs.count < 100
