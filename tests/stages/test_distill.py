"""The distill stage: what it writes, what it learns from, and that it goes on where it was killed."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.stages.small_run import stage
from torch.nn import functional

from seamark.backbones.pdn import load_teacher
from seamark.errors import DataError
from seamark.manifests.base import read_manifest
from seamark.manifests.teacher import TeacherManifest
from seamark.running.job import Job
from seamark.settings.teacher import DistillSettings, TeacherSettings
from seamark.teachers.crops import CORRUPTIONS, CroppedPhotographs, corrupted, halved
from seamark.teachers.features import PatchCoreFeatures, adaptive_average
from seamark.teachers.photographs import find_photographs, split_photographs

DISTILL = {"input_px": 64, "steps": 2, "batch_size": 1, "statistics_crops": 2, "evaluate_every": 1}
TINY = {
    "backbone": "efficientnet_lite0",
    "weights": "random",
    "layers": [2, 3],
    "width": 1 / 16,
    "channels": 8,
    "checkpoint_every_s": 0.0,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for category, channels in (("bolt", 1), ("cloth", 3)):
        for split in ("train/good", "validation/good", "test_public/bad"):
            (folder / category / split).mkdir(parents=True)
            for number in range(3 if split.startswith("train") else 1):
                pixels = random.integers(0, 256, (60, 90, channels), dtype=np.uint8)
                Image.fromarray(pixels.squeeze()).save(folder / category / split / f"{number:03d}_regular.png")
    return folder


def job(root, folder, **distill):
    settings = TeacherSettings.model_validate(TINY | {"distill": DISTILL | distill})
    params = {"root": str(root), "layout": "mvtec_ad_2", "train_images": None, "pixels": {}, "seed": 1, "code": "c"}
    outputs = {"manifest": folder / "teacher.json", "weights": folder / "teacher.safetensors"}
    return Job.for_test("distill", {}, outputs, params | {"settings": settings.model_dump(mode="json")})


def test_writes_a_teacher_that_loads(root, tmp_path):
    stage("distill")(job(root, tmp_path, crop_scale=[0.5, 1.0], flip_and_turn=True, corrupted_share=0.5, padded=False))
    manifest = read_manifest(tmp_path / "teacher.json", TeacherManifest)
    assert (manifest.photographs, manifest.held_out) == (5, 1)
    assert [phase.name for phase in manifest.phases] == ["statistics", "distillation", "measurement"]
    assert not manifest.backbone_verified
    teacher = load_teacher(str(tmp_path / "teacher.safetensors"), TeacherSettings.model_validate(TINY), 0)
    assert teacher.digest == manifest.sha256
    assert teacher.pyramid(torch.zeros(1, 3, 64, 64))[0].shape == (1, 8, 8, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["teacher.json", "teacher.safetensors"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("stop_after", [1, 4])
def test_killed_in_any_phase_ends_with_the_same_weights(root, tmp_path, stop_after):
    """Two crops of statistics, two steps."""
    done = 0

    def stop(self, items, what):
        nonlocal done
        for item in items:
            yield item
            done += 1
            if done == stop_after:
                raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "track", stop)
        with pytest.raises(Killed):
            stage("distill")(job(root, tmp_path / "killed"))
    for folder in ("killed", "unbroken"):
        stage("distill")(job(root, tmp_path / folder))
    killed, unbroken = (load_file(tmp_path / folder / "teacher.safetensors") for folder in ("killed", "unbroken"))
    assert all(torch.equal(tensor, unbroken[name]) for name, tensor in killed.items())


def test_only_training_photographs_are_learnt_from(root):
    files = find_photographs(DistillSettings(), root, "mvtec_ad_2", train_images=None, seed=1)
    assert {path.parent.parent.name for path in files} == {"train"}
    assert {path.parents[2].name for path in files} == {"bolt", "cloth"}
    fewer = find_photographs(DistillSettings(), root, "mvtec_ad_2", train_images=2, seed=1)
    assert len(files) == 6
    assert len(fewer) == 4
    assert set(fewer) < set(files)
    train, held_out = split_photographs(files, DistillSettings(held_out_share=0.3), 1)
    assert sorted([*train.files, *held_out.files]) == files
    assert len(held_out) == 2


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(DataError, match="0 photographs to distil"):
        find_photographs(DistillSettings(image_folder=str(tmp_path)), tmp_path, "mvtec_ad_2", train_images=None, seed=1)


def test_crops_depend_on_their_generator_alone(root):
    files = find_photographs(DistillSettings(), root, "mvtec_ad_2", train_images=None, seed=1)
    wild = {"crop_scale": (0.25, 1.0), "flip_and_turn": True, "colour_jitter_probability": 0.5, "grey_probability": 0.5}
    first, other = (CroppedPhotographs(files, 64, DistillSettings(**wild, photograph_cache_mb=mb)) for mb in (0, 100))
    for number in range(6):
        crops = [
            photographs.crop(number, np.random.default_rng(number), corrupt=True)
            for photographs in (first, other, other)
        ]
        assert crops[0].shape == (64, 64, 3)
        assert np.array_equal(crops[0], crops[1])
        assert np.array_equal(crops[0], crops[2])


@pytest.mark.parametrize("kind", range(len(CORRUPTIONS)))
def test_corruptions_change_a_crop_and_leave_the_original(kind):
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    before = pixels.copy()
    results = [CORRUPTIONS[kind](pixels, np.random.default_rng(seed)) for seed in range(4)]
    assert any(not np.array_equal(result, pixels) for result in results)
    assert all(result.shape == pixels.shape and result.dtype == np.uint8 for result in results)
    assert np.array_equal(pixels, before)
    assert corrupted(pixels, np.random.default_rng(0)).shape == pixels.shape


def test_half_a_crop_is_the_mean_of_its_pixels():
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, axis=2) * 4
    assert np.array_equal(halved(pixels)[..., 0], [[10, 18], [42, 50]])


def literal_features(levels, channels, grid):
    """PatchCore's post-processing as it is told: unfold, pool, resize, pool."""
    parts = []
    for level in levels:
        height, width = level.shape[2:]
        patches = functional.unfold(level, 3, padding=1).transpose(1, 2)
        pooled = functional.adaptive_avg_pool1d(patches, 1024)
        maps = pooled.transpose(1, 2).reshape(len(level), 1024, height, width)
        parts.append(maps if (height, width) == grid else functional.interpolate(maps, grid, mode="bilinear"))
    stacked = torch.cat(parts, dim=1).flatten(2).transpose(1, 2)
    pooled = functional.adaptive_avg_pool1d(stacked, channels)
    return pooled.transpose(1, 2).reshape(-1, channels, *grid)


@pytest.mark.parametrize(("widths", "channels"), [((512, 1024), 384), ((40, 112), 192), ((40, 112), 33), ((24,), 16)])
def test_linear_map_equals_what_patchcore_does(widths, channels):
    torch.manual_seed(0)
    levels = [torch.randn(2, width, 8 >> number, 8 >> number) for number, width in enumerate(widths)]
    found = PatchCoreFeatures(widths, channels)(levels, (8, 8))
    torch.testing.assert_close(found, literal_features(levels, channels, (8, 8)), rtol=1e-5, atol=1e-5)


def test_half_of_the_features_are_those_of_each_level():
    module = PatchCoreFeatures((512, 1024), 384)
    assert module.get_buffer("rows_0").tolist() == list(range(192))
    assert module.get_buffer("rows_1").tolist() == list(range(192, 384))
    for level in (0, 1):
        sums = module.get_buffer(f"weight_{level}").sum(dim=(1, 2, 3))
        torch.testing.assert_close(sums, torch.ones(192), rtol=1e-5, atol=0)


def test_windows_of_pooling_are_those_of_torch():
    values = torch.randn(1, 1, 37)
    for outputs in (5, 36, 50):
        expected = functional.adaptive_avg_pool1d(values.double(), outputs)[0, 0]
        torch.testing.assert_close(torch.from_numpy(adaptive_average(37, outputs)) @ values[0, 0].double(), expected)
