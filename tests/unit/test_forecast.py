"""Forecasts of memory, trained numbers, disk and time."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tests.planned_work import INP_FORMER, RAW, SPLITS, TRAIN, work

from seamark.backbones.registry import load_backbone
from seamark.backbones.table import BACKBONES
from seamark.forecast.disk import disk_bytes
from seamark.forecast.memory import memory, requested_mb
from seamark.forecast.parameters import trained_parameters
from seamark.forecast.photographs import PhotographSizes
from seamark.forecast.refusals import MemoryLimit
from seamark.forecast.step_times import measured_seconds
from seamark.forecast.tables import duration, forecast_run, forecast_text
from seamark.learning.detector import count_numbers, load_detector_class
from seamark.planning.plan import Plan
from seamark.registry import DETECTORS
from seamark.settings.config import load_config

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
