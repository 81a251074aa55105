"""Findings that a training would make, known when a run is planned, and named by their setting."""

import re
from pathlib import Path

import pytest
import yaml

from seamark.errors import ConfigError
from seamark.planning.plan import Plan
from seamark.settings.config import deep_merge

ROOT = Path(__file__).parents[2]
WHOLE = {"grids": {"whole": {"layout": "whole", "input_px": 256}}}
TINY = {"demo": {"train": 1}}
CELLS = {"grids": {"tile": {"layout": "cells", "window_px": 1024, "input_px": 560, "cell_px": 16}}}


def plan(overlay, member=None):
    """Plan the demo with the default configuration, or with one detector as its settings class has it."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    if member:
        raw |= {"detectors": {member: {}}, "fuse": {"members": [member]}, "light_variants": {}, "binarize": {}}
    return Plan(deep_merge(raw, overlay), ROOT)


def of(member, **settings):
    return {"detectors": {member: settings}}


@pytest.mark.parametrize(
    ("member", "overlay", "message"),
    [
        ("inp_former", of("inp_former", layers=[12]), "detectors.inp_former.layers: dinov2_vitb14_reg"),
        ("feature_bank", of("feature_bank", backbone="resnet18", layers=[3]), "increasing numbers within 0..2"),
        ("feature_bank", of("feature_bank", layers=[2, 1]), "detectors.feature_bank.layers: "),
        ("constant", of("constant", layers=[5]), "detectors.constant.layers: efficientnet_lite0: layers [5]"),
        ("inp_former", of("inp_former", backbone="resnet"), "detectors.inp_former.backbone: no backbone named resnet"),
        ("urd", of("urd", backbone="dinov2_vits14_reg"), "detectors.urd.backbone: "),
        ("inp_former", {"grids": {"tile": {"input_px": 500}}}, "input_px to 490 or 504"),
        ("inp_former", {"grids": {"tile": {"input_px": [518, 7]}}}, "input width 7 px"),
        ("pfadseg", {"grids": {"tile": {"input_px": 500}}}, "detectors.pfadseg on grids.tile.input_px 500: "),
        ("aand", {"grids": {"tile": {"input_px": 48}}}, "multiple of 32 px; set the grid's input_px to 32 or 64"),
        ("efficientad", {"grids": {"tile": {"input_px": 32}}}, "set the grid's input_px to at least 33"),
        ("efficientad", of("efficientad", backbone="dinov2_vits14_reg"), "distill.input_px 256: the backbone"),
        ("inp_former", of("inp_former", groups=[[0], [9]]), "detectors.inp_former.groups [[0], [9]]"),
        ("inp_former", of("inp_former", decoder_blocks=3), "detectors.inp_former.decoder_blocks 3"),
        ("inp_former", of("inp_former", heads=7), "detectors.inp_former.heads 7 does not divide"),
        (
            "pfadseg",
            of("pfadseg", quarter_turns=True) | {"grids": {"tile": {"input_px": [64, 96]}}},
            "detectors.pfadseg.quarter_turns needs square tiles",
        ),
        ("aurd", WHOLE | TINY | of("aurd", grid="whole"), "detectors.aurd trains on at least 2 tiles"),
        (
            "pfadseg",
            WHOLE | {"data": {"train_images": 2}, "crossfit": {"folds": 2}} | of("pfadseg", grid="whole"),
            "detectors.pfadseg trains on at least 2 tiles",
        ),
        ("constant", {"demo": {"validation": 1}, "binarize": {"evt": {"enabled": True}}}, "binarize.evt.enabled: "),
        (None, {"binarize": {"extent": {"enabled": True}, "peak_share": 0.5}}, "peak_share to 0, or extent.enabled to"),
        (None, {"binarize": {"extent": {"floor_quantile": 0.97}}}, "binarize.extent.floor_quantile: 0.97 is not"),
        (
            "constant",
            {"demo": {"validation": 1}, "overrides": {"*/test_public": {"binarize": {"conformal": {"enabled": True}}}}},
            "binarize.conformal.alpha 0.2 needs at least 4 normal images, there are 1",
        ),
        (None, {"overrides": {"woven": {"detectors": {"bank_tile": {"layers": [9]}}}}}, "detectors.bank_tile.layers"),
        (None, {"ablate": {"deep": of("bank_tile", layers=[9])}}, "deep: detectors.bank_tile.layers: "),
        (None, {"data": {"root": "data/{demo}"}}, "choose a folder without these"),
        (None, {"data": {"root": "data/<demo>"}}, "choose a folder without these"),
        (None, {"calibrate": {"quantiles": [0.5, 0.99999999]}}, "0.99999999 would be 1: round it"),
        ("feature_bank", of("feature_bank", candidates_per_vector=1e308), "feature_bank.candidates_per_vector: "),
        ("urd", of("urd", adam_betas=[0.9, 1.0]), "adam_betas"),
        (None, {"light_variants": {"wide": {"log_gain": [1.0, -1.0]}}}, "log_gain [1, -1]"),
        (None, {"light_variants": {"wide": {"gain": [1.2, 0.8]}}}, "gain [1.2, 0.8]: expected 0.05..20"),
        (None, {"binarize": {"closing": {"enabled": True}}}, "and extent.enabled is set: set extent.enabled to false"),
        ("superadd", of("superadd", bank_size=50), "bank_size 50 gives no vector to each of rounds 100"),
        ("superadd", {"merge": {"method": "cut"}} | of("superadd"), "need each other, found cut and even"),
        ("superadd", CELLS | of("superadd"), "need each other, found exact and cells"),
        (
            "superadd",
            {"grids": {"tile": {**CELLS["grids"]["tile"], "input_px": 512, "cell_px": 10}}} | of("superadd"),
            "the layout cells needs a square of whole cells of cell_px 10",
        ),
        (
            "superadd",
            CELLS | {"merge": {"method": "cut"}} | of("superadd", backbone="dinov2_vits14_reg"),
            "on grids.tile.input_px 560: cells of cell_px 16 are no whole ones of 14 px; set it to 14",
        ),
        (None, of("inp_former", max_steps=10**400), "a number of 1329 bits; expected one below 2^63"),
        (None, {"data": {"root": "x" * 300}}, "data.root: 'xxx"),
        (None, of("inp_former", weights="a\0b"), "detectors.inp_former.weights: 'a\\x00b'"),
        (None, {"fuse": {"members": ["\udcff"]}}, "fuse.members.0: '\\udcff'"),
    ],
)
def test_what_cannot_work_is_refused_at_planning(member, overlay, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan(overlay, member)


@pytest.mark.parametrize(
    ("member", "overlay"),
    [
        ("efficientad", {"grids": {"tile": {"input_px": 33}}}),
        ("efficientad", of("efficientad", backbone="dinov2_vits14_reg", distill={"input_px": 224})),
        ("inp_former", of("inp_former", layers=[3], decoder_blocks=3)),
        ("aurd", WHOLE | TINY | {"light_variants": {"train_variants": 1}} | of("aurd", grid="whole")),
        ("aurd", TINY),
        (None, of("urd", backbone="no_member_has_it", layers=None)),
    ],
)
def test_what_works_is_planned(member, overlay, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plan(overlay, member).archive()
