"""The forecast of a whole run: its jobs, how they follow each other, and what they take together."""

import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from seamark.errors import ConfigError
from seamark.forecast.machine import MachineSpeed, gpu_memory_mb
from seamark.forecast.machine_speed import measure_machine
from seamark.forecast.room import MemoryLimit
from seamark.forecast.run_forecast import detector_key, forecast_run, measure_detectors
from seamark.forecast.schedule import TimedJob, wall_seconds
from seamark.forecast.seconds import StepTimes, start_seconds, work_seconds
from seamark.forecast.tables import duration, forecast_text, write_forecast
from seamark.planning.plan import Plan
from seamark.settings.crossfit import CROSSFIT_TRAIN
from seamark.settings.light_variants import VALIDATION_VARIANTS

ROOT = Path(__file__).parents[2]
TIMES = StepTimes(
    start_s=4.0,
    first_s={"reconstruction": 0.8},
    again_s={"reconstruction": 0.4},
    computed_s={96: 0.0},
    steps={96: {"reconstruction": 400}},
    score_s=0.25,
    peak_mb=800.0,
    gpu_mb=0.0,
)
MACHINE = MachineSpeed(slowness=1.0, disk_mb_s=400.0)


ALONE = {
    "light_variants": {},
    "grids": {"tile": {"layout": "even", "window_px": 640, "overlap": 0.1, "input_px": 512}},
    "fuse": {"members": ["inp_former"]},
    "binarize": {},
}
"""INP-Former alone on the photographs alone: 96 training tiles a category, as in TIMES."""


def planned(**overlay):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    detector = raw["detectors"]["inp_former"]
    detector["feature_cache_mb"] = 1000
    detector["augmentation"]["frozen_variants"] = 2
    return Plan({**raw, **ALONE, **overlay}, ROOT)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """All jobs of the demo, none of which has run."""
    monkeypatch.chdir(tmp_path)
    return planned().forecast.submission(gpus=0)


def one(jobs, stage, **facts):
    return next(
        job.work
        for job in jobs
        if job.work.stage == stage and all(getattr(job.work, name) == value for name, value in facts.items())
    )


def test_jobs_in_a_row_add_up_and_others_share_the_cores():
    chain = [TimedJob("a", 3.0), TimedJob("b", 4.0, ("a",)), TimedJob("c", 5.0, ("a",))]
    assert wall_seconds(chain, cores=1, gpus=0) == 12.0
    assert wall_seconds(chain, cores=2, gpus=0) == 8.0


def test_one_gpu_serves_one_job_at_a_time():
    training = [TimedJob(name, 10.0, gpus=1) for name in "abc"]
    assert wall_seconds(training, cores=8, gpus=1) == 30.0
    assert wall_seconds(training, cores=8, gpus=2) == 20.0
    assert wall_seconds(training, cores=8, gpus=0) == 10.0


def test_urgent_jobs_start_first_and_threads_are_cut_to_the_cores():
    jobs = [TimedJob("late", 1.0), TimedJob("urgent", 5.0, priority=1), TimedJob("next", 5.0, ("urgent",))]
    assert wall_seconds(jobs, cores=1, gpus=0) == 11.0
    assert wall_seconds([TimedJob("wide", 2.0, threads=4)] * 2, cores=2, gpus=0) == pytest.approx(2.0)
    assert math.isnan(wall_seconds([TimedJob("unknown", math.nan)], cores=1, gpus=0))


def test_a_job_waits_for_what_it_reads(jobs):
    needs = {job.name: set(job.needs) for job in jobs}
    crops = {name for name in needs if name.startswith("crop")}
    assert len(crops) == 10
    assert needs["train washers inp_former"] & crops == {
        "crop washers train tile",
        "crop washers validation tile",
    }
    assert needs["fuse washers test_public"] == {
        "merge washers test_public inp_former",
        "merge washers validation inp_former",
    }
    assert {name.split()[0] for name in needs["report"]} >= {"evaluate", "preview", "package"}
    assert set().union(*needs.values()) <= set(needs)


def test_variants_of_validation_photographs_get_maps_and_no_masks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = planned(light_variants={"validation_variants": 1}).forecast.submission(gpus=0)
    stages = {job.work.stage for job in jobs if job.work.split == VALIDATION_VARIANTS}
    assert stages == {"crop", "infer", "merge", "fuse"}


def test_folds_are_trained_and_their_photographs_get_maps_and_no_masks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = planned(crossfit={"folds": 3}).forecast.submission(gpus=0)
    plain = planned().forecast.submission(gpus=0)
    categories = {job.work.category for job in jobs} - {""}
    named = {job.name.strip(): job for job in jobs}
    assert len(named) == len(jobs) == len(plain) + len(categories) * (3 + len(("crop", "infer", "merge", "fuse")))
    assert sum(job.work.stage == "train" for job in jobs) == 4 * len(categories)
    mapped = {name.split()[0] for name, job in named.items() if job.work.split == CROSSFIT_TRAIN}
    assert mapped == {"crop", "infer", "merge", "fuse"}
    needs = {name.split()[0] for name in named["infer washers train_crossfit inp_former"].needs}
    assert needs == {"train_fold", "crop"}
    assert {name.split()[0] for name in named["infer washers validation inp_former"].needs} == {"train", "crop"}
    trained = one(plain, "train", category="washers")
    folds = [job.work for name, job in named.items() if name.startswith("train_fold washers")]
    assert [(work.training, work.photographs) for work in folds] == [(trained.training, trained.photographs)] * 3
    scored = one(jobs, "infer", category="washers", split=CROSSFIT_TRAIN)
    assert scored.photographs == scored.training == trained.training


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"crossfit": {"folds": 9}, "demo": {"train": 8}},
            "folds 9 needs at least 9 training photographs, there are 8",
        ),
        ({"crossfit": {"folds": 2}, "demo": {"train": 1}}, "there are 1; add some, or choose 0 for none"),
        ({"crossfit": {"folds": 1}}, "crossfit.folds: a single fold leaves nothing to train with"),
        ({"crossfit": {"folds": 11}}, "crossfit.folds: .* less than or equal to 10"),
        ({"binarize": {"normal": "train_crossfit"}}, "normal train_crossfit: needs crossfit.folds of at least 2"),
        ({"binarize": {"normal": "validation_and_crossfit"}}, "needs crossfit.folds of at least 2"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_anything_runs(overlay, message):
    with pytest.raises(ConfigError, match=message):
        planned(**overlay)


@pytest.mark.parametrize(
    ("normal", "images"), [("validation", 5), ("train_crossfit", 7), ("validation_and_crossfit", 12)]
)
def test_a_promise_counts_the_normal_images_that_thresholds_come_from(normal, images):
    def plan(alpha):
        conformal = {"enabled": True, "alpha": alpha}
        overlay = {"demo": {"train": 9, "validation": 5}, "binarize": {"normal": normal, "conformal": conformal}}
        data = yaml.safe_load((ROOT / "config.yaml").read_text())["data"] | {"train_images": 7}
        return planned(crossfit={"folds": 2}, data=data, **overlay)

    plan(1.0 / (images + 1))
    with pytest.raises(ConfigError, match=f"needs at least {images + 1} normal images, there are {images}; add some"):
        plan(1.0 / (images + 2))


def test_kept_features_make_later_steps_cheaper(jobs):
    train = one(jobs, "train", category="washers")
    seconds = work_seconds(train, 1.0, TIMES)
    assert 400 * 0.4 < seconds < 400 * 0.8
    without = replace(TIMES, first_s={"reconstruction": 0.4})
    assert work_seconds(train, 1.0, without) == pytest.approx(160.0)


def test_a_slower_machine_takes_longer_where_nothing_was_measured(jobs):
    crop = one(jobs, "crop", category="washers", split="train")
    assert work_seconds(crop, 2.0) == pytest.approx(2 * work_seconds(crop, 1.0))
    assert start_seconds(crop, 2.0) == pytest.approx(2 * start_seconds(crop, 1.0))
    assert math.isnan(work_seconds(one(jobs, "train"), 1.0))
    assert start_seconds(one(jobs, "infer"), 5.0, TIMES) == 4.0


MEASURED_DEMO_S = {
    "demo": 36.3,
    "crop": 6.9,
    "train": 390.7,
    "infer": 152.8,
    "calibrate": 1.4,
    "binarize": 1.6,
    "preview": 12.2,
    "evaluate": 6.3,
    "package": 2.4,
    "report": 4.9,
}
"""CPU seconds of a finished run of the demo, from its provenance, and below its size without the logs in MB."""
MEASURED_DEMO_MB = 1337


def test_the_forecast_of_the_demo_is_near_what_was_measured(jobs):
    times = {detector_key(job.work): TIMES for job in jobs if job.work.stage == "train"}
    forecast = forecast_run(jobs, MACHINE, times, cores=2, gpus=0)
    told = {stage.stage: stage.work_s for stage in forecast.stages}
    assert sum(told.values()) == pytest.approx(627, rel=0.3)
    for stage in ("demo", "crop", "preview", "report", "evaluate"):
        assert told[stage] == pytest.approx(MEASURED_DEMO_S[stage], rel=0.3), stage
    assert forecast.disk_mb == pytest.approx(MEASURED_DEMO_MB, rel=0.3)
    assert forecast.wall_s == pytest.approx(sum(stage.start_s + stage.work_s for stage in forecast.stages) / 2, rel=0.1)
    assert forecast.left_s == pytest.approx(forecast.wall_s)


def test_jobs_with_networks_get_more_threads_beside_a_gpu_and_are_no_faster_for_them(jobs):
    beside_gpu = planned().forecast.submission(gpus=1)
    times = {detector_key(job.work): TIMES for job in jobs if job.work.stage == "train"}
    assert {job.threads for job in jobs if job.gpus} == {1}
    assert {(job.work.stage, job.threads) for job in beside_gpu if job.gpus} == {("train", 4), ("infer", 3)}
    (train,) = (one for one in forecast_run(beside_gpu, MACHINE, times, 8, 1).stages if one.stage == "train")
    assert train.work_s == forecast_run(jobs, MACHINE, times, 8, 0).stages[4].work_s
    assert forecast_run(beside_gpu, MACHINE, times, 8, 1).wall_s > train.work_s


def test_what_is_there_is_not_counted_as_left(jobs, tmp_path):
    for job in jobs:
        if job.work.stage in ("demo", "index", "truth", "crop"):
            job.outputs[0].parent.mkdir(parents=True, exist_ok=True)
            job.outputs[0].touch()
    times = {detector_key(job.work): TIMES for job in jobs if job.work.stage == "train"}
    forecast = forecast_run(jobs, MACHINE, times, cores=2, gpus=0)
    crop = next(stage for stage in forecast.stages if stage.stage == "crop")
    assert (crop.jobs, crop.done, crop.left_s) == (10, 10, 0.0)
    assert forecast.left_s < forecast.wall_s


def test_the_table_names_every_stage_and_what_was_not_measured(jobs, tmp_path):
    forecast = forecast_run(jobs, MACHINE, {}, cores=2, gpus=0)
    text = forecast_text(forecast, ["disk: out needs more"], MemoryLimit(2000.0, "there are"), load=0.5)
    for stage in {job.work.stage for job in jobs}:
        assert f"\n{stage} " in text
    assert "not measured on a GPU" in text
    assert "2 jobs side by side may take 3.4 GB; with --resources mem_mb=2000" in text
    assert "side by side" not in forecast_text(forecast, [], MemoryLimit(8000.0, "there are"), load=0.5)
    assert "it does not fit:\n  - disk: out needs more" in text
    assert "not measured" in next(line for line in text.splitlines() if line.startswith("train"))
    write_forecast(tmp_path / "plan.json", forecast, [])
    assert len(json.loads((tmp_path / "plan.json").read_text())["stages"]) == len(forecast.stages)


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "8 s"), (95, "1 min 35 s"), (7320, "2 h 2 min"), (math.nan, "not measured")]
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_this_machine_is_measured(tmp_path):
    speed = measure_machine(tmp_path)
    assert speed.slowness > 0
    assert speed.disk_mb_s > 0
    assert not list(tmp_path.iterdir())


def test_the_smallest_gpu_counts(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint('81559\\n16384')\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_memory_mb() == pytest.approx(16384 * 1.048576)
    tool.unlink()
    assert gpu_memory_mb() is None


def test_steps_of_a_real_detector_are_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    small = {"layout": "even", "window_px": 64, "overlap": 0.25, "input_px": 64}
    detector = {**raw["detectors"]["inp_former"], "weights": "random", "batch_size": 2, "max_steps": 3}
    jobs = planned(grids={"tile": small}, detectors={"inp_former": detector}).forecast.submission(gpus=0)
    ((key, times),) = measure_detectors([job.work for job in jobs], "cpu").items()
    trained = [job.work for job in jobs if job.work.stage == "train"]
    assert key == detector_key(trained[0]) == detector_key(trained[1])
    assert times.steps == {work.training.tiles(work.grid): {"reconstruction": 3} for work in trained}
    assert times.again_s["reconstruction"] > 0
    assert times.first_s["reconstruction"] > 0
    assert times.score_s > 0
    assert times.peak_mb > 200
    assert set(asdict(times)) == {name.name for name in StepTimes.__dataclass_fields__.values()}
