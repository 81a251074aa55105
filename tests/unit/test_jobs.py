"""Jobs that the variations of a run share, setting by setting."""

from itertools import product

import pytest

from seamark.flow import STAGES
from seamark.planning.jobs import RunJobs, StageJob
from seamark.planning.teachers import PlannedTeachers
from seamark.planning.variations import Variation
from seamark.registry import DETECTORS
from seamark.settings.config import deep_merge, load_config

CATEGORIES = ("bolt", "cloth")
SPLITS = ("validation", "test_private")
RUN = {
    "run": "base",
    "data": {"splits": SPLITS},
    "grids": {"tile": {"window_px": 64, "input_px": 64}, "other": {"layout": "whole", "input_px": 64}},
    "detectors": {"feature_bank": {"grid": "tile"}, "urd": {"grid": "other"}},
    "fuse": {"members": ["feature_bank", "urd"]},
    "crossfit": {"folds": 2},
    "refine": {"method": "grabcut"},
}
EVERYWHERE = {"fuse", "calibrate", "binarize", "refine", "verdict", "pack", "preview", "evaluate"}
LATE = {"binarize", "refine", "verdict", "pack", "preview", "evaluate"}
LAST = {"refine", "verdict", "pack", "preview", "evaluate"}
UNREFINED = {"refine": {"method": "none"}}


def shared(*overlays):
    """The run and one variation per overlay, named v0, v1, ..."""
    run = Variation("base", "base", RUN, PlannedTeachers(load_config(RUN)))
    rows = [run.varied(f"v{number}", deep_merge(RUN, overlay), "") for number, overlay in enumerate(overlays)]
    return RunJobs([run, *rows], CATEGORIES)


VARYING = {name: stage for name, stage in STAGES.items() if stage.varies}


def all_jobs(members=("feature_bank", "urd")):
    grids = {"feature_bank": "tile", "urd": "other"}
    for category in CATEGORIES:
        for name, stage in VARYING.items():
            more = {"crop": ("train", "train_crossfit")} | dict.fromkeys(
                ("infer", "merge", "fuse", "calibrate"), ("train_crossfit",)
            )
            splits = (*SPLITS, *more.get(name, ())) if "split" in stage.wildcards else (None,)
            folds = (1, 2) if "fold" in stage.wildcards else (None,)
            for split, fold in product(splits, folds):
                for member in members if {"detector", "grid"} & {*stage.wildcards} else (None,):
                    detector = member if "detector" in stage.wildcards else None
                    yield StageJob(name, category, split, detector, grids[member] if name == "crop" else None, fold)


def changed(overlay):
    """Jobs that a variation does not share with the run."""
    stages = shared(overlay)
    return {job for job in all_jobs() if stages.owner("base+v0", job) != "base"}


def of(stages, **wildcards):
    """All jobs of stages with certain wildcards, where a stage has them."""
    return {
        job
        for job in all_jobs()
        if job.stage in stages and all(getattr(job, name) in {value, None} for name, value in wildcards.items())
    }


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ({"fuse": {"how": "max"}}, of(EVERYWHERE)),
        ({"calibrate": {"quantiles": [0.5]}}, of({"calibrate"} | LATE)),
        ({"binarize": {"mean_std": {"k": 4.0}}}, of(LATE)),
        (UNREFINED, of(LAST)),
        ({"verdict": {"gate": True}}, of(LAST - {"refine"})),
        ({"preview": {"panel_px": 100}}, of({"preview"})),
        ({"evaluate": {"resamples": 10}}, of({"evaluate"})),
        ({"ranking": {"fit": "quantiles"}}, of({"evaluate"})),
        ({"ranking": {"low": 0.01}}, set()),
        ({"merge": {"scale": 0.5}}, of({"merge"} | EVERYWHERE)),
        (
            {"detectors": {"urd": {"steps": 7}}},
            of({"train", "train_fold", "infer", "merge"}, detector="urd") | of(EVERYWHERE),
        ),
        (
            {"grids": {"tile": {"overlap": 0.2}}},
            of({"crop"}, grid="tile")
            | of({"train", "train_fold", "infer", "merge"}, detector="feature_bank")
            | of(EVERYWHERE),
        ),
        (
            {"crossfit": {"folds": 3}},
            of({"train_fold"} | LATE) | of({"infer", "merge", "fuse", "calibrate"}, split="train_crossfit"),
        ),
        ({"overrides": {"bolt": UNREFINED}}, of(LAST, category="bolt")),
        (
            {"overrides": {"bolt/test_private": {"binarize": {"mean_std": {"k": 9.0}}}}},
            of(LATE - {"pack"}, category="bolt", split="test_private"),
        ),
        ({"overrides": {"*/validation": UNREFINED}}, of(LAST - {"pack"}, split="validation")),
        ({"detectors": {"constant": {}}}, set()),
        ({}, set()),
    ],
)  # fmt: skip
def test_a_setting_changes_the_stages_behind_it_and_no_other(overlay, expected):
    assert changed(overlay) == expected


def test_variations_share_with_each_other_what_the_run_has_not():
    stages = shared({"merge": {"scale": 0.5}}, {"merge": {"scale": 0.5}, "refine": {"method": "none"}})
    job = StageJob("merge", "bolt", "test_private", "urd")
    assert stages.owner("base+v1", job) == "base+v0"
    assert stages.owner("base+v1", StageJob("infer", "bolt", "test_private", "urd")) == "base"
    assert stages.owner("base+v1", StageJob("refine", "bolt", "test_private")) == "base+v1"


def test_a_run_never_owns_the_work_of_a_detector_that_it_does_not_use():
    """A block under detectors that is no member of the run is the variation's own."""
    overlay = {"detectors": {"aurd": {"grid": "other"}}, "fuse": {"members": ["aurd"]}}
    run = Variation(
        "base", "base", deep_merge(RUN, {"detectors": overlay["detectors"]}), PlannedTeachers(load_config(RUN))
    )
    stages = RunJobs([run, run.varied("v", deep_merge(RUN, overlay), "")], CATEGORIES)
    assert stages.owner("base+v", StageJob("train", "bolt", detector="aurd")) == "base+v"
    assert stages.owner("base+v", StageJob("crop", "bolt", "train", grid="other")) == "base"


def test_a_block_of_another_type_is_other_work_even_where_its_settings_are_the_same(monkeypatch):
    monkeypatch.setitem(DETECTORS, "another_bank", DETECTORS["feature_bank"])
    raw = deep_merge(RUN, {"detectors": {"bank": {"type": "feature_bank"}}, "fuse": {"members": ["bank"]}})
    run = Variation("base", "base", raw, PlannedTeachers(load_config(raw)))
    rows = [
        run.varied(name, deep_merge(raw, {"detectors": {"bank": {"type": kind}}}), "")
        for name, kind in {"same": "feature_bank", "other": "another_bank"}.items()
    ]
    stages = RunJobs([run, *rows], CATEGORIES)
    train = StageJob("train", "bolt", detector="bank")
    assert [stages.owner(row.place, train) for row in rows] == ["base", "base+other"]


def test_a_grid_of_the_run_that_only_the_variation_uses_is_cut_at_the_variation():
    raw = deep_merge(RUN, {"fuse": {"members": ["feature_bank"]}})
    run = Variation("base", "base", raw, PlannedTeachers(load_config(raw)))
    varied = run.varied("v", deep_merge(raw, {"fuse": {"members": ["urd"]}}), "")
    assert (
        RunJobs([run, varied], CATEGORIES).owner("base+v", StageJob("crop", "bolt", "train", grid="other")) == "base+v"
    )


def test_a_changed_teacher_changes_the_detector_that_learns_from_it(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / "bolt" / split / "good").mkdir(parents=True)
        (tmp_path / "bolt" / split / "good/000_regular.png").touch()
    efficientad = {"detectors": {"efficientad": {"grid": "tile"}}, "fuse": {"members": ["efficientad"]}}
    raw = deep_merge(RUN, efficientad | {"data": {"root": str(tmp_path)}})
    run = Variation("base", "base", raw, PlannedTeachers(load_config(raw)))
    overlay = {"detectors": {"efficientad": {"distill": {"steps": 3}}}}
    stages = RunJobs([run, run.varied("v", deep_merge(raw, overlay), "")], CATEGORIES)
    assert stages.owner("base+v", StageJob("train", "bolt", detector="efficientad")) == "base+v"
    assert stages.owner("base+v", StageJob("crop", "bolt", "train", grid="tile")) == "base"


def test_photographs_that_are_held_out_are_scored_by_the_only_model():
    """Only the training photographs are cut anew, those to learn from and those to score."""
    stages = shared({"crossfit": {"folds": 0, "holdout_every": 4}})
    read = stages.read_by("base+v0", StageJob("infer", "bolt", "train_crossfit", "urd"))
    assert [one for one in read if one.stage.startswith("train")] == [StageJob("train", "bolt", detector="urd")]
    for split, place in {"train": "base+v0", "train_crossfit": "base+v0", "test_private": "base"}.items():
        assert stages.owner("base+v0", StageJob("crop", "bolt", split, grid="other")) == place


def test_cross_fitted_maps_come_from_the_models_of_all_folds_and_from_no_other():
    stages = shared({"crossfit": {"folds": 0}})

    def models(place, split):
        jobs = [StageJob("infer", "bolt", split, "urd")]
        return [(one.stage, one.fold) for job in jobs for one in stages.read_by(place, job) if one.stage != "crop"]

    assert models("base", "train_crossfit") == [("train_fold", 1), ("train_fold", 2)]
    assert models("base", "test_private") == [("train", None)]
    assert models("base+v0", "train_crossfit") == []
    behind = {
        place: [job for job in stages.behind(place, ["preview", "evaluate"]) if job.category == "bolt"]
        for place in ("base", "base+v0")
    }
    found = {place: [job for job in jobs if job.stage == "train_fold"] for place, jobs in behind.items()}
    assert [len(jobs) for jobs in found.values()] == [4, 0]
    assert "train_crossfit" not in {job.split for job in behind["base+v0"]}
    assert not any(job.stage in LATE and job.split == "train_crossfit" for job in behind["base"])
