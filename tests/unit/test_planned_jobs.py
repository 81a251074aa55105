"""Jobs of the target ``submission``, and what is refused for want of photographs before any of them runs."""

from pathlib import Path

import pytest
import yaml

from seamark.errors import ConfigError, DataError
from seamark.planning.plan import Plan
from seamark.settings.crossfit import CROSSFIT_TRAIN
from seamark.settings.light_variants import VALIDATION_VARIANTS

ROOT = Path(__file__).parents[2]
MAPPED = {"crop", "infer", "merge", "fuse", "calibrate"}
"""Stages that work on photographs that get maps and no masks."""


def planned(**overlay):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    return Plan({**raw, "fuse": {"members": ["inp_former"]}, "light_variants": {}, "binarize": {}, **overlay}, ROOT)


def jobs_of(**overlay):
    return planned(**overlay).forecast.submission()


@pytest.fixture(autouse=True)
def nothing_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_variants_of_validation_photographs_get_maps_and_no_masks():
    jobs = jobs_of(light_variants={"validation_variants": 2})
    assert {job.stage for job in jobs if job.split == VALIDATION_VARIANTS} == MAPPED


def test_folds_are_trained_and_their_photographs_get_maps_and_no_masks():
    plain, jobs = jobs_of(), jobs_of(crossfit={"folds": 3})
    categories = {job.category for job in jobs} - {""}
    assert len({job.outputs for job in jobs}) == len(jobs) == len(plain) + len(categories) * (3 + len(MAPPED))
    assert {job.stage for job in jobs if job.split == CROSSFIT_TRAIN} == MAPPED
    trainings = [job for job in jobs if job.stage == "train" and job.category == "washers"]
    (alone,) = [job for job in plain if job.stage == "train" and job.category == "washers"]
    assert [(job.training, job.photographs) for job in trainings] == [(alone.training, alone.photographs)] * 4
    scored = [job for job in jobs if job.stage == "infer" and job.split == CROSSFIT_TRAIN]
    assert all(job.photographs == job.training for job in scored)


def test_photographs_that_are_held_out_are_scored_and_not_learned_from():
    plain, jobs = jobs_of(), jobs_of(crossfit={"holdout_every": 8}, light_variants={"train_variants": 2})
    for category in {job.category for job in jobs} - {""}:
        (alone,) = [job for job in plain if job.stage == "train" and job.category == category]
        (training,) = [job for job in jobs if job.stage == "train" and job.category == category]
        (scored,) = [job for job in jobs if (job.stage, job.category, job.split) == ("infer", category, CROSSFIT_TRAIN)]
        every = alone.training.count
        assert scored.photographs.count == -(-every // 8)
        assert training.training.count == 3 * (every - scored.photographs.count)


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"crossfit": {"folds": 9}, "demo": {"train": 8}},
            "folds 9 needs at least 9 training photographs, there are 8",
        ),
        ({"crossfit": {"folds": 2}, "demo": {"train": 1}}, "there are 1; add some, or choose 0 for none"),
        ({"crossfit": {"holdout_every": 8}, "demo": {"train": 1}}, "holdout_every 8 leaves nothing to train with"),
        ({"crossfit": {"holdout_every": 8, "folds": 2}}, "set folds to 0 or holdout_every to null"),
        ({"crossfit": {"folds": 1}}, "crossfit.folds: a single fold leaves nothing to train with"),
        ({"crossfit": {"folds": 11}}, "crossfit.folds: expected a whole number, .* at most 10, found 11"),
        ({"binarize": {"normal": "train_crossfit"}}, "normal train_crossfit: needs crossfit.folds of at least 2"),
        ({"binarize": {"normal": "validation_and_crossfit"}}, "needs crossfit.folds of at least 2"),
        ({"binarize": {"normal": "validation_and_variants"}}, "needs light_variants.validation_variants of at least 1"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_anything_runs(overlay, message):
    with pytest.raises(ConfigError, match=message):
        planned(**overlay)


@pytest.mark.parametrize(
    ("normal", "images"),
    [("validation", 5), ("train_crossfit", 7), ("validation_and_crossfit", 12), ("validation_and_variants", 5)],
)
def test_a_promise_counts_the_normal_images_that_thresholds_come_from(normal, images):
    def plan(alpha):
        conformal = {"enabled": True, "alpha": alpha}
        overlay = {"demo": {"train": 9, "validation": 5}, "binarize": {"normal": normal, "conformal": conformal}}
        data = yaml.safe_load((ROOT / "config.yaml").read_text())["data"] | {"train_images": 7}
        variants = {"validation_variants": 1}
        return planned(crossfit={"folds": 2}, light_variants=variants, data=data, **overlay)

    plan(1.0 / (images + 1))
    with pytest.raises(ConfigError, match=f"needs at least {images + 1} normal images, there are {images}; add some"):
        plan(1.0 / (images + 2))


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"data": {"root": "nowhere"}}, r"^nowhere \(looked for in {here}\): the data root does not exist"),
        ({"data": {"root": "root", "truth_root": "none"}}, r"data.truth_root: no folder none \(looked for in {here}\)"),
        (
            {"detectors": {"aand": {"synthesis": {"texture_folder": "dtd"}}}, "fuse": {"members": ["aand"]}},
            r"detectors.aand.synthesis.texture_folder: no folder dtd \(looked for in {here}\)",
        ),
        (
            {
                "detectors": {"efficientad": {"distill": {"image_folder": "/none"}}},
                "fuse": {"members": ["efficientad"]},
            },
            r"detectors.efficientad.distill.image_folder: no folder /none; correct the path, or set it to null",
        ),
    ],
)
def test_a_folder_that_is_missing_is_named_with_the_place_where_it_was_looked_for(overlay, message):
    for split in ("train/good", "validation/good", "test_public/good", "test_private", "test_private_mixed"):
        (Path("root/woven") / split).mkdir(parents=True)
        (Path("root/woven") / split / "000.png").touch()
    with pytest.raises((ConfigError, DataError), match=message.format(here=Path.cwd())):
        planned(**overlay)
