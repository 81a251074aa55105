"""The presets of URD and AURD: what they resolve to for MVTec AD 2, and what happens without weights."""

import pytest
import yaml
from tests.workflow.project import ROOT

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import WeightsError
from seamark.planning.required_weights import detector_weights, require_all
from seamark.settings.anomalous_pairs import EarlyStopSettings
from seamark.settings.config import check_overrides, deep_merge, load_config, resolve

NATIVE = {
    "can": (1024, 2232),
    "fabric": (2048, 2448),
    "fruit_jelly": (1520, 2100),
    "rice": (2048, 2448),
    "sheet_metal": (1056, 4224),
    "vial": (1900, 1400),
    "wallplugs": (2048, 2448),
    "walnuts": (2048, 2448),
}
"""Height and width in px."""
GRABCUT = {"can", "fruit_jelly", "vial"}
FREE = {"fabric", "rice", "wallplugs", "walnuts"}


def laid_over(*presets):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for preset in presets:
        raw = deep_merge(raw, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
    return raw


@pytest.mark.parametrize("preset", ["urd", "aurd"])
def test_overrides_are_valid(preset):
    check_overrides(laid_over(preset), tuple(OFFICIAL_COUNTS))


@pytest.mark.parametrize("category", OFFICIAL_COUNTS)
def test_aurd_sees_a_quarter_of_the_image_in_multiples_of_32(category):
    config = resolve(laid_over("aurd"), category)
    expected = tuple(32 * round(side / 4 / 32) for side in NATIVE[category])
    assert (config.grids["whole"].layout, config.grids["whole"].input_shape) == ("whole", expected)


@pytest.mark.parametrize("category", OFFICIAL_COUNTS)
@pytest.mark.parametrize("detector", ["urd", "aurd"])
def test_choices_per_category(detector, category):
    block = resolve(laid_over(detector), category).detector_blocks[detector]
    method = "grabcut" if category in GRABCUT else "otsu_border" if category == "wallplugs" else "none"
    assert block.synthesis.foreground.method == method
    if detector == "aurd":
        share = 0.5 if category in FREE else 0.0
        assert (block.augmentation.flip_probability, block.augmentation.turn_probability) == (share, share)
        assert block.augmentation.light_probability == 0.5


def test_numbers_of_the_papers():
    urd = load_config(laid_over("urd"))
    block = urd.detector_blocks["urd"]
    assert (block.backbone, block.gii_mode, block.student_width) == ("wide_resnet50_2", "similarity", 1.0)
    assert (block.steps, block.batch_size, block.adam_betas) == (5000, 16, (0.5, 0.999))
    assert (block.student_learning_rate, block.teacher_learning_rate) == (0.005, 0.0001)
    assert (block.smooth_sigma_px, urd.merge.smooth_sigma_px) == (4.0, 0.0)
    assert urd.grids["whole"].input_shape == (256, 256)
    aurd = load_config(laid_over("aurd")).detector_blocks["aurd"]
    assert (aurd.steps, aurd.batch_size, aurd.segmentation.steps) == (10_000, 4, 4000)
    assert (aurd.segmentation.learning_rate, aurd.segmentation.width) == (0.001, 256)
    assert aurd.early_stop == aurd.segmentation.early_stop == EarlyStopSettings()


@pytest.mark.parametrize("detector", ["urd", "aurd"])
def test_missing_weights_are_named_before_anything_runs(detector, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    block = load_config(laid_over(detector)).detector_blocks[detector]
    with pytest.raises(WeightsError, match=r"wide_resnet50_2-95faca4d\.pth"):
        require_all(detector_weights(detector, block))


@pytest.mark.parametrize("detector", ["urd", "aurd"])
def test_the_small_backbone_needs_no_weights_of_ones_own(detector, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for presets in [(detector, f"{detector}_small_backbone"), (f"{detector}_small_backbone",)]:
        config = load_config(laid_over(*presets))
        assert config.fuse.members == (detector,)
        require_all(detector_weights(detector, config.detector_blocks[detector]))
