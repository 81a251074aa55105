"""Variations as they are read: what they may set, where presets lie, which rows the presets of comparisons have."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from seamark.errors import ConfigError, WeightsError
from seamark.planning.jobs import StageJob
from seamark.planning.plan import Plan
from seamark.registry import DETECTORS
from seamark.settings.config import deep_merge
from seamark.settings.detectors import detector_settings_class
from seamark.settings.promises import promises_of, promises_text

ROOT = Path(__file__).parents[2]
CATEGORIES = ("bolt", "cloth")


def photographs(folder, categories=CATEGORIES, number=1):
    """Empty files in every split: planning opens no photograph."""
    for category in categories:
        for name in ("train/good", "validation/good", "test_public/good", "test_private", "test_private_mixed"):
            (folder / category / name).mkdir(parents=True)
            for one in range(number):
                (folder / category / name / f"{one:03d}_regular.png").touch()
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("photographs"), number=2)


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
        ({"ablate": {"a": {"fuse": {"members": ["constant"]}}}}, r"ablate\.a: (.|\n)*constant has no block under"),
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


@pytest.mark.parametrize(
    ("preset", "detector", "rows", "untrained"),
    [
        ("aand", "aand", 10, {}),
        ("aurd", "aurd", 3, {}),
        ("pfadseg", "pfadseg", 7, {}),
        (
            "efficientad_cdo",
            "efficientad",
            8,
            {
                "student_and_autoencoder": "student_alone",
                "student_and_autoencoder_with_imagenet": "student_alone_with_imagenet",
            },
        ),
    ],
)
def test_the_ablation_of_a_detector_trains_each_row_once(tmp_path, preset, detector, rows, untrained):
    photographs(tmp_path, ("bolt", "fabric"), number=2)
    planned = plan(tmp_path, {}, preset, f"ablate_{detector}")
    train = StageJob("train", "bolt", detector=detector)
    places = {row.place: row.name for row in planned.variations}
    owners = {row.name: places[planned.jobs.owner(row.place, train)] for row in planned.variations}
    assert len(owners) == rows
    assert {name: owner for name, owner in owners.items() if name != owner} == untrained
    if detector == "aurd":
        augmentation = variations(planned)["urd"].resolved("fabric").detector_blocks["aurd"].augmentation
        assert {name: share for name, share in augmentation if name.endswith("probability") and share} == {}


def test_the_comparison_of_detectors_has_every_detector_but_the_constant_one(root):
    rows = variations(plan(root, {}, "compare_detectors"))
    members = {name: row.config.fuse.members for name, row in rows.items()}
    assert {member for listed in members.values() for member in listed} == {
        "bank_tile", "bank_picture", "inp_former", "feature_bank", "superadd", "urd", "aurd", "pfadseg", "aand",
        "efficientad",
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


ONE_LINE = {"overrides": {"bolt": {"fuse": {"members": ["aand"]}}}}


CLOTH = {"category": "cloth", "detector": "bank_tile"}


def block_of(preset, detector):
    settings = yaml.safe_load((ROOT / f"presets/{preset}.yaml").read_text())
    return detector_settings_class(detector).model_validate(settings["detectors"][detector])


def test_another_detector_for_one_category_is_one_line(root):
    planned, before = plan(root, ONE_LINE), plan(root, {})
    bolt, cloth = planned.variations[0].resolved("bolt"), planned.variations[0].resolved("cloth")
    assert bolt.detector_blocks["aand"] == block_of("aand", "aand")
    assert (bolt.grids["whole"].layout, bolt.grids["whole"].input_px) == ("whole", 256)
    assert cloth.fuse.members == ("bank_tile", "bank_picture")
    jobs = planned.jobs.behind("demo", ["report"])
    assert {job.detector for job in jobs if job.category == "bolt"} == {None, "aand"}
    of_cloth = [job for job in jobs if job.category == "cloth"]
    assert [planned.jobs.signature("demo", job) for job in of_cloth] == [
        before.jobs.signature("demo", job) for job in of_cloth
    ]
    for name in ("detector", "grid"):
        assert all(re.fullmatch(planned.wildcards[name], getattr(job, name)) for job in jobs if getattr(job, name))
    train = SimpleNamespace(place="demo", category="bolt", detector="aand", split=None, fold=None)
    assert planned.code("train")(train) != planned.code("train")(SimpleNamespace(**vars(train) | CLOTH))
    assert planned.memory("train")(train) > 0
    with pytest.raises(WeightsError, match="wide_resnet50_2"):
        planned.require_weights([SimpleNamespace(rule=SimpleNamespace(name="train"), wildcards=train)])
    (line,) = [note for note in planned.notes() if note.startswith("detector")]
    assert line.startswith("detector aand of bolt: block and grid are those of presets/aand.yaml; merge, ")
    notes = plan(root, {"verdict": {"alpha": 0.4, "benchmark_alpha": 0.4}}).notes()
    assert notes == ["thresholds: " + promises_text(promises_of(cloth.binarize))]


@pytest.mark.parametrize("detector", [name for name in DETECTORS if name != "constant"])
def test_every_detector_can_be_a_member_without_more(root, detector):
    raw = {"fuse": {"members": [detector]}}
    without = {"data": {"root": str(root), "demo": False}, "grids": {"tile": {"input_px": 448}}, **raw}
    own = Plan(without, ROOT).variations[0]
    assert own.grid("bolt", detector) in own.config.grids
    assert plan(root, raw).variations[0].members("bolt") == (detector,)


def test_grids_of_one_name_are_told_apart(root):
    config = plan(root, {"fuse": {"members": ["urd", "aand", "aurd"]}}).config
    assert [config.detector_blocks[name].grid for name in config.fuse.members] == ["whole", "aand_whole", "aurd_whole"]
    assert config.grids["aurd_whole"].input_px == (512, 608)


def test_what_a_preset_says_of_a_category_comes_along_and_a_block_of_ones_own_stays(tmp_path):
    root = photographs(tmp_path, ["can"])
    taken = plan(root, {"overrides": {"can": {"fuse": {"members": ["aurd"]}}}}).variations[0].resolved("can")
    assert taken.detector_blocks["aurd"].synthesis.foreground.method == "grabcut"
    assert taken.grids["whole"].input_px == (256, 544)
    own = {"detectors": {"aurd": {"steps": 7}}, "overrides": {"can": {"fuse": {"members": ["aurd"]}}}}
    block = plan(root, own).variations[0].resolved("can").detector_blocks["aurd"]
    assert (block.steps, block.grid, block.synthesis.foreground.method) == (7, "tile", "none")


def test_blocks_of_a_type_and_nothing_else_take_the_preset_of_their_detector(root):
    types = {"first": "aurd", "second": "aurd", "student": "efficientad", "own": "feature_bank"}
    blocks = {name: {"type": kind} for name, kind in types.items()} | {"own": {"type": "feature_bank", "bank_size": 9}}
    planned = plan(root, {"detectors": blocks, "fuse": {"members": ["urd", *types]}})
    first, second, student, own = (planned.config.detector_blocks[name] for name in types)
    assert first == second == block_of("aurd", "aurd").model_copy(update={"grid": "aurd_whole"})
    assert student == block_of("efficientad_cdo", "efficientad").model_copy(update={"grid": student.grid})
    assert own == detector_settings_class("feature_bank").model_validate({"bank_size": 9})
    told = [note for note in planned.notes() if note.startswith("detector")]
    assert [note.split()[1] for note in told] == ["urd", "first", "second", "student"]
    assert "those of presets/efficientad_cdo.yaml" in told[-1]


def test_blocks_of_one_type_are_planned_as_blocks_of_their_detector_are(root):
    whole = {"layout": "whole", "window_px": 64, "input_px": 64}
    bank = {"backbone": "efficientnet_lite0", "layers": [2]}
    blocks = {name: {"type": "feature_bank", "grid": name, **bank} for name in ("tile", "whole")}
    student = {"student": {"type": "efficientad", "backbone": "wide_resnet50_2"}}
    both = {"fuse": {"members": ["tile", "whole", "student"]}, "grids": {"whole": whole}, "keep_tiles": True}
    named = plan(root, {**both, "detectors": blocks | student})
    jobs = named.jobs.behind("demo", ["report"])
    assert {job.detector for job in jobs} == {None, "tile", "whole", "student"}
    assert {job.grid for job in jobs} == {None, "tile", "whole"}
    assert named.jobs.manifest("demo", StageJob("train", "bolt", detector="whole")) == (
        "out/demo/20_models/whole/bolt/fit.json"
    )
    alone = plan(root, {"fuse": {"members": ["feature_bank"]}, "detectors": {"feature_bank": blocks["tile"]}})
    own, old = (
        SimpleNamespace(place="demo", category="bolt", detector=name, split=None, fold=None)
        for name in ("tile", "feature_bank")
    )
    for asked in ("train", "infer"):
        assert named.code(asked)(own) == alone.code(asked)(old)
        assert named.memory(asked)(own) == alone.memory(asked)(old)
    assert named.detector_class(own) == DETECTORS["feature_bank"].target
    assert named.resolved_config()["detectors"]["whole"]["type"] == "feature_bank"
    teacher = next(iter(named.teachers))
    distill = SimpleNamespace(rule=SimpleNamespace(name="distill"), wildcards=SimpleNamespace(teacher=teacher))
    assert named.memory("distill")(distill.wildcards) > 0
    with pytest.raises(WeightsError, match=r"detectors\.student\.weights: "):
        named.require_weights([distill])


@pytest.mark.parametrize("where", ["overrides", "ablate"])
def test_what_weighs_the_former_members_falls_away_with_them(root, where):
    run = {
        "fuse": {"members": ["efficientad", "feature_bank"], "weights": {"feature_bank": 2.0}},
        "merge": {"alpha": 0.7},
    }
    row = plan(
        root, {**run, where: {"bolt": {"fuse": {"members": ["aand", "urd"], "weights": {"urd": 3.0}}}}}
    ).variations[-1]
    config = row.resolved("bolt")
    assert (config.fuse.weights, config.merge.alpha) == ({"urd": 3.0}, None)
    assert plan(root, run).config.merge.alpha == 0.7


def test_a_detector_and_a_grid_of_one_category_alone_are_planned(root):
    fine = {"layout": "even", "window_px": 200, "input_px": 224}
    block = {"fuse": {"members": ["urd"]}, "detectors": {"urd": {"grid": "fine"}}, "grids": {"fine": fine}}
    planned = plan(root, {"overrides": {"bolt": block}})
    assert re.fullmatch(planned.wildcards["grid"], "fine")
    assert planned.variations[0].grid("bolt", "urd") == "fine"


def test_rates_that_few_normal_images_cannot_tell_are_told_or_refused(root):
    overrides = {"bolt": {"verdict": {"benchmark_alpha": 0.4}}}
    told = "8 normal images tell no smaller share than 0.111, which is taken instead; needs at least 19"
    assert plan(root, {"verdict": {"benchmark_alpha": 0.1}, "overrides": overrides}).notes()[1:] == [
        f"verdicts of bolt: verdict.alpha 0.05: {told}",
        f"verdicts of cloth: verdict.alpha 0.05 and verdict.benchmark_alpha 0.1: {told}",
    ]
    with pytest.raises(ConfigError, match=r"category bolt: verdict.alpha 0.05: needs at least 19 normal images"):
        plan(root, {"verdict": {"too_few": "refuse"}})


def test_work_that_no_threshold_uses_is_told(tmp_path):
    idle = {"crossfit": {"folds": 2}, "light_variants": {"validation_variants": 1}}
    overrides = {"bolt": {**idle, "binarize": {"normal": "validation_variants"}}}
    notes = plan(photographs(tmp_path, number=2), {"overrides": overrides}).notes()
    assert [note for note in notes if "no threshold" in note] == [
        "crossfit.folds 2 of bolt: work that no threshold uses; binarize.normal is validation_variants"
    ]
