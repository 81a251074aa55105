"""What a run is expected to take, and what is refused."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from seamark.backbones.registry import load_backbone
from seamark.backbones.table import BACKBONES
from seamark.data.index import index_category
from seamark.forecast.disk import disk_bytes
from seamark.forecast.machine import free_mb, memory_mb
from seamark.forecast.memory import memory, requested_mb
from seamark.forecast.photographs import DataSetSizes, Photographs
from seamark.forecast.remedies import disk_mb, disk_refusal, gpu_refusals, memory_refusals, with_settings
from seamark.forecast.room import MemoryLimit, PlannedJob, present_mb, room_problems
from seamark.forecast.work import Work
from seamark.manifests.base import write_manifest
from seamark.planning.resources import PlannedForecast
from seamark.planning.teachers import PlannedTeachers
from seamark.planning.variations import Variation
from seamark.settings.config import load_config
from seamark.tiles.cutting import write_tiles
from seamark.tiles.geometry import tile_boxes
from seamark.tiles.plan import plan_tiles

ROOT = Path(__file__).parents[2]
CONFIG = load_config(
    {
        "data": {"root": "data/demo", "truth_root": "data/demo_truth", "demo": True},
        "grids": {"tile": {"layout": "even", "window_px": 640, "overlap": 0.1, "input_px": 512}},
        "detectors": {
            "inp_former": {
                "backbone": "efficientnet_lite0",
                "layers": [2, 3],
                "feature_cache_mb": 1000,
                "decoder_blocks": 4,
                "max_steps": 400,
                "batch_size": 4,
                "token_share": 0.1,
                "augmentation": {"frozen_variants": 2},
            }
        },
        "fuse": {"members": ["inp_former"]},
    }
)
SIZES = DataSetSizes(CONFIG, {})
SPLITS = ("validation", "test_public", "test_private", "test_private_mixed")


def work(stage, category="washers", splits=("test_public",), config=CONFIG, **facts):
    training = SIZES.of(category, ("train",))
    return Work(stage, config, SIZES.of(category, splits), training, category, detector="inp_former", **facts)


def test_the_demo_is_known_before_it_is_drawn():
    assert SIZES.of("woven", ("train",)) == Photographs((((1480, 840, 1), 16),))
    assert SIZES.of("washers", SPLITS).count == 5 + 24 + 10 + 10


def photographs(folder, sizes):
    for split, shapes in sizes.items():
        for number, shape in enumerate(shapes):
            path = folder / "nut" / split / f"{number:03d}_regular.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
            Image.fromarray(noise).save(path)
    return folder


@pytest.fixture
def nuts(tmp_path, monkeypatch):
    """Sizes of a small data set, and the folder it lies in."""
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path, {"train/good": [(20, 30), (40, 50)], "validation/good": [(20, 30, 3)]})
    config = load_config({"run": "r", "data": {"root": str(tmp_path)}})
    return DataSetSizes(config, {"nut": tmp_path / "nut"})


def test_the_largest_file_of_a_split_stands_for_all_until_they_are_indexed(nuts):
    assert nuts.of("nut", ("train",)).sizes == (((50, 40, 1), 2),)
    assert nuts.of("nut", ("validation",)).sizes == (((30, 20, 3), 1),)


def test_the_index_tells_the_sizes_of_what_it_lists(nuts, tmp_path):
    path = tmp_path / "out/r/00_index/nut.json"
    path.parent.mkdir(parents=True)
    index = index_category(tmp_path, "nut", "mvtec_ad_2", lambda function, items, _: [function(item) for item in items])
    known = tuple(image for image in index.images if image.split == "train")
    write_manifest(path, index.model_copy(update={"images": known}))
    assert nuts.of("nut", ("train",)).sizes == (((30, 20, 1), 1), ((50, 40, 1), 1))
    assert nuts.of("nut", ("validation",)).sizes == (((30, 20, 3), 1),)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_an_unreadable_header_counts_as_a_large_photograph(nuts, tmp_path, content):
    for path in (tmp_path / "nut/train/good").iterdir():
        path.write_bytes(content)
    assert nuts.of("nut", ("train",)).sizes == (((2448, 2048, 3), 2),)


def test_stored_tiles_are_counted_to_the_byte(nuts, tmp_path):
    index = index_category(tmp_path, "nut", "mvtec_ad_2", lambda function, items, _: [function(item) for item in items])
    config = load_config({"grids": {"tile": {"layout": "padded", "window_px": 16, "overlap": 0.25, "input_px": 8}}})
    plan = plan_tiles(index.of("train"), config.grids["tile"], tmp_path / "tiles", 1)
    write_tiles(tmp_path / "tiles/train.npy", plan, tmp_path, lambda function, items, _: list(map(function, items)))
    sizes = Photographs.of((record.width, record.height, record.channels) for record in index.of("train"))
    job = Work("crop", config, sizes, grid_name="tile")
    header_and_records = 128 - 400 * 2
    assert disk_bytes(job) + header_and_records == (tmp_path / "tiles/train.npy").stat().st_size
    assert sizes.tiles(config.grids["tile"]) == sum(
        len(tile_boxes(record.width, record.height, config.grids["tile"])) for record in index.of("train")
    )


MEASURED_DEMO_MB = {
    ("demo", ""): 510,
    ("index", "washers"): 84,
    ("crop", "washers"): 98,
    ("train", "washers"): 1861,
    ("train", "woven"): 1843,
    ("infer", "washers"): 694,
    ("infer", "woven"): 608,
    ("merge", "washers"): 114,
    ("fuse", "washers"): 75,
    ("calibrate", "washers"): 100,
    ("binarize", "washers"): 92,
    ("refine", "washers"): 122,
    ("preview", "washers"): 144,
    ("evaluate", "washers"): 115,
    ("package", ""): 242,
    ("report", ""): 149,
}
"""Peak memory of a finished run of the demo on two cores, from its provenance."""


@pytest.mark.parametrize(("job", "measured"), MEASURED_DEMO_MB.items(), ids=str)
def test_expected_memory_of_the_demo_is_near_what_was_measured(job, measured):
    stage, category = job
    splits = {"train": ("train", "validation"), "infer": ("test_public",)}.get(stage, SPLITS)
    expected = memory(work(stage, category or "washers", splits), 2 if stage in ("demo", "package") else 1)
    assert expected.peak == pytest.approx(measured, rel=0.3)


def test_what_a_job_asks_for_has_room():
    job = work("train", splits=("train", "validation"))
    assert requested_mb(job) >= 1.2 * memory(job).peak
    assert requested_mb(job) % 50 == 0


def test_tiles_that_are_not_kept_count_once():
    crops = [work("crop", category, grid_name="tile") for category in ("woven", "washers")]
    lean = [with_settings(job, {"keep_tiles": False}) for job in crops]
    assert disk_mb(crops) == pytest.approx(sum(disk_bytes(job) for job in crops) / 1e6)
    assert disk_mb(lean) == pytest.approx(max(disk_bytes(job) for job in crops) / 1e6)


def test_a_small_disk_is_refused_with_the_settings_that_would_do():
    jobs = [work(stage, grid_name="tile" if stage == "crop" else "") for stage in ("crop", "merge", "package")]
    needed = disk_mb(jobs)
    assert disk_refusal(jobs, 1.06 * needed) is None
    assert disk_refusal(jobs, 0.5 * needed, present_mb=0.6 * needed) is None
    refusal = disk_refusal(jobs, 0.6 * needed)
    assert "keep_tiles: false" in refusal
    assert "merge: {scale: 0.5}" in refusal
    assert "even" not in refusal
    assert "even keep_tiles: false" in disk_refusal(jobs, 1.0)


def test_little_memory_is_refused_with_a_batch_that_fits():
    job = work("train", splits=("train", "validation"))
    assert memory_refusals([job], 4000.0, lambda _: 1, "there are") == []
    (refusal,) = memory_refusals([job, job], 800.0, lambda _: 1, "there are")
    assert "train inp_former washers needs 1.7 GB" in refusal
    assert "feature_cache_mb: 0, batch_size: 2" in refusal
    less = with_settings(job, {"detectors": {"inp_former": {"feature_cache_mb": 0, "batch_size": 2}}})
    assert memory(less).resident < 800.0 < memory(job).resident


def test_mapped_tiles_are_no_reason_to_refuse():
    many = Photographs((((1480, 840, 3), 20_000),))
    job = replace(work("infer"), photographs=many)
    assert memory(job).peak > 90_000
    assert memory_refusals([job], 1000.0, lambda _: 1, "there are") == []


@pytest.mark.parametrize(
    ("method", "limit_mb", "remedy"),
    [("sam", 1000.0, "refine: {method: grabcut}"), ("sam", 4000.0, "refine: {sam: {model: vit_b}}")],
)
def test_a_smaller_segmenter_is_named(method, limit_mb, remedy):
    job = with_settings(work("refine"), {"refine": {"method": method, "sam": {"model": "vit_h"}}})
    (refusal,) = memory_refusals([job], limit_mb, lambda _: 1, "there are")
    assert remedy in refusal


def test_a_small_gpu_is_refused_for_jobs_that_use_it_only():
    train, merge = work("train", splits=("train", "validation")), work("merge")
    (refusal,) = gpu_refusals([train, merge], 1500.0)
    assert "GPU memory" in refusal
    assert "feature_cache_mb: 0" in refusal


def test_older_results_make_room_for_those_that_replace_them(tmp_path):
    manifest = tmp_path / "train.json"
    manifest.write_bytes(b"x" * 1000)
    (tmp_path / "train").mkdir()
    (tmp_path / "train/000.tiff").write_bytes(b"x" * 5000)
    (tmp_path / "other.tiff").write_bytes(b"x" * 7000)
    assert present_mb([manifest]) == pytest.approx(0.006)


def test_problems_of_disk_and_memory_are_told_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    huge = replace(work("merge"), photographs=Photographs((((100_000, 100_000, 3), 10_000),)))
    problems = room_problems([PlannedJob(huge, (Path("out/a.json"),))], MemoryLimit(1000.0, "there are"), 1)
    assert [problem.split(":")[0] for problem in problems] == ["disk", "memory"]
    assert "out needs" in problems[0]


def test_memory_is_what_the_control_group_allows(tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("2000000000\n")
    assert memory_mb((limit,)) == 2000.0
    limit.write_text("max\n")
    assert memory_mb((limit,)) == memory_mb(())
    assert free_mb(tmp_path / "not/there/yet") > 0


def test_networks_are_those_of_the_backbones():
    for name in ("efficientnet_lite0", "resnet18"):
        row = BACKBONES[name]
        backbone = load_backbone(name, "random", range(len(row.strides)))
        levels = backbone.pyramid(torch.zeros(1, 3, 64, 64))
        assert [(64 // level.shape[2], level.shape[1]) for level in levels] == list(
            zip(row.strides, row.channels, strict=True)
        )
        backbone = load_backbone(name, "random")
        assert row.parameters == sum(tensor.numel() for tensor in backbone.parameters())


def test_variants_count_as_photographs_where_they_are_tiles():
    raw = {
        "data": {"demo": True, "truth_root": "truth"},
        "light_variants": {"train_variants": 2, "validation_variants": 3},
    }
    config = load_config(raw)
    teaching = PlannedTeachers(config)
    places = {"demo": Variation("demo", "demo", raw, teaching)}
    planned = PlannedForecast(places, ("woven", "washers"), DataSetSizes(config, {}), teaching, 0)

    def count(rule, split="", detector=""):
        place = SimpleNamespace(place="demo", category="woven", split=split, detector=detector)
        return planned.work(rule, place).photographs.count

    train, validation = config.demo.train, config.demo.validation
    assert count("crop", "train") == 3 * train
    assert count("crop", "validation") == count("merge", "validation") == count("binarize", "validation") == validation
    assert count("fuse", "validation_variants") == 3 * validation
    assert count("train", detector="inp_former") == 3 * train + validation
    assert planned.work("index", SimpleNamespace(category="woven")).photographs.count < 100
