import copy
import re

import pytest

from seamark.errors import ConfigError
from seamark.settings.config import check_overrides, deep_merge, load_config, resolve

CATEGORIES = ("rice", "fabric")


def problems_of(raw):
    with pytest.raises(ConfigError) as caught:
        load_config(raw)
    return str(caught.value)


def test_defaults_alone_are_valid():
    config = load_config({})
    assert config.merge.scale == 1.0
    assert config.fuse.members == ("inp_former",)
    assert config.binarize.mean_std.scope == "validation"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"merge": {"blnd": "mean"}}, "merge.blnd: unknown key; did you mean blend?"),
        ({"merg": {}}, "merg: unknown key; did you mean merge?"),
        ({"binarize": {"mean_std": {"K": 2}}}, "binarize.mean_std.K: unknown key; did you mean k?"),
        ({"grids": {"tile": {"windowpx": 3}}}, "grids.tile.windowpx: unknown key; did you mean window_px?"),
        ({"detectors": {"inp_former": {"epoch": 3}}}, "detectors.inp_former.epoch: unknown key; did you mean epochs?"),
        (
            {"detectors": {"inp_formr": {}, "inp_former": {}}},
            "detectors.inp_formr: no such detector; did you mean inp_former?",
        ),
        (
            {"refine": {"method": "sam", "sam": {"image_scale": 0.25}}, "merge": {"scale": 0.5}},
            "refine.sam.image_scale 0.25 needs masks of that scale: set binarize.at to map and merge.scale to 0.25, "
            "which are native and 0.5",
        ),
        (
            {"binarize": {"mebin": {"enabled": True, "scores": "robis"}}},
            "binarize.mebin.scores robis: takes maps on 0..255, which merge.method robis",
        ),
        ({"fuse": {"members": ["feature_bank"]}}, "fuse.members: feature_bank has no block under detectors"),
        (
            {"detectors": {"inp_former": {"grid": "tiles"}}},
            "detectors.inp_former.grid: no grid named tiles; did you mean tile?",
        ),
        ({"grids": {"tile": {"overlap": 1.0}}}, "grids.tile.overlap"),
        ({"grids": {"tile": {"window_px": 10, "overlap": 0.95}}}, "stride of 0 px"),
        ({"binarize": {"mean_std": {"enabled": False}}}, "without a rule every mask would be empty"),
        ({"data": {"splits": ["test_public"]}}, "validation must be listed"),
        ({"data": {"demo": True}}, "truth_root"),
        ({"run": "../escape"}, "run:"),
        ({"fuse": {"weights": {"feature_bank": 2.0}}}, "fuse.weights.feature_bank: not a member"),
    ],
)
def test_each_problem_is_named_with_its_path(raw, expected):
    assert expected in problems_of(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"binarize": {"quantile": {"enabled": True, "q": 0.97}}},
        {"overrides": {"rice/test_private": {"binarize": {"quantile": {"enabled": True, "q": 0.123}}}}},
        {"ranking": {"fit": "quantiles", "low": 0.2, "high": 0.85}},
    ],
)
def test_a_quantile_stands_in_one_place(raw):
    load_config(raw)
    check_overrides(raw, CATEGORIES)


def test_all_problems_are_reported_at_once():
    text = problems_of({"merge": {"blnd": 1}, "refine": {"method": "sam9"}, "detectors": {"inp_former": {"epochs": 0}}})
    assert "merge.blnd" in text
    assert "refine.method" in text
    assert "detectors.inp_former.epochs" in text


def test_overrides_are_merged_in_order_of_precision():
    raw = {
        "binarize": {"mean_std": {"k": 3.0}},
        "overrides": {
            "rice": {"binarize": {"mean_std": {"k": 4.0}}, "merge": {"smooth_sigma_px": 2.0}},
            "*/test_private_mixed": {"binarize": {"mean_std": {"k": 5.0}}},
            "rice/test_private_mixed": {"binarize": {"mean_std": {"k": 6.0}}},
        },
    }
    check_overrides(raw, CATEGORIES)
    assert resolve(raw, "fabric", "test_private").binarize.mean_std.k == 3.0
    assert resolve(raw, "rice", "test_private").binarize.mean_std.k == 4.0
    assert resolve(raw, "fabric", "test_private_mixed").binarize.mean_std.k == 5.0
    assert resolve(raw, "rice", "test_private_mixed").binarize.mean_std.k == 6.0
    assert resolve(raw, "rice").merge.smooth_sigma_px == 2.0
    assert resolve(raw, "fabric").merge.smooth_sigma_px == 8.0


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"ric": {"merge": {}}}, "overrides.ric: no category named ric; did you mean rice?"),
        ({"rice/test_privat": {"refine": {}}}, "did you mean test_private?"),
        ({"rice": {"seed": 3}}, "overrides.rice.seed: cannot be overridden here"),
        ({"rice/test_private": {"merge": {}}}, "overrides.rice/test_private.merge: cannot be overridden here"),
        ({"*": {"merge": {}}}, "belong into the sections themselves"),
        ({"rice": {"merge": {"scal": 1}}}, "overrides.rice.merge.scal: unknown key; did you mean scale?"),
    ],
)
def test_bad_overrides_are_named(overrides, expected):
    with pytest.raises(ConfigError) as caught:
        check_overrides({"overrides": overrides}, CATEGORIES)
    assert expected in str(caught.value)


def test_null_drops_an_override():
    raw = {"overrides": {"elsewhere": None, "rice": None}}
    load_config(raw)
    check_overrides(raw, CATEGORIES)
    assert resolve(raw, "rice") == resolve({}, "rice")


def test_deep_merge_replaces_lists_and_leaves_its_inputs_alone():
    base = {"a": {"b": [1, 2], "c": 1}, "d": 4}
    before = copy.deepcopy(base)
    assert deep_merge(base, {"a": {"b": [3]}}) == {"a": {"b": [3], "c": 1}, "d": 4}
    assert base == before


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"relight": {"train_variants": 1}}, "relight: is called light_variants now"),
        ({"merge": {"released": {}}}, "merge.released: is called robis now"),
        ({"merge": {"method": "released"}}, "merge.method: released is called robis now"),
        ({"binarize": {"mebin": {"scores": "released"}}}, "scores: released is called robis now"),
        ({"binarize": {"normal": "validation_relit"}}, "validation_relit is called validation_variants now"),
        ({"detectors": {"efficientad": {"appearance": ["gamma"]}}}, "appearance: is called colour_jitter now"),
        (
            {"detectors": {"efficientad": {"distill": {"appearance_probability": 0.1}}}},
            "appearance_probability: is called colour_jitter_probability now",
        ),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(raw, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(raw)
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_overrides({"overrides": {"woven": raw}}, ("woven",))
