"""Forecasts of runs, and refusals."""

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from seamark.backbones.registry import load_backbone
from seamark.backbones.table import BACKBONES
from seamark.data.index import index_split
from seamark.forecast.disk import disk_bytes
from seamark.forecast.machine import free_mb, gpu_memory_mb, memory_mb
from seamark.forecast.memory import memory, requested_mb
from seamark.forecast.parameters import trained_parameters
from seamark.forecast.photographs import DataSetSizes, PhotographSizes
from seamark.forecast.refusals import (
    MemoryLimit,
    ResourceError,
    disk_mb,
    disk_refusal,
    present_mb,
    room_problems,
    with_settings,
)
from seamark.forecast.step_times import measured_seconds
from seamark.forecast.tables import duration, forecast_run, forecast_text
from seamark.forecast.work import Work
from seamark.learning.detector import count_numbers, load_detector_class
from seamark.manifests.base import write_manifest
from seamark.planning.plan import Plan
from seamark.planning.resources import PlannedForecast
from seamark.planning.teachers import PlannedTeachers
from seamark.planning.variations import Variation
from seamark.registry import DETECTORS
from seamark.settings.config import load_config
from seamark.tiles.cutting import write_tiles
from seamark.tiles.geometry import tile_boxes
from seamark.tiles.plan import plan_tiles

INP_FORMER = {
    "backbone": "efficientnet_lite0",
    "layers": [2, 3],
    "feature_cache_mb": 1000,
    "decoder_blocks": 4,
    "max_steps": 400,
    "batch_size": 4,
    "token_share": 0.1,
    "augmentation": {"frozen_variants": 2},
}
RAW = {
    "data": {"root": "data/demo", "truth_root": "data/demo_truth", "demo": True},
    "grids": {"tile": {"layout": "even", "window_px": 640, "overlap": 0.1, "input_px": 512}},
    "detectors": {"inp_former": INP_FORMER},
    "fuse": {"members": ["inp_former"]},
}
CONFIG = load_config(RAW)
SIZES = DataSetSizes(CONFIG, {})
SPLITS = ("validation", "test_public", "test_private", "test_private_mixed")


def work(stage, category="washers", splits=("test_public",), **facts):
    training, outputs = SIZES.of(category, ("train",)), (Path("out/a.json"),)
    facts = {"detector": "inp_former", "outputs": outputs, **facts}
    return Work(stage, CONFIG, SIZES.of(category, splits), training, category, **facts)


TRAIN = work("train", splits=("train", "validation"))


def refusals(jobs, limit_mb, gpu_mb=None):
    return room_problems(jobs, MemoryLimit(limit_mb, "there are"), 1, gpu_mb)


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
    threads = 2 if stage in ("demo", "package") else 1
    expected = memory(work(stage, category or "washers", splits, threads=threads))
    assert expected.resident == pytest.approx(measured, rel=0.3)


def test_what_a_job_asks_for_has_room():
    assert requested_mb(TRAIN) >= 1.2 * memory(TRAIN).resident
    assert requested_mb(TRAIN) % 50 == 0


def test_a_job_has_no_more_threads_than_there_are_cores():
    wide = work("package", threads=4)
    assert memory(wide, cores=2) == memory(replace(wide, threads=2)) < memory(wide)


def test_tiles_that_are_not_kept_count_once():
    crops = [work("crop", category, grid_name="tile") for category in ("woven", "washers")]
    lean = [with_settings(job, {"keep_tiles": False}) for job in crops]
    assert disk_mb(crops) == pytest.approx(sum(disk_bytes(job) for job in crops) / 1e6)
    assert disk_mb(lean) == pytest.approx(max(disk_bytes(job) for job in crops) / 1e6)


def test_a_small_disk_is_refused_with_the_settings_that_would_do():
    jobs = [work(stage, grid_name="tile" if stage == "crop" else "") for stage in ("crop", "merge", "package")]
    needed = disk_mb(jobs)
    assert disk_refusal(jobs, 1.06 * needed) is None
    assert disk_refusal(jobs, 0.5 * needed, present=0.6 * needed) is None
    refusal = disk_refusal(jobs, 0.6 * needed)
    assert "keep_tiles: false" in refusal
    assert "merge: {scale: 0.5}" in refusal
    assert "even" not in refusal
    assert "even keep_tiles: false" in disk_refusal(jobs, 1.0)


def test_little_memory_is_refused_with_a_batch_that_fits():
    assert refusals([TRAIN], 4000.0) == []
    (refusal,) = refusals([TRAIN, TRAIN], 800.0)
    assert "memory: there are 800 MB, but train inp_former washers needs 1.7 GB" in refusal
    assert "feature_cache_mb: 0, batch_size: 2" in refusal
    less = with_settings(TRAIN, {"detectors": {"inp_former": {"feature_cache_mb": 0, "batch_size": 2}}})
    assert memory(less).resident < 800.0 < memory(TRAIN).resident


def test_stored_tiles_take_no_memory(monkeypatch):
    monkeypatch.setattr("seamark.forecast.refusals.free_mb", lambda _: 1e9)
    many = replace(work("infer"), photographs=PhotographSizes((((1480, 840, 3), 20_000),)))
    assert many.tiles_mb > 90_000
    assert memory(many).resident == memory(work("infer")).resident
    assert refusals([many], 1000.0) == []


@pytest.mark.parametrize(
    ("limit_mb", "remedy"), [(1000.0, "refine: {method: grabcut}"), (4000.0, "refine: {sam: {model: vit_b}}")]
)
def test_a_smaller_segmenter_is_named(limit_mb, remedy):
    job = with_settings(work("refine"), {"refine": {"method": "sam", "sam": {"model": "vit_h"}}})
    (refusal,) = refusals([job], limit_mb)
    assert remedy in refusal


def test_a_small_gpu_is_refused_for_jobs_that_use_it_only():
    (refusal,) = refusals([TRAIN, work("merge")], 4000.0, gpu_mb=1500.0)
    assert "GPU memory" in refusal
    assert "feature_cache_mb: 0" in refusal


def test_older_results_make_room_for_those_that_replace_them(tmp_path):
    (tmp_path / "train").mkdir()
    for name, size in {"train.json": 1000, "train/000.tiff": 5000, "other.tiff": 7000}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    assert present_mb([tmp_path / "train.json"]) == pytest.approx(0.006)


@pytest.mark.parametrize(("free", "refused"), [(0.6, 0), (0.4, 1)])
def test_the_largest_older_result_makes_room_too_late(tmp_path, monkeypatch, free, refused):
    jobs = [replace(work("merge", name), outputs=(tmp_path / f"{name}.json",)) for name in ("woven", "washers")]
    for job in jobs:
        job.outputs[0].touch()
        os.truncate(job.outputs[0], round(disk_bytes(job)))
    monkeypatch.setattr("seamark.forecast.refusals.free_mb", lambda _: free * disk_mb(jobs))
    assert len(refusals(jobs, 1e9)) == refused


def test_problems_of_disk_and_memory_are_told_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    huge = replace(work("merge"), photographs=PhotographSizes((((100_000, 100_000, 3), 10_000),)))
    disk, memory_problem = refusals([huge], 1000.0)
    assert disk.startswith("disk: out needs")
    assert memory_problem.startswith("memory: ")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = replace(work("merge"), outputs=(Path("out/demo/40_maps/washers.json"),))
    assert refusals([job], 1e6) == []
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    assert f"disk: {tmp_path} cannot be written to" in refusals([job], 1e6)[0]
    Path("out").touch()
    assert "/out is a file, expected a folder" in refusals([job], 1e6)[0]


def test_a_gpu_that_is_not_there_is_refused_for_jobs_that_would_use_it(monkeypatch):
    monkeypatch.setenv("SEAMARK_GPUS", "")
    planned = Plan(RAW, Path(__file__).parents[2]).forecast
    asked = {"gpu": SimpleNamespace(value=1), "_cores": SimpleNamespace(value=1)}
    place = SimpleNamespace(category="woven", detector="inp_former", split="validation")
    merge, train = (
        SimpleNamespace(rule=SimpleNamespace(name=name), wildcards=place, output=["out/demo/x.json"])
        for name in ("merge", "train")
    )
    planned.require_room([merge], asked, local=True)
    planned.require_room([train], asked, local=False)
    with pytest.raises(ResourceError, match="--resources gpu asks for one and none is visible"):
        planned.require_room([train], asked, local=True)


def test_memory_is_what_the_control_group_allows(tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("2000000000\n")
    assert memory_mb((limit,)) == 2000.0
    limit.write_text("max\n")
    assert memory_mb((limit,)) == memory_mb(())
    assert free_mb(tmp_path / "not/there/yet") > 0


def test_the_smallest_gpu_counts(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint('81559\\n16384')\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_memory_mb() == pytest.approx(16384 * 1.048576)
    tool.unlink()
    assert gpu_memory_mb() is None


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


@pytest.mark.parametrize(
    ("detector", "block"),
    [
        ("inp_former", {"backbone": "efficientnet_lite0", "decoder_blocks": 4, "heads": 8}),
        ("urd", {"backbone": "resnet18"}),
        ("aurd", {"backbone": "resnet18", "segmentation": {"width": 256}}),
        ("aurd", {"backbone": "efficientnet_lite0", "student_width": 2.0, "segmentation": {"width": 64}}),
        ("aand", {"backbone": "resnet18"}),
        ("aand", {"backbone": "efficientnet_lite0", "student_width": 2.0, "amplification": None}),
        ("pfadseg", {"backbone": "resnet18", "segmentation": {"width": 256}}),
        ("pfadseg", {"backbone": "resnet18", "attention": {"pcar": False, "aff": False, "rcm": False}}),
        ("efficientad", {"network": "small", "width": 1.0, "channels": 384}),
        ("efficientad", {"network": "medium", "width": 1.0, "channels": 384}),
    ],
)
def test_numbers_of_a_training_are_those_of_its_networks(detector, block):
    kind = load_detector_class(DETECTORS[detector].target)
    random = {"weights": "random"} | ({"teacher": "random"} if detector == "efficientad" else {})
    built = kind(kind.Settings.model_validate(block | random), (64, 64), 0)
    raw = {**RAW, "detectors": {detector: block}, "fuse": {"members": [detector]}}
    told = trained_parameters(replace(TRAIN, config=load_config(raw), detector=detector))
    assert told == pytest.approx(count_numbers(built.state()), rel=0.2)


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


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """All jobs of the demo, of which only the photographs are there."""
    monkeypatch.chdir(tmp_path)
    found = Plan(RAW, Path(__file__).parents[2]).forecast.submission()
    found[0].outputs[0].parent.mkdir()
    found[0].outputs[0].touch()
    return found


def test_measured_seconds_are_summed_and_shared_among_cores_or_gpus(jobs):
    seconds = [{"train": 100.0, "infer": 1.0}.get(job.stage) for job in jobs]
    forecast = forecast_run(jobs, seconds, cores=4, gpus=0)
    told = {stage.stage: stage for stage in forecast.stages}
    assert (told["demo"].jobs, told["demo"].done, told["demo"].seconds) == (1, 1, None)
    assert (told["train"].jobs, told["train"].done, told["train"].seconds) == (2, 0, 200.0)
    assert forecast.rough_s == (200.0 + told["infer"].jobs) / 4
    assert forecast_run(jobs, seconds, cores=4, gpus=1).rough_s == 200.0 + told["infer"].jobs
    assert forecast.disk_mb == pytest.approx(sum(map(disk_bytes, jobs)) / 1e6)
    assert forecast.disk_mb == pytest.approx(1337, rel=0.3)  # a finished run without its logs


def test_the_table_names_every_stage_and_what_does_not_fit(jobs):
    forecast = forecast_run(jobs, [None] * len(jobs), cores=2, gpus=0)
    text = forecast_text(forecast, ["disk: out needs more"], MemoryLimit(2000.0, "there are"))
    assert all(f"\n{job.stage} " in f"\n{text}" for job in jobs)
    assert "2 jobs side by side may take 3.4 GB; with --resources mem_mb=2000" in text
    assert "side by side" not in forecast_text(forecast, [], MemoryLimit(8000.0, "there are"))
    assert "it does not fit:\n  - disk: out needs more" in text
    assert "roughly 1 min 40 s on 1 GPU" in forecast_text(replace(forecast, rough_s=100.0, gpus=1), [], None)
    assert json.loads(json.dumps(asdict(forecast)))["stages"][0]["stage"] == "demo"


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (95, "1 min 35 s"), (7320, "2 h 2 min"), (None, "-")])
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_memory_of_superadd_grows_with_its_photographs_up_to_the_limit():
    def needed(limit_mb, photographs):
        block = {"backbone": "dinov2_vitb14_reg", "weights": "random", "memory_limit_mb": limit_mb}
        raw = {**RAW, "detectors": {"superadd": block}, "fuse": {"members": ["superadd"]}}
        sizes = PhotographSizes((((2448, 2048, 3), photographs),))
        facts = {"config": load_config(raw), "detector": "superadd", "photographs": sizes, "training": sizes}
        return memory(replace(TRAIN, **facts)).resident

    assert needed(9000, 400) - needed(4000, 400) == pytest.approx(5000)
    assert needed(9000, 4) == needed(90000, 4) < needed(9000, 40)


@pytest.mark.parametrize("detector", ["inp_former", "efficientad", "feature_bank"])
def test_steps_and_loops_of_real_detectors_are_measured_and_multiplied(detector):
    small = {"layout": "even", "window_px": 64, "overlap": 0.25, "input_px": 64}
    block = {
        "inp_former": {**INP_FORMER, "batch_size": 2, "max_steps": 4, "weights": "random"},
        "efficientad": {"steps": 4, "teacher": "distilled"},
        "feature_bank": {"backbone": "efficientnet_lite0", "weights": "random", "bank_size": 50},
    }[detector]
    raw = {**RAW, "grids": {"tile": small}, "detectors": {detector: block}, "fuse": {"members": [detector]}}
    config = load_config(raw)
    train, infer = (replace(TRAIN, config=config, stage=stage, detector=detector) for stage in ("train", "infer"))
    twice = replace(infer, photographs=infer.photographs.times(2))
    found = measured_seconds([train, work("merge"), infer, twice], "cpu")
    assert found[0] > 0
    assert found[1] is None
    assert found[3] == pytest.approx(2 * found[2])
