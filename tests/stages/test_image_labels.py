"""Categories whose folders say more than their masks, from the truth to the pages: every stage that reads the truth."""

import csv
import io
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from tests.stages.small_run import SPLITS, SmallRun, stage
from tests.stages.test_comparison_stage import compare, entry, evaluate

from seamark.files.images import write_mask
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.masks import MasksManifest, MaskWarning
from seamark.planning.outcome import print_outcome
from seamark.running.job import Job

EMPTY, MARKED = "bad/001_regular", "good/000_regular"
MADE = {
    "evaluate": ["out/run/90_eval/grey.json"],
    "binarize": ["out/run/60_coarse/grey/test_public.json", "out/run/60_coarse/grey/test_private.json"],
}
OF_PIXELS = ("auc_pro", "pixel_auroc", "pixel_ap", "iap", "iap_at_recall", "coarse_seg_f1", "refined_seg_f1")
OF_PIXELS += ("oracle_seg_f1", "recall_below_100_px")
CASES = {
    "no masks": {"bad/001_regular": "no mask", "bad/003_overexposed": "no mask"},
    "odd masks": {EMPTY: "empty mask", MARKED: "mask of a good image"},
}


def finished(folder, masks):
    """A run of one category: its truth is gathered, scored, drawn and reported by the stages."""
    run = SmallRun(folder, categories=("grey",))
    path = run.out / "00_index/grey/test_public.json"
    index = read_manifest(path, IndexManifest)
    images = [add_mask(run, image, masks) for image in index.images]
    write_manifest(path, index.model_copy(update={"images": tuple(images)}))
    truth, params = path.with_suffix(".truth.json"), {"root": str(run.data), "truth_root": None}
    stage("truth")(Job.for_test("truth", {"index": path}, {"manifest": truth}, params))
    evaluate(run)
    run.lists["preview"] = [run.preview("grey", split) for split in SPLITS]
    return run


def add_mask(run, image, masks):
    """Give an image of the public split its mask: the right one, none for a bad one, or a pixel for a good one."""
    if image.split != "test_public" or not masks or (image.label == "good" and image.id != MARKED):
        return image
    mask = np.zeros((image.height, image.width), bool)
    if image.id != EMPTY:
        mask[20:25, 30:35] = True
    file = f"grey/test_public/ground_truth/{image.id}_mask.png"
    (run.data / file).parent.mkdir(parents=True, exist_ok=True)
    write_mask(run.data / file, mask)
    return image.model_copy(update={"mask": file})


@pytest.mark.parametrize("case", CASES)
def test_labels_decide_image_scores_and_only_masks_that_agree_decide_the_others(case, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "seamark")
    run, left_out = finished(tmp_path, case == "odd masks"), CASES[case]
    found = read_manifest(run.out / "90_eval/grey.json", EvaluationManifest)
    assert {image.id: image.left_out for image in found.images if image.left_out} == left_out
    assert all(image.bad == image.id.startswith("bad/") for image in found.images)
    whole = found.subsets[0]
    assert (whole.images, whole.bad_images, whole.left_out_images) == (4, 2, 2)
    assert (whole.image_auroc, whole.coarse.class_f1, whole.class_f1_floor) == (1.0, 1.0, pytest.approx(2 / 3))
    said = caplog.text
    assert ("no masks; 2 bad images" in said) == (case == "no masks")
    assert all(name in said for name in left_out) == (case == "odd masks")

    text, summary = run.report(run.check(), plots=case == "no masks")
    row = next(csv.DictReader(io.StringIO(summary.read_text())))
    assert row["left_out_images"] == "2"
    assert all((row[name] == "") == (case == "no masks") for name in OF_PIXELS)
    assert "grey: 2 of 4 images are left out of the scores of pixels and defects" in text
    assert all((f"{name}: {why}" in text) == (case == "odd masks") for name, why in left_out.items())
    script = (run.out / "report/gallery/images/grey.js").read_text()
    shown = json.loads(script.removeprefix("seamark.receive(").removesuffix(");\n"))["images"]
    assert {one["id"]: one["label"] for one in shown if "/" in one["id"]} == {
        image.id: "bad" if image.bad else "good" for image in found.images
    }

    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    nothing = {
        "expected": dict,
        "settings": lambda _: lambda _: {},
        "made": lambda stage, split="": lambda _: MADE[stage],
    }
    coarse = run.path("60_coarse", "grey", "test_public")
    warning = MaskWarning(text="grey: look at 000", photograph="000", photograph_split="validation")
    warned = read_manifest(coarse, MasksManifest).model_copy(update={"warnings": (warning,)})
    for path in (coarse, run.path("60_coarse", "grey", "test_private")):
        write_manifest(path, warned)
    print_outcome(SimpleNamespace(name="run", out="out/run", **nothing), stream)
    assert "grey test_public: 2 of 4 images" in stream.getvalue()
    assert stream.getvalue().count("\nwarning: grey: look at 000\n") == 1


def test_runs_without_masks_are_compared_by_scores_of_images(tmp_path):
    run = finished(tmp_path / "one", masks=False)
    entries = [entry(run, name, "", ["grey"]) for name in ("one", "again")]
    page = compare(tmp_path / "page", entries, run).read_text()
    assert "2 bad; 2 without masks to score, in scores of images only" in page
    row = next(csv.DictReader((tmp_path / "page/table.csv").open()))
    assert (row["left_out_images"], row["auc_pro"], float(row["image_auroc"])) == ("2", "", 1.0)
