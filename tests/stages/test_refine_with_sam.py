"""The refine stage with Segment Anything: one network a job, one embedding an image, no matter how many threads."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.indexes import write_lists
from tests.small_sam import build_small_sam

from seamark.errors import WeightsError
from seamark.files.atomic import file_digest
from seamark.files.images import read_mask
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import ImageRecord
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.maps.stored import save_map
from seamark.masks import sam
from seamark.masks.components import resize_mask
from seamark.masks.stored import save_mask
from seamark.running.job import Job

STAGE = Path(__file__).parents[2] / "stages" / "refine.py"
SHAPE = (120, 160)
FLAT = np.zeros((SHAPE[0] // 4, SHAPE[1] // 4), np.float32)
IDS = ("bad/000_regular", "bad/001_regular", "good/002_regular")


def main(job):
    spec = importlib.util.spec_from_file_location("stage_refine", STAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(job)


def coarse_mask(image_id, rng):
    """Return some blocks of 4 px, and nothing for ids below ``good``."""
    small = np.zeros((SHAPE[0] // 4, SHAPE[1] // 4), bool)
    if image_id.startswith("bad"):
        for row, column in rng.integers(0, 20, (4, 2)):
            small[row : row + 3, column : column + 5] = True
    return resize_mask(small, SHAPE)


@pytest.fixture
def tree(tmp_path):
    rng = np.random.default_rng(0)
    images, masks = [], []
    for image_id in IDS:
        file = f"rice/test_public/{image_id}.png"
        (tmp_path / "data" / file).parent.mkdir(parents=True, exist_ok=True)
        pixels = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), SHAPE[::-1])
        Image.fromarray(pixels).save(tmp_path / "data" / file)
        facts = {"width": SHAPE[1], "height": SHAPE[0], "channels": 3, "mask": None}
        facts |= {"split": "test_public", "label": image_id.split("/")[0], "light": "regular"}
        digest = file_digest(tmp_path / "data" / file)
        images.append(ImageRecord(id=image_id, file=file, sha256=digest, **facts))
        masks.append(
            save_mask(tmp_path / "coarse" / "test_public", "test_public", image_id, coarse_mask(image_id, rng))
        )
    kind = {"category": "rice", "split": "test_public", "stage": "coarse", "method": "mean_std"}
    write_manifest(tmp_path / "coarse" / "test_public.json", MasksManifest(masks=tuple(masks), **kind))
    maps = [save_map(tmp_path / "fused" / "test_public", "test_public", one, FLAT, SHAPE) for one in IDS]
    fused = {"category": "rice", "split": "test_public", "detector": "bank"}
    write_manifest(tmp_path / "fused" / "test_public.json", MapsManifest(maps=tuple(maps), **fused))
    write_lists(tmp_path / "index", "rice", images)
    return tmp_path


@pytest.fixture
def embedded(monkeypatch):
    """Put a small network in the place of vit_b and note the shapes that are embedded."""
    shapes = []

    def build(model):
        network = build_small_sam(model)
        network.image_encoder.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
        return network

    monkeypatch.setattr(sam, "build_sam", build)
    return shapes


def refine_job(tree, threads=1, out="refined", **settings):
    inputs = {"index": tree / "index" / "rice" / "test_public.json", "masks": tree / "coarse" / "test_public.json"}
    inputs["maps"] = tree / "fused" / "test_public.json"
    block = {"method": "sam", "compose": "replace", "accept": "always", **settings}
    block["sam"] = {"weights": "random", **block.get("sam", {})}
    params = {"settings": block, "root": str(tree / "data")}
    return Job.for_test("refine", inputs, {"manifest": tree / out / "test_public.json"}, params, threads=threads)


@pytest.mark.parametrize("sam_settings", [{}, {"image_scale": 0.25}, {"prompt_on": "crops", "crop_min_px": 300}])
def test_every_image_with_boxes_is_embedded_once_and_the_others_never(tree, embedded, sam_settings):
    main(refine_job(tree, sam=sam_settings))
    assert embedded == [(1, 3, 256, 256)] * 2
    manifest = read_manifest(tree / "refined" / "test_public.json", MasksManifest)
    assert manifest.method == "sam vit_b with random weights"
    assert [mask.foreground_px > 0 for mask in manifest.masks] == [True, True, False]
    for mask in manifest.masks:
        pixels = read_mask(tree / "refined" / mask.file)
        assert pixels.shape == SHAPE
        if "image_scale" in sam_settings:
            blocks = resize_mask(resize_mask(pixels, (30, 40)), SHAPE)
            np.testing.assert_array_equal(pixels, blocks)


@pytest.mark.parametrize("sam_settings", [{"masks": "union_of_three"}, {"prompt_on": "crops", "crop_min_px": 64}])
def test_threads_and_repetition_do_not_change_a_byte(tree, embedded, sam_settings):
    main(refine_job(tree, sam=sam_settings))
    main(refine_job(tree, threads=3, out="again", sam=sam_settings))
    files = sorted(path for path in (tree / "refined").rglob("*") if path.is_file())
    assert len(files) == 4
    for path in files:
        assert (tree / "again" / path.relative_to(tree / "refined")).read_bytes() == path.read_bytes()


def test_missing_weights_stop_the_job_unless_there_is_nothing_to_segment(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    pretrained = refine_job(tree, sam={"weights": "pretrained", "model": "vit_h"})
    with pytest.raises(WeightsError, match=r"sam_vit_h_4b8939\.pth .*a7bf3b02.*2564550879 bytes.* are missing"):
        main(pretrained)
    path = tree / "coarse" / "test_public.json"
    coarse = read_manifest(path, MasksManifest)
    folder = tree / "coarse" / "test_public"
    empty = [save_mask(folder, "test_public", mask.id, np.zeros(SHAPE, bool)) for mask in coarse.masks]
    write_manifest(path, coarse.model_copy(update={"masks": tuple(empty)}))
    main(pretrained)
    assert read_manifest(tree / "refined" / "test_public.json", MasksManifest).method == "sam vit_h"
