"""Settings that are no settings."""

import pytest
import yaml
from tests.fuzz.targets.settings import BOMB, DEMO, ROOT, read_preset

from seamark.errors import ConfigError
from seamark.planning.plan import Plan
from seamark.settings.config import load_config, resolve


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: ../../x", "run: expected a name of .*, found ../../x"),
        ("run: " + "x" * 101, "run: expected a name of at most 100 letters.*, found x+"),
        ("grids: {../../x: {}}", r"grids.*expected a name"),
        ("detectors: [1]", "detectors: expected settings by name, found a list of 1"),
        ("detectors: {5: {}}", "detectors.5: expected a key that is text"),
        ("detectors: {inp_former: {grid: [1]}}", "grid: expected text"),
        ("detectors: {inp_former: []}", "detectors.inp_former: expected settings by name, found a list of 0"),
        ("detectors: {inp_former: {lr: .nan}}", "unknown key"),
        ("overrides: []", "overrides: expected settings by name"),
        ("merge: {scale: .nan}", "merge.scale: expected a number, .*, found nan"),
        ("merge: {smooth_sigma_px: .inf}", "merge.smooth_sigma_px: expected a number, .*, found inf"),
        ("data: {categories: []}", "name at least one"),
        ("data: {categories: [woven, woven]}", "none twice"),
        (
            "detectors: {feature_bank: {grid: !!binary eA==}}",
            "grid: expected text that is not empty, found binary data",
        ),
        ("grids: 5\nwindow: 1", "window: unknown key"),
        ("detectors: 5\nepochs: 1", "epochs: unknown key"),
        (BOMB, "more than 40 levels or 200000 entries"),
        ("merge: &a {scale: *a}", "more than 40 levels or 200000 entries"),
        ("overrides: {woven: " + "[" * 50 + "]" * 50 + "}", "more than 40 levels"),
    ],
)
def test_hostile_settings_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text", [BOMB, "a: &a [*a]", "[" * 2000, "- a", "run: !!python/object:os {}", "\0", "a: \udcff"]
)
def test_hostile_presets_of_a_variation_are_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"compare\.presets\.varied"):
        read_preset(text.encode(errors="surrogateescape"), tmp_path)


def test_a_device_is_no_preset():
    with pytest.raises(ConfigError, match="no preset /dev/zero"):
        Plan(DEMO | {"compare": {"presets": {"varied": ["/dev/zero"]}}}, ROOT)


def test_overrides_that_do_not_go_together_are_named():
    raw = {
        "overrides": {
            "woven": {"refine": {"method": "none"}, "merge": {"scale": 0.5}},
            "woven/validation": {"refine": {"method": "grabcut"}, "binarize": {"rules": []}},
        }
    }
    with pytest.raises(ConfigError, match="overrides woven and"):
        resolve(raw, "woven", "validation")
