"""Jobs that a change makes Snakemake run again."""

import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import yaml
from tests.workflow.project import CATEGORIES, CONFIG, OWN_WORDS, ROOT, SPLITS, draw, draw_mask

from seamark.backbones.table import BACKBONES
from seamark.manifests.base import read_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.masks import MasksManifest
from seamark.planning.plan import Plan
from seamark.settings.config import deep_merge

TARGETS = (ROOT / "rules/targets.smk").read_text()
LAST_ON_THE_WAY = {
    "evaluation": "70_refined/cloth/test_private.json",
    "previews": "50_calibration/cloth/validation.json",
    "verdicts": "75_verdicts/cloth/test_private.json",
    "masks": "40_maps/inp_former/cloth/test_private.json",
    "maps": "20_models/inp_former/cloth/fit.json",
    "models": "10_tiles/tile/cloth/train.json",
}
"""A file that each target's own files depend on."""
HARMLESS = (
    ("src/seamark/masks/binarize.py", '"""', '"""Said differently: '),
    ("src/seamark/maps/merging.py", "\nimport ", "\n# Arrays, geometry and settings.\nimport "),
    ("stages/train.py", "\ndef main", "\n# The only function.\ndef main"),
    ("src/seamark/running/progress.py", " s left", " seconds left"),
    ("src/seamark/files/image_checks.py", "convert the file", "make it one of 8 bits"),
    ("src/seamark/weights/published.py", "Apache-2.0", "Apache License 2.0"),
    ("src/seamark/learning/loop.py", "resuming after", "going on after"),
    ("src/seamark/networks/vision_transformer.py", "_REGISTERS = 4", "_REGISTERS = 5"),
    ("src/seamark/detectors/feature_bank.py", "VECTORS = 16", "VECTORS = 8"),
)
"""Edits that decide no result of the run."""
LATE_STAGES = ("binarize", "refine", "verdict", "preview")


def late_jobs(category, splits=SPLITS):
    jobs = Counter((stage, category, split) for stage in LATE_STAGES for split in splits)
    return jobs + Counter([("evaluate", category, None), ("package", None, None), ("report", None, None)])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_one_threshold_replans_the_late_stages_of_its_split_or_category_only(project):
    quantile, deviations = {"quantile": {"enabled": True, "q": 0.98765}}, {"mean_std": {"k": 3.5}}
    project.configure({"overrides": {"bolt/test_private": {"binarize": deviations}, "cloth": {"binarize": quantile}}})
    assert project.planned() == late_jobs("bolt", ("test_private",)) | late_jobs("cloth")


def test_another_detector_for_one_category_is_one_line_and_trains_that_category_only(project):
    shutil.copytree(ROOT / "presets", project.folder / "presets")
    project.configure({"overrides": {"bolt": {"fuse": {"members": ["aand"]}}}})
    planned = project.planned("masks")
    assert {category for _, category, _ in planned} <= {"bolt", None}
    assert ("train", "bolt", None) in planned


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
    project.snakemake("masks")
    assert deleted.read_bytes() == before
    assert project.planned("masks") == Counter()


def test_every_target_asks_for_all_that_is_on_its_way(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    plan = Plan(deep_merge(yaml.safe_load(Path("config.yaml").read_text()), CONFIG), Path())
    targets = dict(re.findall(r'rule (\w+):\n    """[^"]*"""\n    input:\n        run\.on_the_way\("(\w+)"\)', TARGETS))
    assert targets.keys() == LAST_ON_THE_WAY.keys()
    for target, file in LAST_ON_THE_WAY.items():
        assert f"out/tiny/{file}" in plan.on_the_way(targets[target])


def test_a_job_that_lost_its_output_runs_again_though_what_follows_is_there(project):
    """A killed job has lost its old outputs; what follows is older than its other inputs, yet out of date."""
    (project.out / "10_tiles/tile/cloth/train.json").unlink()
    assert project.planned("models")["crop", "cloth", "train"] == 1


def test_what_decides_no_result_reruns_nothing(project):
    """Times, comments, texts, the runner, networks and detectors of other runs; test_code_reruns.py has more edits."""
    for file, old, new in HARMLESS:
        edit(project.folder / file, old, new)
    for path in [*(project.folder / "src").rglob("*.py"), *(project.folder / "stages").glob("*.py")]:
        path.touch()
    assert project.planned() == Counter()


def test_other_published_weights_are_other_code_for_training_alone(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    raw = deep_merge(yaml.safe_load(Path("config.yaml").read_text()), CONFIG)
    job = SimpleNamespace(place="tiny", detector="inp_former", category="bolt", split="train", grid="tile")

    def codes():
        return {stage: Plan(raw, ROOT).code(stage)(job) for stage in ("index", "crop", "train")}

    before, entry = codes(), BACKBONES["efficientnet_lite0"]
    monkeypatch.setitem(BACKBONES, "efficientnet_lite0", replace(entry, weights=replace(entry.weights, sha256="0")))
    assert [stage for stage, code in codes().items() if code != before[stage]] == ["train"]


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


def test_other_photographs_of_a_test_split_are_scored_by_the_model_that_is_there(project):
    """Some are added to one split, in another one is replaced, from a third one is removed."""
    for split, light, numbers in (("test_private", "regular", range(2, 12)), ("test_private_mixed", "mixed", [1])):
        for number in numbers:
            draw(project.folder / f"photographs/bolt/{split}/{number:03d}_{light}.png", 4711 + number, defect=True)
            draw_mask(project.folder / f"truth/bolt/{split}/{number:03d}_mask.png", defect=True)
    for file in ("photographs/cloth/test_private/001_regular.png", "truth/cloth/test_private/001_mask.png"):
        (project.folder / file).unlink()
    changed = (("bolt", "test_private"), ("bolt", "test_private_mixed"), ("cloth", "test_private"))
    stages = ("index", "truth", "crop", "infer", "merge", "fuse", "calibrate", *LATE_STAGES)
    ours = Counter((stage, *one) for stage in stages for one in changed)
    once = Counter(("inventory", category, None) for category in CATEGORIES)
    assert project.planned() == (ours + once) | late_jobs("bolt", ()) | late_jobs("cloth", ())


def test_only_what_reads_masks_or_the_scale_of_maps_is_made_again(project):
    public = "photographs/bolt/test_public/ground_truth/bad/000_regular_mask.png"
    for file in (public, "truth/bolt/test_private/001_mask.png"):
        draw_mask(project.folder / file, defect=False)
    project.configure({"package": {"map_scale": 0.5}})
    of_masks = product(("truth", "preview"), ("bolt",), ("test_public", "test_private"))
    assert project.planned() == Counter(
        [*of_masks, ("evaluate", "bolt", None), ("package", None, None), ("report", None, None)]
    )


def test_where_photographs_lie_and_their_limit_are_only_told_anew(project):
    (project.folder / "photographs").rename(project.folder / "moved")
    project.configure({"data": {"root": "moved", "image_px_max": 10**6}})
    assert project.planned() == Counter([("report", None, None)])


def test_named_files_are_made_alone_and_identical_manifests_stop_the_next_call(project):
    """Stages made again with the same result: what follows is up to date in the next call."""
    made = ("out/tiny/00_index/cloth/train.json", "out/tiny/60_coarse/bolt/test_private.json")
    said = project.snakemake(*made, options=("--force", *OWN_WORDS)).stderr
    assert [said.count(text) for text in ("Listing and checking", "Thresholding the maps", "Merging")] == [1, 1, 0]
    assert project.planned() == Counter()
