import copy
import re
from datetime import date
from typing import get_args

import pytest
from pydantic import BaseModel

from seamark.errors import ConfigError
from seamark.registry import DETECTORS
from seamark.settings.config import (
    Config,
    check_overrides,
    deep_merge,
    load_config,
    resolve,
)
from seamark.settings.detectors import detector_settings_class
from seamark.settings.grid import GridSettings

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
            {"detectors": {"bank": {"bank_size": 9}}},
            "detectors.bank: no such detector; did you mean feature_bank? (a name",
        ),
        (
            {"detectors": {"bank": {"type": "feature_bnk"}}},
            "detectors.bank.type: expected the name of a detector, found feature_bnk; did you mean feature_bank?",
        ),
        (
            {"detectors": {"bank": {"type": None}}},
            "detectors.bank.type: expected the name of a detector, found null; possible: inp_former, feature_bank,",
        ),
        (
            {"detectors": {"inp_former": {"type": "urd"}}},
            "detectors.inp_former.type: inp_former is a detector itself; give a block of type urd a name of its own",
        ),
        ({"detectors": {"a/b": {"type": "urd"}}}, "detectors.a/b: expected a name of at most 100 letters, digits, _"),
        (
            {"detectors": {"bank": {"type": "feature_bank", "bank_sze": 9}}},
            "detectors.bank.bank_sze: unknown key; did you mean bank_size?",
        ),
        (
            {"detectors": {"bank": {"type": "feature_bank", "bank_size": "x"}}},
            "detectors.bank.bank_size: expected a whole number, at least 2, found x",
        ),
        (
            {"detectors": {"bank": {"type": "feature_bank", "grid": "tiles"}}},
            "detectors.bank.grid: no grid named tiles; did you mean tile?",
        ),
        (
            {"detectors": {"bank_whole": {"type": "feature_bank"}}, "fuse": {"members": ["bank_whoel"]}},
            "fuse.members: bank_whoel has no block under detectors; did you mean bank_whole?",
        ),
        (
            {"detectors": {"student": {"type": "urd"}}, "fuse": {"members": ["student"]}, "merge": {"alpha": 0.3}},
            "merge.alpha: weighs the maps of efficientad, which is not among fuse.members",
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
        (
            {"fuse": {"members": ["feature_bank"]}},
            "fuse.members: feature_bank has no block under detectors; possible: inp_former",
        ),
        ({"fuse": {"members": ["efficientad_cdo"]}}, "under detectors; did you mean efficientad?"),
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
        ({"data": {"root": "$NO_SUCH/x"}}, "data.root: $NO_SUCH/x: $NO_SUCH is not set in the environment"),
        ({"refine": {"sam": {"weights": "${NO_SUCH}/x"}}}, "refine.sam.weights: ${NO_SUCH}/x: $NO_SUCH is not set"),
        ({"data": {"truth_root": "~no_such_user/x"}}, "data.truth_root: ~no_such_user/x: the home folder of"),
        ({"data": {"root": ""}}, "data.root: expected a path, found an empty text"),
        ({"data": {"root": "a\0"}}, "data.root: 'a\\x00': expected no line breaks, control codes"),
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


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({"train_images": 5}, "data.train_images"),
        ({"merge": {"Train-Images": 5}}, "data.train_images"),
        ({"data.train_images": 5}, "data.train_images, which is a key below another: no dots in keys"),
        ({"data": {"merge": {"scale": 0.5}}}, "merge"),
        ({"window_px": 5}, "grids.<name>.window_px"),
        ({"grids": {"fine": {}}, "detectors": {"inp_former": {"window_px": 5}}}, "grids.fine.window_px"),
        ({"inp_former": {}}, "detectors.inp_former"),
        ({"bank_size": 5, "detectors": {"inp_former": {}, "b": {"type": "feature_bank"}}}, "detectors.b.bank_size"),
        ({"detectors": {"inp_former": {}, "epochs": 5}}, "detectors.inp_former.epochs"),
        ({"binarize": {"k": 2.0}}, "binarize.mean_std.k or binarize.peaks.k"),
        ({"detectors": {"inp_former": {"exposure_stops": 1}}}, "detectors.inp_former.augmentation.exposure_stops"),
    ],
)
def test_a_key_at_the_wrong_level_is_told_where_it_belongs(raw, place):
    assert f"; it belongs at {place}\n" in problems_of(raw) + "\n"


def test_settings_of_a_category_are_told_their_place():
    assert "woven: unknown key; settings of one category stand below overrides: overrides.woven" in problems_of(
        {"woven": {"merge": {"scale": 0.5}}}
    )


def test_a_key_at_the_wrong_level_of_an_override_is_told_where_it_belongs():
    with pytest.raises(ConfigError, match=r"overrides\.rice\.blend: unknown key; it belongs at merge\.blend$"):
        check_overrides({"overrides": {"rice": {"blend": "mean"}}}, CATEGORIES)


def all_settings(model, value):
    """A block in which every setting has the same value, with the paths of all of them."""
    block, paths = {}, []
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        inner = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        block[name], below = all_settings(inner, value) if inner else (value, [""])
        paths += [f"{name}.{path}".rstrip(".") for path in below]
    return block, paths


def everything(value):
    raw, paths = all_settings(Config, value)
    raw["grids"] = {"tile": all_settings(GridSettings, value)[0]}
    paths = [path for path in paths if path.partition(".")[0] not in ("grids", "detectors")]
    paths += [f"grids.tile.{path}" for path in all_settings(GridSettings, value)[1]]
    raw["detectors"] = {}
    for name in DETECTORS:
        raw["detectors"][name], below = all_settings(detector_settings_class(name), value)
        paths += [f"detectors.{name}.{path}" for path in below]
    return raw, paths


FOREIGN = re.compile(
    r"pydantic|Input should|[Ff]ield required|[Vv]alid (string|integer|number|dictionary|tuple|list|boolean)|<class|"
    r"\[key\]|function-|literal\[|unable to parse|validation error|pathlib|PosixPath|datetime|"
    r"\b(str|int|float|dict|tuple|bool|bytes|None|True|False|NoneType)\b"
)
WRONG = [None, 7, -1.5, 10**30, float("nan"), True, "x", "1e5", "", b"x", [], [None], ["x", 1], {}, {"x": 1}, {1: 2}]


def test_a_date_is_refused_by_every_setting_with_its_name():
    raw, paths = everything(date(2024, 1, 2))
    lines = problems_of(raw).splitlines()[1:]
    assert {line.split(":")[0].removeprefix("  - ") for line in lines} == set(paths)
    assert all(re.fullmatch(r"  - [\w.]+: expected .+, found 2024-01-02.*", line) for line in lines), lines


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_messages_are_in_the_words_of_settings(value):
    for line in problems_of(everything(value)[0]).splitlines()[1:]:
        assert not FOREIGN.search(line), line
        assert re.match(r"  - [\w.]+(, entry \d+)*(: expected .+, found |: |\.)", line), line


def test_a_path_has_home_and_variables_filled_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("PHOTOGRAPHS", "/disk")
    given = {"~/a": "/home/somebody/a", "$PHOTOGRAPHS/a": "/disk/a", "${PHOTOGRAPHS}s": "/disks", "a$/b": "a$/b"}
    for text, path in given.items():
        config = load_config({"data": {"root": text}, "detectors": {"inp_former": {"weights": text}}})
        assert str(config.data.root) == config.detector_blocks["inp_former"].weights == path
    (tmp_path / "$MONEY").mkdir()
    assert str(load_config({"data": {"root": "$MONEY"}}).data.root) == "$MONEY"


def test_all_problems_are_reported_at_once():
    text = problems_of({"merge": {"blnd": 1}, "refine": {"method": "sam9"}, "detectors": {"inp_former": {"epochs": 0}}})
    assert "merge.blnd" in text
    assert "refine.method" in text
    assert "detectors.inp_former.epochs" in text


TWO_BANKS = {
    "grids": {"tile": {}, "whole": {"layout": "whole"}},
    "detectors": {
        "bank_whole": {"type": "feature_bank", "grid": "whole", "bank_size": 7},
        "bank_tile": {"type": "feature_bank"},
        "student": {"type": "efficientad"},
        "urd": {"type": "urd", "steps": 3},
        "aand": {},
    },
    "fuse": {"members": ["bank_whole", "bank_tile", "student"], "weights": {"bank_whole": 2.0}},
    "merge": {"alpha": 0.7},
}


def test_a_block_under_a_name_of_its_own_is_of_its_type():
    config = load_config(TWO_BANKS)
    blocks = config.detector_blocks
    assert list(config.detector_types.values()) == ["feature_bank", "feature_bank", "efficientad", "urd", "aand"]
    assert all(type(blocks[name]) is detector_settings_class(kind) for name, kind in config.detector_types.items())
    assert [(blocks[name].grid, blocks[name].bank_size) for name in ("bank_whole", "bank_tile")] == [
        ("whole", 7),
        ("tile", 10_000),
    ]
    unnamed = {**TWO_BANKS, "detectors": TWO_BANKS["detectors"] | {"urd": {"steps": 3}}}
    assert load_config(unnamed).detector_blocks == blocks


@pytest.mark.parametrize(
    ("block", "size", "alpha"),
    [
        ({"detectors": {"bank_tile": {"bank_size": 9}}}, 9, 0.7),
        ({"fuse": {"members": ["bank_tile", "student"]}}, 10_000, 0.7),
        ({"fuse": {"members": ["bank_tile"]}}, 10_000, None),
    ],
)
def test_a_category_changes_blocks_by_name(block, size, alpha):
    raw = {**TWO_BANKS, "overrides": {"rice": block}}
    check_overrides(raw, CATEGORIES)
    rice, fabric = resolve(raw, "rice"), resolve(raw, "fabric")
    assert (rice.detector_blocks["bank_tile"].bank_size, rice.merge.alpha) == (size, alpha)
    assert (fabric.detector_blocks, fabric.merge.alpha) == (load_config(TWO_BANKS).detector_blocks, 0.7)
    assert "bank_tile" in rice.fuse.members


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
        ({"relight": {"train_variants": 1}}, "relight: unknown key; it is called light_variants now"),
        ({"merge": {"released": {}}}, "merge.released: unknown key; it is called robis now"),
        ({"merge": {"method": "released"}}, "merge.method: released is called robis now"),
        ({"binarize": {"mebin": {"scores": "released"}}}, "scores: released is called robis now"),
        ({"binarize": {"normal": "validation_relit"}}, "validation_relit is called validation_variants now"),
        (
            {"detectors": {"efficientad": {"appearance": ["gamma"]}}},
            "appearance: unknown key; it is called colour_jitter now",
        ),
        (
            {"detectors": {"efficientad": {"distill": {"appearance_probability": 0.1}}}},
            "appearance_probability: unknown key; it is called colour_jitter_probability now",
        ),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(raw, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(raw)
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_overrides({"overrides": {"woven": raw}}, ("woven",))
