"""evaluate as a stage: manifests in, scores of every split and light out."""

import csv
import shutil

import pytest
from tests.indexes import with_labelled_masks
from tests.stages.private_run import SPLITS, Run, image_ids, stage

from seamark.errors import DataError
from seamark.manifests.base import read_manifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.running.job import Job


@pytest.fixture
def toy(tmp_path):
    return Run(tmp_path)


def evaluate(toy, threads, ranking=None):
    refined = [path for path in toy.inputs["masks"] if path.parent.name == "felt"]
    target = toy.folder / "out" / "90_eval" / "felt.json"
    job = Job.for_test(
        "evaluate",
        inputs={
            "index": toy.inputs["index"][:2],
            "truth": toy.inputs["truth"][:2],
            "maps": [path for path in toy.inputs["maps"] if path.parent.name == "felt"],
            "calibration": [path for path in toy.inputs["calibration"] if path.parent.name == "felt"],
            "coarse": refined,
            "refined": refined,
            "verdicts": [path for path in toy.inputs["verdicts"] if path.parent.name == "felt"],
        },
        outputs={
            "manifest": target,
            "curves": target.with_suffix(".curves.csv"),
            "table": target.with_suffix(".verdicts.csv"),
        },
        params={
            "settings": {"fpr_limit": 0.05, "resamples": 30},
            "grids": [{"window_px": 16, "input_px": 8}],
            "ranking": ranking,
            "root": str(toy.folder / "data"),
            "truth_root": str(toy.folder / "truth"),
        },
        threads=threads,
    )
    stage("evaluate")(job)
    return target


def test_evaluate_writes_the_same_manifest_with_any_number_of_threads(toy):
    first = evaluate(toy, 1).read_bytes()
    assert evaluate(toy, 3).read_bytes() == first
    manifest = read_manifest(evaluate(toy, 1), EvaluationManifest)
    assert [(s.split, s.light) for s in manifest.subsets] == [
        ("test_private", "all"),
        ("test_private", "regular"),
        ("test_private_mixed", "all"),
        ("test_private_mixed", "mixed"),
    ]
    assert {s.refined.seg_f1 for s in manifest.subsets} == {1.0}
    assert {s.verdict.bad.true_positive_rate for s in manifest.subsets} == {1.0}
    assert len(manifest.images) == 6
    assert 0.5 < manifest.subsets[0].pixel_auroc < 1
    rows = list(csv.DictReader(evaluate(toy, 1).with_suffix(".verdicts.csv").open(encoding="utf-8")))
    assert [(row["category"], row["split"], row["image"]) for row in rows] == [
        ("felt", split, name) for split in SPLITS for name in image_ids(split)
    ]


def test_labelled_masks_in_a_folder_score_as_their_union(toy):
    before = read_manifest(evaluate(toy, 1), EvaluationManifest)
    for path in toy.inputs["truth"][:2]:
        with_labelled_masks(path, toy.folder / "truth")
    assert read_manifest(evaluate(toy, 1), EvaluationManifest) == before


def test_evaluate_needs_truth_that_agrees(toy):
    shutil.rmtree(toy.folder / "truth" / "felt" / "test_private")
    with pytest.raises(DataError, match=r"000_regular_mask\.png"):
        evaluate(toy, 1)
