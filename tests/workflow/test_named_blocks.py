"""Two detectors of one type on different grids: each has its folders, tiles and model, and both are fused."""

from tests.workflow.project import BUNDLED

from seamark.manifests.base import read_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tilemaps import TilemapsManifest

FUSED = "out/tiny/45_fused/bolt/validation.json"


def test_each_has_its_model_and_scores_and_both_are_fused(bundled):
    tiles = {}
    for name in ("far", "near"):
        model = read_manifest(bundled.out / "20_models" / name / "bolt/fit.json", ModelManifest)
        scored = read_manifest(bundled.out / "30_tilemaps" / name / "bolt/validation.json", TilemapsManifest)
        assert model.detector == scored.detector == name
        tiles[name] = scored.shape[0]
    assert tiles == {"far": 2, "near": 4}
    assert read_manifest(bundled.folder / FUSED, MapsManifest).detector == "near+far"


def test_tiles_can_be_deleted_when_nothing_needs_them(bundled):
    assert not list((bundled.out / "10_tiles").rglob("*.npy"))
    assert len(list((bundled.out / "30_tilemaps").rglob("validation.npy"))) == 2


def test_a_changed_block_reruns_its_own_jobs(bundled, tmp_path):
    project = bundled.copy(tmp_path)
    project.configure({"detectors": BUNDLED["detectors"] | {"far": BUNDLED["detectors"]["far"] | {"bank_size": 30}}})
    rows = project.snakemake(FUSED, options=("--summary",)).stdout.splitlines()[1:]
    again = [row for row in rows if "no update" not in row]
    assert any("20_models/far/" in row for row in again)
    assert not any("/near/" in row for row in again)
