"""Cut, train without folds, score: every photograph by a model that has not seen it, and the statistics of its map."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.indexes import write_lists
from tests.stages.test_train_infer import content, train_job, write_tiles

from seamark.files.atomic import file_digest
from seamark.manifests.base import read_manifest
from seamark.manifests.index import ImageRecord
from seamark.manifests.maps import MapsManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.maps.calibration import Calibrations
from seamark.running.job import Job
from seamark.settings.base import PHOTOGRAPHED

ROOT = Path(__file__).parents[2]
SIZE = 32
GRIDS = {"layout": "whole", "input_px": SIZE}
GREYS = {"train": (10, 60, 90, 160, 250), "validation": (100, 120)}
"""Grey value of each photograph, which is all that the detector learns and scores."""
FOLDS = ((0, 1), (2, 3, 4))
BLOCK = {"score": 0.0, "brightness": 1.0}
DETECTOR = {"settings": BLOCK, "detector": "seamark.detectors.constant:Constant", "name": "constant", "code": "c"}


def stage(name):
    namespace = {"__name__": name}
    exec(compile((ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8"), name, "exec"), namespace)
    return namespace["main"]


class Flow:
    """The stages from index to calibration, called by hand below one folder."""

    def __init__(self, folder, variants, holdout=None):
        self.folder, self.variants, self.holdout = folder, variants, holdout
        images = []
        for split, greys in GREYS.items():
            for number, grey in enumerate(greys):
                file = Path(split) / f"{number:03d}.png"
                (folder / split).mkdir(exist_ok=True)
                Image.fromarray(np.full((SIZE, SIZE), grey, np.uint8)).save(folder / file)
                facts = {"file": str(file), "sha256": file_digest(folder / file), "light": "regular", "label": "good"}
                sizes = {"width": SIZE, "height": SIZE, "channels": 1, "mask": None}
                images.append(ImageRecord(id=f"{number:03d}", split=split, **facts, **sizes))
        write_lists(folder, "nut", images)

    def crop(self, split):
        light_variants = {"train_variants": self.variants} if split == "train" else None
        self.run(
            "crop",
            {"index": self.folder / "nut" / f"{PHOTOGRAPHED.get(split, split)}.json"},
            {"manifest": self.path("tiles", split), "tiles": self.path("tiles", split, "npy")},
            {"settings": GRIDS, "root": str(self.folder), "light_variants": light_variants, "holdout": self.holdout},
            split=split,
        )

    def train(self, fold=None):
        inputs = {split: self.path("tiles", split) for split in GREYS}
        model = self.folder / "model" / (f"fold_{fold}" if fold else "")
        self.run(
            "train",
            inputs | {f"{split}_npy": self.path("tiles", split, "npy") for split in GREYS},
            {"manifest": model / "fit.json", "model": model / "model.safetensors"},
            DETECTOR | ({"crossfit": {"folds": 2}} if fold else {}),
            **({"fold": str(fold)} if fold else {}),
        )
        return model

    def infer(self, split, models):
        self.run(
            "infer",
            {
                "model": [model / "fit.json" for model in models],
                "weights": [model / "model.safetensors" for model in models],
                "tiles": self.path("tiles", split),
                "tiles_npy": self.path("tiles", split, "npy"),
            },
            {"manifest": self.path("scores", split), "maps": self.path("scores", split, "npy")},
            DETECTOR,
            split=split,
        )
        return np.load(self.path("scores", split, "npy"))

    def calibrate(self, splits):
        for split in splits:
            tiles, scores = self.path("tiles", split), self.path("scores", split)
            inputs = {"tiles": tiles, "tilemaps": scores, "tilemaps_npy": scores.with_suffix(".npy")}
            self.run("merge", inputs, {"manifest": self.path("maps", split)}, {"settings": {"smooth_sigma_px": 0.0}})
            outputs = {"manifest": self.path("calibrated", split), "histogram": self.path("calibrated", split, "npy")}
            self.run("calibrate", {"maps": self.path("maps", split)}, outputs, {"settings": {"quantiles": [0.5]}})
        return Calibrations(self.path("calibrated", split) for split in splits)

    def path(self, kind, split, suffix="json"):
        return self.folder / kind / f"{split}.{suffix}"

    def run(self, rule, inputs, outputs, params, **wildcards):
        stage(rule)(Job.for_test(rule, inputs, outputs, params, {"category": "nut"} | wildcards))


@pytest.mark.parametrize("variants", [0, 2])
def test_every_photograph_is_scored_by_a_model_that_has_not_seen_it(tmp_path, variants):
    flow = Flow(tmp_path, variants)
    for split in ("train", "train_crossfit", "validation"):
        flow.crop(split)
    models = [flow.train(fold) for fold in (1, 2)]
    scores = flow.infer("train_crossfit", models)
    tiles = np.load(flow.path("tiles", "train", "npy"))
    per_photograph = tiles.reshape(len(GREYS["train"]), 1 + variants, -1).mean(axis=2)
    expected = np.empty(len(GREYS["train"]))
    for model, fold in zip(models, FOLDS, strict=True):
        seen = np.delete(per_photograph, fold, axis=0)
        expected[list(fold)] = (np.array(GREYS["train"])[list(fold)] - seen.mean()) / 255.0
        left_out = read_manifest(model / "fit.json", ModelManifest).left_out
        versions = ["", *(f"~{number}" for number in range(1, variants + 1))]
        assert left_out == tuple(f"{number:03d}{version}" for number in fold for version in versions)
    assert scores.shape[0] == len(expected)
    assert np.abs(scores - expected[:, None, None]).max() < 1e-6
    manifest = read_manifest(flow.path("scores", "train_crossfit"), TilemapsManifest)
    assert (manifest.split, manifest.minimum, manifest.maximum) == ("train_crossfit", scores.min(), scores.max())
    flow.infer("validation", [flow.train()])
    calibrations = flow.calibrate(("validation", "train_crossfit"))
    maps = read_manifest(flow.path("maps", "train_crossfit"), MapsManifest)
    found = calibrations.statistics(maps, "train_crossfit")
    assert [image.id for image in found.images] == [f"{number:03d}" for number in range(5)]
    assert [image.maximum for image in found.images] == pytest.approx(expected, abs=1e-6)
    assert (found.pixels, found.mean, found.std) == pytest.approx((5 * SIZE**2, expected.mean(), expected.std()))


def test_photographs_that_are_held_out_are_scored_by_the_model_of_the_others(tmp_path):
    flow = Flow(tmp_path, 1, holdout=2)
    for split in ("train", "train_crossfit", "validation"):
        flow.crop(split)
    tiles = {split: read_manifest(flow.path("tiles", split), TilesManifest) for split in ("train", "train_crossfit")}
    assert [image.id for image in tiles["train_crossfit"].images] == ["000", "002", "004"]
    assert [image.id for image in tiles["train"].images] == ["001", "001~1", "003", "003~1"]
    scores = flow.infer("train_crossfit", [flow.train()])
    learned = np.load(flow.path("tiles", "train", "npy")).mean()
    expected = (np.array(GREYS["train"])[::2] - learned) / 255.0
    assert np.abs(scores - expected[:, None, None]).max() < 1e-6


def test_the_model_of_all_photographs_says_nothing_of_folds(tmp_path):
    flow = Flow(tmp_path, 0)
    for split in GREYS:
        flow.crop(split)
    assert "left_out" not in json.loads((flow.train() / "fit.json").read_text())


@pytest.mark.parametrize("folds", [2, 3])
def test_an_interrupted_fold_goes_on_unless_it_leaves_out_others_now(tmp_path, monkeypatch, folds):
    write_tiles(tmp_path / "tiles", "train", 5)
    write_tiles(tmp_path / "tiles", "validation", 2)

    def train(model, folds):
        job = train_job(tmp_path / "tiles", tmp_path / model, "inp_former", max_steps=4)
        settings = {**job.params, "crossfit": {"folds": folds}}
        stage("train")(replace(job, wildcards={**job.wildcards, "fold": "1"}, params=settings))

    def interrupted(_, items, what):
        for number, item in enumerate(items):
            if what.startswith("steps") and number == 2:
                raise KeyboardInterrupt
            yield item

    resumed = []
    monkeypatch.setattr("seamark.learning.loop.LOG.info", lambda *told, **_: resumed.append(told))
    train("unbroken", folds)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Job, "track", interrupted)
        train("broken", 2)
    train("broken", folds)
    assert len(resumed) == (folds == 2)
    assert content(tmp_path / "broken") == content(tmp_path / "unbroken")
