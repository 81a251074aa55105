"""The presets of PFADSeg: what they resolve to, and what happens without weights."""

import pytest
import yaml
from tests.workflow.project import ROOT

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import WeightsError
from seamark.planning.required_weights import detector_weights, require_all
from seamark.settings.config import check_overrides, deep_merge, load_config, resolve
from seamark.settings.pfadseg import AttentionSettings, GuidedSegmentationSettings

FREE = {"fabric", "rice", "wallplugs", "walnuts"}


def laid_over(*presets):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for preset in presets:
        raw = deep_merge(raw, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
    return raw


def test_numbers_of_the_paper():
    config = load_config(laid_over("pfadseg"))
    block = config.detector_blocks["pfadseg"]
    assert (block.backbone, block.steps, block.batch_size, block.learning_rate) == ("resnet18", 3000, 16, 0.5)
    assert block.attention == AttentionSettings()
    assert block.segmentation == GuidedSegmentationSettings()
    assert block.synthesis.beta == (0.15, 1.0)
    assert (config.grids["whole"].input_shape, config.merge.smooth_sigma_px) == ((256, 256), 0.0)


@pytest.mark.parametrize("category", OFFICIAL_COUNTS)
def test_products_without_a_fixed_place_are_turned(category):
    raw = laid_over("pfadseg")
    check_overrides(raw, tuple(OFFICIAL_COUNTS))
    block = resolve(raw, category).detector_blocks["pfadseg"]
    assert (block.quarter_turns, block.turn_deg) == ((True, 5.0) if category in FREE else (False, 0.0))


def test_missing_weights_are_named_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    block = load_config(laid_over("pfadseg")).detector_blocks["pfadseg"]
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth"):
        require_all(detector_weights("pfadseg", block))


def test_the_small_backbone_needs_no_weights_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for presets in [("pfadseg", "pfadseg_small_backbone"), ("pfadseg_small_backbone",)]:
        config = load_config(laid_over(*presets))
        assert config.fuse.members == ("pfadseg",)
        assert config.detector_blocks["pfadseg"].attention == AttentionSettings(aff_starts_even=True)
        require_all(detector_weights("pfadseg", config.detector_blocks["pfadseg"]))
