"""The presets of AAND and of plain reverse distillation: what they resolve to, and what happens without weights."""

import pytest
import yaml
from tests.workflow.project import ROOT

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import WeightsError
from seamark.planning.required_weights import detector_weights, require_all
from seamark.settings.aand import AandSettings
from seamark.settings.config import check_overrides, deep_merge, load_config, resolve

OBJECTS = {"can", "fruit_jelly", "vial", "wallplugs"}
SMALL = ["aand_small_backbone", "reverse_distillation_small_backbone"]


def laid_over(*presets):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for preset in presets:
        raw = deep_merge(raw, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
    return raw


def test_numbers_of_the_paper():
    config = load_config(laid_over("aand"))
    block, defaults = config.detector_blocks["aand"], AandSettings()
    ours = {"grid", "feature_cache_mb", "synthesis"}
    assert block.model_dump(exclude=ours) == defaults.model_dump(exclude=ours)
    assert block.synthesis.model_dump(exclude={"foreground"}) == defaults.synthesis.model_dump(exclude={"foreground"})
    assert (config.grids["whole"].input_shape, config.merge.smooth_sigma_px) == ((256, 256), 0.0)


@pytest.mark.parametrize("category", OFFICIAL_COUNTS)
@pytest.mark.parametrize("presets", [("aand",), *(("aand", small) for small in SMALL)])
def test_anomalies_lie_on_objects(category, presets):
    raw = laid_over(*presets)
    check_overrides(raw, tuple(OFFICIAL_COUNTS))
    foreground = resolve(raw, category).detector_blocks["aand"].synthesis.foreground
    assert foreground.method == ("otsu_border" if category in OBJECTS else "none")
    assert (foreground.share_min, foreground.share_max) == (0.1, 0.95)


@pytest.mark.parametrize("base", [(), ("aand",)])
def test_plain_reverse_distillation_differs_in_two_settings(base):
    aand, plain = (load_config(laid_over(*base, small)).detector_blocks["aand"].model_dump() for small in SMALL)
    assert {name for name in aand if aand[name] != plain[name]} == {"amplification", "hard_cells"}
    assert (plain["amplification"], plain["hard_cells"]) == (None, 0)


def test_missing_weights_are_named_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    block = load_config(laid_over("aand")).detector_blocks["aand"]
    with pytest.raises(WeightsError, match=r"wide_resnet50_2-95faca4d\.pth"):
        require_all(detector_weights("aand", block))


@pytest.mark.parametrize("small", SMALL)
def test_the_small_backbone_needs_no_weights_of_ones_own(small, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for presets in [("aand", small), (small,)]:
        config = load_config(laid_over(*presets))
        assert config.fuse.members == ("aand",)
        require_all(detector_weights("aand", config.detector_blocks["aand"]))
