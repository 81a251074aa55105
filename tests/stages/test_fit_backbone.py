"""The backbone's weights in fit.json: their digest, and whether it is the published one."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from seamark.backbones.table import BACKBONES
from seamark.files.atomic import file_digest
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tiles import TiledImage, TilesManifest
from seamark.running.job import Job
from seamark.settings.grid import GridSettings
from seamark.weights.finding import package_file

TRAIN = Path(__file__).resolve().parents[2] / "stages" / "train.py"
LITE0 = BACKBONES["efficientnet_lite0"].weights


def write_tiles(folder, split):
    pixels = np.random.default_rng(0).integers(1, 256, (2, 64, 64, 1), dtype=np.uint8)
    np.save(folder / f"{split}.npy", pixels)
    image = {"width": 64, "height": 64, "sha256": "0" * 64, "boxes_xyxy": ((0, 0, 64, 64),)}
    manifest = TilesManifest(
        category="toy",
        split=split,
        grid=GridSettings(layout="whole", input_px=64),
        file=f"{split}.npy",
        shape=pixels.shape,
        sha256=file_digest(folder / f"{split}.npy"),
        images=tuple(TiledImage(id=str(number), **image) for number in range(2)),
    )
    write_manifest(folder / f"{split}.json", manifest)


def fitted(folder, weights):
    for split in ("train", "validation"):
        write_tiles(folder, split)
    inputs = {split: folder / f"{split}.json" for split in ("train", "validation")}
    inputs |= {f"{split}_npy": folder / f"{split}.npy" for split in ("train", "validation")}
    job = Job.for_test(
        "train",
        inputs=inputs,
        outputs={"manifest": folder / "fit.json", "model": folder / "model.safetensors"},
        params={
            "settings": {"backbone": "efficientnet_lite0", "weights": str(weights), "bank_size": 20},
            "detector": "seamark.detectors.feature_bank:FeatureBank",
            "name": "feature_bank",
            "code": "c1",
        },
        wildcards={"detector": "feature_bank", "category": "toy"},
    )
    runpy.run_path(str(TRAIN))["main"](job)
    return read_manifest(folder / "fit.json", ModelManifest)


@pytest.mark.parametrize("weights", ["pretrained", package_file(LITE0)])
def test_published_weights_are_verified(tmp_path, weights):
    model = fitted(tmp_path, weights)
    assert (model.backbone_digest, model.backbone_verified) == (LITE0.sha256, True)


def test_random_weights_are_not_verified(tmp_path):
    model = fitted(tmp_path, "random")
    assert (model.backbone_digest, model.backbone_verified) == ("random", False)


def test_a_file_of_ones_own_is_not_verified(tmp_path):
    own = tmp_path / "own.pth"
    own.write_bytes(package_file(LITE0).read_bytes() + b"\0")
    model = fitted(tmp_path, own)
    assert (model.backbone_digest, model.backbone_verified) == (file_digest(own), False)
