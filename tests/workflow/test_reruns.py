"""What a change makes Snakemake run again."""

import shutil
from collections import Counter

import pytest
from tests.workflow.project import CATEGORIES, ROOT, SPLITS, draw, draw_mask

from seamark.manifests.base import read_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.masks import MasksManifest

LATE_STAGES = ("binarize", "refine", "verdict", "preview")


def late_jobs(category, splits=SPLITS):
    jobs = Counter((stage, category, split) for stage in LATE_STAGES for split in splits)
    return jobs + Counter([("evaluate", category, None), ("package", None, None), ("report", None, None)])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_finished_run_plans_nothing(project):
    assert project.planned() == Counter()


@pytest.mark.parametrize("rule", [{"mean_std": {"k": 3.5}}, {"quantile": {"enabled": True, "q": 0.98765}}])
def test_one_threshold_of_one_category_replans_the_late_stages_of_that_category_only(project, rule):
    project.configure({"overrides": {"bolt": {"binarize": rule}}})
    assert project.planned() == late_jobs("bolt")


def test_another_detector_for_one_category_is_one_line_and_trains_that_category_only(project):
    shutil.copytree(ROOT / "presets", project.folder / "presets")
    project.configure({"overrides": {"bolt": {"fuse": {"members": ["aand"]}}}})
    planned = project.planned("masks")
    assert {category for _, category, _ in planned} <= {"bolt", None}
    assert ("train", "bolt", None) in planned


def test_one_threshold_of_one_split_replans_that_split_only(project):
    project.configure({"overrides": {"bolt/test_private": {"binarize": {"mean_std": {"k": 3.5}}}}})
    assert project.planned() == late_jobs("bolt", ("test_private",))


def test_thresholds_from_variants_of_validation_train_nothing_anew(project):
    project.configure({"light_variants": {"validation_variants": 2}, "binarize": {"normal": "validation_variants"}})
    planned = project.planned("masks")
    for category in CATEGORIES:
        new = {(stage, category) for stage in ("crop", "infer", "merge", "fuse")}
        assert {job[:2] for job in planned if job[2] is None and job[1] == category} >= new | {("calibrate", category)}
    assert not any(job[0] == "train" for job in planned)
    project.snakemake("out/tiny/60_coarse/bolt/test_private.json")
    variants, validation = (
        read_manifest(project.out / f"50_calibration/bolt/{split}.json", CalibrationManifest).statistics
        for split in ("validation_variants", "validation")
    )
    assert [image.id for image in variants.images] == [
        f"{image.id}~{number}" for image in validation.images for number in (1, 2)
    ]
    masks = read_manifest(project.out / "60_coarse/bolt/test_private.json", MasksManifest)
    (threshold,) = masks.masks[0].thresholds
    assert (threshold.value, threshold.normal) == (variants.mean + 3.0 * variants.std, "validation_variants")


def test_a_deleted_output_is_made_again_with_what_follows(project):
    deleted = project.out / "60_coarse/cloth/test_private.json"
    before = deleted.read_bytes()
    deleted.unlink()
    assert project.planned() == late_jobs("cloth", ("test_private",))
    project.snakemake("submission")
    assert deleted.read_bytes() == before
    assert project.planned() == Counter()


@pytest.mark.parametrize(
    ("target", "deleted", "job"),
    [
        ("submission", "90_eval/cloth.json", ("evaluate", "cloth", None)),
        ("evaluation", "70_refined/cloth/test_private.json", ("refine", "cloth", "test_private")),
        ("verdicts", "75_verdicts/cloth/test_private.json", ("verdict", "cloth", "test_private")),
        ("masks", "40_maps/inp_former/cloth/test_private.json", ("merge", "cloth", "test_private")),
        ("previews", "50_calibration/cloth/validation.json", ("calibrate", "cloth", "validation")),
        ("maps", "20_models/inp_former/cloth/fit.json", ("train", "cloth", None)),
        ("models", "10_tiles/tile/cloth/train.json", ("crop", "cloth", "train")),
    ],
)
def test_every_target_makes_what_is_missing_on_its_way(project, target, deleted, job):
    """A job that was killed has lost its old outputs; what follows is older than its other inputs, yet out of date."""
    (project.out / deleted).unlink()
    assert project.planned(target)[job] == 1


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("src/seamark/masks/binarize.py", '"""', '"""Said differently: '),
        ("src/seamark/maps/merging.py", "\nimport ", "\n# Arrays, geometry and settings.\nimport "),
        ("stages/train.py", "\ndef main", "\n# The only function.\ndef main"),
        ("src/seamark/running/progress.py", " s left", " seconds left"),
        ("src/seamark/files/image_checks.py", "convert the file", "make it one of 8 bits"),
        ("src/seamark/weights/published.py", "Apache-2.0", "Apache License 2.0"),
        ("src/seamark/learning/loop.py", "resuming after", "going on after"),
        ("src/seamark/networks/vision_transformer.py", "_REGISTERS = 4", "_REGISTERS = 5"),
        ("src/seamark/detectors/feature_bank.py", "VECTORS = 16", "VECTORS = 8"),
    ],
)
def test_what_decides_no_result_reruns_nothing(project, file, old, new):
    """Comments, texts, the runner, networks and detectors of other runs; test_code_reruns.py has many more edits."""
    edit(project.folder / file, old, new)
    assert project.planned() == Counter()


def test_other_published_weights_retrain_the_detector(project):
    edit(project.folder / "src/seamark/backbones/table.py", "579344248a93", "000000000000")
    planned = project.planned()
    assert planned["train", "bolt", None] == planned["train", "cloth", None] == 1
    assert not any(job[0] in ("index", "crop") for job in planned)


def test_touching_every_source_file_reruns_nothing(project):
    for path in [*(project.folder / "src").rglob("*.py"), *(project.folder / "stages").glob("*.py")]:
        path.touch()
    assert project.planned() == Counter()


def test_editing_the_binarization_reruns_no_training(project):
    with (project.folder / "src/seamark/masks/binarize.py").open("a") as stream:
        stream.write("\nEDITED = 1\n")
    assert project.planned() == late_jobs("bolt") + Counter(
        {job: 1 for job in late_jobs("cloth") if job[0] not in ("package", "report")}
    )


def test_editing_the_detector_retrains_it(project):
    with (project.folder / "src/seamark/detectors/inp_former/detector.py").open("a") as stream:
        stream.write("\nEDITED = 1\n")
    planned = project.planned()
    assert planned["train", "bolt", None] == planned["train", "cloth", None] == 1
    assert not any(job[0] in ("index", "crop") for job in planned)


def test_a_changed_training_photograph_is_noticed(project):
    draw(project.folder / "photographs/bolt/train/good/000_regular.png", 4711, defect=False)
    planned = project.planned()
    assert {job for job in planned if job[0] in ("index", "train")} == {
        ("index", "bolt", "train"),
        ("train", "bolt", None),
    }


def photographs(project, *numbers):
    """Draw photographs of a test split, with their truth."""
    for number in numbers:
        draw(project.folder / f"photographs/bolt/test_private/{number:03d}_regular.png", 4711 + number, defect=True)
        draw_mask(project.folder / f"truth/bolt/test_private/{number:03d}_mask.png", defect=True)


def remove(project):
    for file in ("photographs/bolt/test_private/001_regular.png", "truth/bolt/test_private/001_mask.png"):
        (project.folder / file).unlink()


@pytest.mark.parametrize(
    "change",
    [lambda project: photographs(project, *range(2, 12)), lambda project: photographs(project, 1), remove],
    ids=["added", "replaced", "removed"],
)
def test_other_photographs_of_a_test_split_are_scored_by_the_model_that_is_there(project, change):
    change(project)
    stages = ("index", "truth", "crop", "infer", "merge", "fuse", "calibrate", *LATE_STAGES)
    of_split = Counter((stage, "bolt", "test_private") for stage in stages)
    assert project.planned() == of_split + late_jobs("bolt", ()) + Counter([("inventory", "bolt", None)])


def move_photographs(project):
    (project.folder / "photographs").rename(project.folder / "moved")
    project.configure({"data": {"root": "moved"}})


OF_TRUTH = Counter([("evaluate", "bolt", None), ("report", None, None)])


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        (
            lambda project: draw_mask(
                project.folder / "photographs/bolt/test_public/ground_truth/bad/000_regular_mask.png", defect=False
            ),
            OF_TRUTH + Counter([("truth", "bolt", "test_public"), ("preview", "bolt", "test_public")]),
        ),
        (
            lambda project: draw_mask(project.folder / "truth/bolt/test_private/001_mask.png", defect=False),
            OF_TRUTH + Counter([("truth", "bolt", "test_private"), ("preview", "bolt", "test_private")]),
        ),
        (move_photographs, Counter([("report", None, None)])),
        (lambda project: project.configure({"data": {"image_px_max": 10**6}}), Counter([("report", None, None)])),
        (
            lambda project: project.configure({"package": {"map_scale": 0.5}}),
            Counter([("package", None, None), ("report", None, None)]),
        ),
    ],
    ids=["public mask", "private mask", "place", "limit", "package"],
)
def test_only_what_reads_a_thing_is_made_again(project, change, jobs):
    change(project)
    assert project.planned() == jobs


def test_identical_manifests_stop_the_next_call(project):
    """An early stage made again with the same result: what follows is up to date in the next call."""
    project.snakemake("out/tiny/00_index/bolt/train.json", options=("--force",))
    assert project.planned() == Counter()


def test_only_the_named_stage_of_one_category_runs(project):
    result = project.snakemake("out/tiny/60_coarse/bolt/test_private.json", options=("--force",))
    assert result.stderr.count("Thresholding the maps") == 1
    assert "Merging" not in result.stderr
