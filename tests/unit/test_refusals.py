"""Refusals of runs that have no room on disk, in memory or on the GPU."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.planned_work import RAW, TRAIN, work

from seamark.forecast.disk import disk_bytes
from seamark.forecast.machine import free_mb, gpu_memory_mb, memory_mb
from seamark.forecast.memory import memory
from seamark.forecast.photographs import PhotographSizes
from seamark.forecast.refusals import (
    MemoryLimit,
    ResourceError,
    disk_mb,
    disk_refusal,
    present_mb,
    room_problems,
    with_settings,
)
from seamark.planning.plan import Plan


def refusals(jobs, limit_mb, gpu_mb=None):
    return room_problems(jobs, MemoryLimit(limit_mb, "there are"), 1, gpu_mb)


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
