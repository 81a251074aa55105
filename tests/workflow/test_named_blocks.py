"""Two detectors of one type on different grids: each has its folders, tiles and model, and both are fused."""

import pytest
from tests.workflow.project import CONFIG, Project

from seamark.manifests.base import read_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tilemaps import TilemapsManifest

BANK = {"type": "feature_bank", "backbone": "efficientnet_lite0", "layers": [2], "bank_size": 20, "variants": 0}
FUSED = "out/tiny/45_fused/bolt/validation.json"


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    project = Project.fresh(tmp_path_factory.mktemp("fused"))
    blocks = {"bank_whole": BANK | {"grid": "whole"}, "bank_tile": BANK}
    members = {"members": list(blocks), "weights": {"bank_whole": 2.0}}
    grids = CONFIG["grids"] | {"whole": {"layout": "whole", "input_px": 96}}
    project.configure({"grids": grids, "detectors": blocks, "fuse": members, "keep_tiles": False})
    project.snakemake(FUSED)
    return project


def test_each_has_its_model_and_scores_and_both_are_fused(fused):
    tiles = {}
    for name in ("bank_whole", "bank_tile"):
        model = read_manifest(fused.out / "20_models" / name / "bolt/fit.json", ModelManifest)
        scored = read_manifest(fused.out / "30_tilemaps" / name / "bolt/validation.json", TilemapsManifest)
        assert model.detector == scored.detector == name
        tiles[name] = scored.shape[0]
    assert tiles == {"bank_whole": 2, "bank_tile": 4}
    assert read_manifest(fused.folder / FUSED, MapsManifest).detector == "bank_whole+bank_tile"


def test_tiles_can_be_deleted_when_nothing_needs_them(fused):
    assert not list((fused.out / "10_tiles").rglob("*.npy"))
    assert len(list((fused.out / "30_tilemaps").rglob("validation.npy"))) == 2


def test_a_changed_block_reruns_its_own_jobs(fused, tmp_path):
    project = fused.copy(tmp_path)
    project.configure({"detectors": {"bank_whole": BANK | {"grid": "whole", "bank_size": 30}, "bank_tile": BANK}})
    rows = project.snakemake(FUSED, options=("--summary",)).stdout.splitlines()[1:]
    again = [row for row in rows if "no update" not in row]
    assert any("20_models/bank_whole/" in row for row in again)
    assert not any("bank_tile" in row for row in again)
