"""How variations are read: what they may set, where presets lie, which rows the presets of comparisons have."""

from pathlib import Path

import pytest
import yaml

from seamark.errors import ConfigError
from seamark.planning.jobs import StageJob
from seamark.planning.plan import Plan
from seamark.settings.config import deep_merge

ROOT = Path(__file__).parents[2]
CATEGORIES = ("bolt", "cloth")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One empty file per split: planning opens no photograph."""
    folder = tmp_path_factory.mktemp("photographs")
    for category in CATEGORIES:
        for name in ("train/good", "validation/good", "test_public/good", "test_private", "test_private_mixed"):
            (folder / category / name).mkdir(parents=True)
            (folder / category / name / "000_regular.png").touch()
    return folder


def plan(root, overlay, *presets):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for preset in presets:
        raw = deep_merge(raw, yaml.safe_load((ROOT / "presets" / f"{preset}.yaml").read_text()))
    data = {"data": {"root": str(root), "truth_root": None, "demo": False}}
    return Plan(deep_merge(deep_merge(raw, data), overlay), ROOT)


def variations(plan):
    return {variation.name: variation for variation in plan.variations}


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"ablate": {"a": {"merge": {"blnd": "mean"}}}},
            r"ablate\.a: (.|\n)*merge\.blnd: unknown key; did you mean blend",
        ),
        ({"ablate": {"a": {"seed": 2, "data": {}}}}, r"ablate\.a: a variation cannot set seed, data: "),
        ({"ablate": {"a": {"keep_tiles": False}}}, r"ablate\.a: a variation cannot set keep_tiles"),
        ({"ablate": {"a": {"overrides": {"blot": {"merge": {}}}}}}, r"ablate\.a: (.|\n)*no category named blot"),
        ({"ablate": {"a": {"fuse": {"members": ["urd"]}}}}, r"ablate\.a: (.|\n)*urd has no block under detectors"),
        ({"run": "mine", "ablate": {"mine": {}}}, r"ablate\.mine: the name is that of the run itself"),
        ({"ablate": {"a": {}}, "compare": {"presets": {"a": {}}}}, r"compare\.presets\.a: the name is that of ablate"),
        ({"ablate": {"a": {}}, "compare": {"runs": ["a"]}}, r"compare\.runs\.a: the name is that of ablate"),
        ({"ablate": {"a/b": {}}}, r"ablate\.a/b"),
        ({"ablate": {"a": 3}}, r"ablate\.a"),
        ({"ablate": {"a": ["no.yaml"]}}, r"ablate\.a: no preset no\.yaml; looked for in /"),
        ({"compare": {"presets": {"a": ["README.md"]}}}, r"compare\.presets\.a: .*README\.md: "),
    ],
)
def test_bad_variations_are_refused_by_name(root, overlay, message):
    with pytest.raises(ConfigError, match=message):
        plan(root, overlay)


def test_all_bad_variations_are_named_at_once(root):
    with pytest.raises(ConfigError) as caught:
        plan(root, {"ablate": {"a": {"seed": 1}, "b": {"run": "x"}, "c": {}}})
    assert "ablate.a" in str(caught.value)
    assert "ablate.b" in str(caught.value)
    assert "ablate.c" not in str(caught.value)


def test_presets_come_from_the_working_folder_first_and_leave_the_data_alone(root, tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    overlay = {"run": "x", "seed": 9, "data": {"root": "nowhere"}, "refine": {"top_n": 7}, "report": {"best_images": 0}}
    (tmp_path / "presets/feature_bank.yaml").write_text(yaml.safe_dump(overlay))
    monkeypatch.chdir(tmp_path)
    files = ["presets/feature_bank.yaml", {"refine": {"constrain_px": 3}}, "presets/urd_small_backbone.yaml"]
    row = variations(plan(root, {"compare": {"presets": {"row": files}}}))["row"]
    assert (row.config.refine.top_n, row.config.refine.constrain_px) == (7, 3)
    assert row.config.fuse.members == ("urd",)
    assert (row.config.run, row.config.seed, str(row.config.data.root)) == ("demo", 1, str(root))
    assert row.config.report.best_images == 3
    assert yaml.safe_load(row.changes) == {"presets": [files[0], files[2]], "refine": {"constrain_px": 3}}


def test_a_variation_that_is_null_is_dropped(root):
    assert set(variations(plan(root, {"ablate": {"a": None, "b": {}}}))) == {"demo", "b"}


def test_the_ablation_of_robis_trains_twice_beside_the_run(root):
    planned = plan(root, {}, "robis", "small_backbone", "ablate_robis")
    train = StageJob("train", "bolt", detector="inp_former")
    masks = StageJob("binarize", "bolt", "test_private")
    trained, thresholded = (
        {row.name for row in planned.variations if planned.jobs.owner(row.place, job) == row.place}
        for job in (train, masks)
    )
    assert trained == {"ablate_robis", "whole_images", "no_augmentation"}
    assert thresholded == {*trained, "repaired", "no_mebin"}
    assert set(variations(planned)) == {*thresholded, "no_refinement", "no_mebin_no_refinement"}
    assert {row.config.refine.method for row in planned.variations} == {"grabcut", "none"}


def test_the_comparison_of_detectors_has_every_detector_but_the_constant_one(root):
    rows = variations(plan(root, {}, "compare_detectors"))
    members = {name: row.config.fuse.members for name, row in rows.items()}
    assert {member for listed in members.values() for member in listed} == {
        "inp_former", "feature_bank", "urd", "aurd", "pfadseg", "aand", "efficientad",
    }  # fmt: skip
    attention = rows["destseg"].config.detector_blocks["pfadseg"].attention
    assert (attention.pcar, attention.aff, attention.rcm) == (False, False, False)
    assert rows["efficientad"].config.detector_blocks["efficientad"].penalty == "none"
    assert rows["reverse_distillation"].config.detector_blocks["aand"].amplification is None
    alone = [row.config for row in rows.values() if len(row.config.fuse.members) == 1]
    assert len({config.binarize.model_dump_json() for config in alone}) == 1
    assert all(
        config.binarize.enabled_rules == ("mean_std",) and not config.light_variants.train_variants for config in alone
    )
    assert len({row.config.refine.model_dump_json() for row in rows.values()}) == 1
