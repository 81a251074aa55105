"""The train and infer stages: files, repeatability, resume after kill -9, refusal of wrong input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from seamark.errors import DataError, ManifestError
from seamark.files.atomic import file_digest
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.manifests.tiles import TiledImage, TilesManifest
from seamark.running.job import Job
from seamark.settings.grid import GridSettings

ROOT = Path(__file__).parents[2]
SIZE = 64
COMMON = {"backbone": "efficientnet_lite0", "weights": "random", "layers": [2, 3]}
DETECTORS = {
    "inp_former": (
        "seamark.detectors.inp_former.detector:InpFormer",
        COMMON | {"max_steps": 8, "batch_size": 2, "warmup_steps": 1, "decoder_blocks": 2, "checkpoint_every_s": 0},
    ),
    "feature_bank": ("seamark.detectors.feature_bank:FeatureBank", COMMON | {"bank_size": 50}),
}


def stage(name):
    namespace = {"__name__": name}
    exec(compile((ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8"), name, "exec"), namespace)
    return namespace["main"]


def write_tiles(folder, split, number):
    pixels = np.random.default_rng(number).integers(1, 256, (number, SIZE, SIZE, 1), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}.npy", pixels)
    images = tuple(
        TiledImage(id=f"{i:03d}", width=SIZE, height=SIZE, sha256="0" * 64, boxes_xyxy=((0, 0, SIZE, SIZE),))
        for i in range(number)
    )
    manifest = TilesManifest(
        category="toy",
        split=split,
        grid=GridSettings(layout="whole", input_px=SIZE),
        file=f"{split}.npy",
        shape=pixels.shape,
        sha256=file_digest(folder / f"{split}.npy"),
        images=images,
    )
    write_manifest(folder / f"{split}.json", manifest)


def train_job(tiles, model, name, code="c1", **changes):
    target, block = DETECTORS[name]
    return Job.for_test(
        "train",
        inputs={
            "train": tiles / "train.json",
            "train_npy": tiles / "train.npy",
            "validation": tiles / "validation.json",
            "validation_npy": tiles / "validation.npy",
        },
        outputs={"manifest": model / "fit.json", "model": model / "model.safetensors"},
        params={"settings": block | changes, "detector": target, "name": name, "code": code},
        wildcards={"detector": name, "category": "toy"},
    )


def infer_job(tiles, model, maps, name, **changes):
    target, block = DETECTORS[name]
    return Job.for_test(
        "infer",
        inputs={
            "model": model / "fit.json",
            "weights": model / "model.safetensors",
            "tiles": tiles / "validation.json",
            "tiles_npy": tiles / "validation.npy",
        },
        outputs={"manifest": maps / "validation.json", "maps": maps / "validation.npy"},
        params={"settings": block | changes, "detector": target, "name": name, "code": "c1"},
        wildcards={"detector": name, "category": "toy", "split": "validation"},
    )


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles")
    write_tiles(folder, "train", 5)
    write_tiles(folder, "validation", 3)
    return folder


def run_both(tiles, folder, name):
    stage("train")(train_job(tiles, folder / "model", name))
    stage("infer")(infer_job(tiles, folder / "model", folder / "maps", name))


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for name in DETECTORS:
        run_both(tiles, folder / name, name)
    return folder


@pytest.mark.parametrize("name", DETECTORS)
def test_two_runs_write_the_same_bytes(tiles, made, tmp_path, name):
    run_both(tiles, tmp_path, name)
    assert content(tmp_path) == content(made / name)
    assert {str(path) for path in content(tmp_path)} == {
        "model/fit.json",
        "model/model.safetensors",
        "maps/validation.json",
        "maps/validation.npy",
    }


@pytest.mark.parametrize("name", DETECTORS)
def test_manifests_describe_the_files(made, name):
    folder = made / name
    model = read_manifest(folder / "model" / "fit.json", ModelManifest)
    assert (model.detector, model.category, model.backbone_digest) == (name, "toy", "random")
    assert model.sha256 == file_digest(folder / "model" / model.file)
    assert model.parameters == sum(t.size for t in load_file(folder / "model" / model.file).values())
    record = read_manifest(folder / "maps" / "validation.json", TilemapsManifest)
    maps = np.load(folder / "maps" / record.file)
    assert maps.dtype == np.float32
    assert maps.shape == record.shape == (3, *model.map_shape)
    assert (record.minimum, record.maximum) == (float(maps.min()), float(maps.max()))
    assert record.cells.stride_px == (8.0, 8.0)
    assert record.cells.offset_px == (4.0, 4.0)


def test_scores_do_not_depend_on_the_other_tiles(tiles, made, tmp_path):
    alone = tmp_path / "alone"
    pixels = np.load(tiles / "validation.npy")
    alone.mkdir()
    np.save(alone / "validation.npy", pixels[2:])
    (alone / "validation.json").write_bytes((tiles / "validation.json").read_bytes())
    stage("infer")(infer_job(alone, made / "inp_former/model", tmp_path / "few", "inp_former"))
    whole, few = (np.load(folder / "validation.npy") for folder in (made / "inp_former/maps", tmp_path / "few"))
    assert np.array_equal(whole[2:], few)


def test_interrupted_training_is_not_continued_by_other_code(tiles, tmp_path, caplog):
    job = train_job(tiles, tmp_path / "model", "inp_former")

    def stop(self, items, what):
        yield from items[:3] if what.startswith("steps") else items
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "track", stop)
        with pytest.raises(KeyboardInterrupt):
            stage("train")(job)
    with caplog.at_level("INFO"):
        stage("train")(train_job(tiles, tmp_path / "model", "inp_former", code="c2"))
    assert "belongs to other code; starting afresh" in caplog.text


def test_damaged_weights_are_named(tiles, made, tmp_path):
    shutil.copytree(made / "inp_former", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    state["network.bottleneck.fc1.weight"][:] = np.nan
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])["__metadata__"]
    save_file(state, path, metadata=header)
    with pytest.raises(DataError, match="tile 0: scores are not finite"):
        stage("infer")(infer_job(tiles, tmp_path / "model", tmp_path / "maps2", "inp_former"))
    assert not list((tmp_path / "maps2").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ManifestError, match="cannot read the model"):
        stage("infer")(infer_job(tiles, tmp_path / "model", tmp_path / "maps2", "inp_former"))


def test_model_of_other_settings_or_backbone_is_refused(tiles, made, tmp_path):
    shutil.copytree(made / "inp_former", tmp_path, dirs_exist_ok=True)
    with pytest.raises(ManifestError, match="trained with other settings"):
        stage("infer")(infer_job(tiles, tmp_path / "model", tmp_path / "maps2", "inp_former", prototypes=3))
    path = tmp_path / "model" / "model.safetensors"
    length = int.from_bytes(path.read_bytes()[:8], "little")
    facts = json.loads(json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]["seamark"])
    facts["backbone_digest"] = "abc"
    save_file(load_file(path), path, metadata={"seamark": json.dumps(facts)})
    with pytest.raises(ManifestError, match="trained on backbone weights abc, found random"):
        stage("infer")(infer_job(tiles, tmp_path / "model", tmp_path / "maps2", "inp_former"))
