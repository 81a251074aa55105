"""Presets resolved for every category and split of MVTec AD 2, and runs without weights."""

import pytest
import yaml
from snakemake.utils import update_config
from tests.workflow.project import CONFIG as TINY
from tests.workflow.project import ROOT, Project

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.errors import ConfigError, WeightsError
from seamark.manifests.base import read_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.planning.plan import Plan
from seamark.planning.required_weights import detector_weights, require_all
from seamark.planning.variations import plain
from seamark.settings.binarize import RULES
from seamark.settings.config import Config, check_overrides, deep_merge, load_config, resolve

CATEGORIES = tuple(OFFICIAL_COUNTS)
SPLITS = ("validation", "test_public", "test_private", "test_private_mixed")
PRESETS = ROOT / "presets"
GOLDEN = ROOT / "tests" / "golden" / "presets"
ALONE = tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))
TOGETHER = (
    ("robis", "robis_repaired"),
    ("superadd", "superadd_repaired"),
    ("superadd", "superadd_small_backbone"),
    ("superadd", "superadd_repaired", "superadd_small_backbone"),
    ("robis", "small_backbone"),
    ("aand", "aand_small_backbone"),
    ("aand", "reverse_distillation_small_backbone"),
    ("urd", "urd_small_backbone"),
    ("aurd", "aurd_small_backbone"),
    ("pfadseg", "pfadseg_small_backbone"),
    ("efficientad_cdo", "efficientad_cdo_small_backbone"),
    ("inp_former_small_backbone", "seamark_small"),
    ("feature_bank", "mean_std_thresholds"),
)
VARYING = {path.stem for path in PRESETS.glob("ablate_*.yaml")} | {"choose", "compare_detectors"}
"""Presets that name variations, of the run that they are laid over."""
WITH_THRESHOLDS = {
    "robis",
    "robis_repaired",
    "superadd",
    "superadd_repaired",
    "seamark",
    "seamark_small",
    "mean_std_thresholds",
}
OF_A_DETECTOR = {"run", "data", "light_variants", "grids", "detectors", "merge", "fuse", "overrides"}
"""Sections of a preset that is not in WITH_THRESHOLDS."""
PUBLISHED = {
    "urd": "wide_resnet50_2-95faca4d",
    "aurd": "wide_resnet50_2-95faca4d",
    "aand": "wide_resnet50_2-95faca4d",
    "pfadseg": "resnet18-f37072fd",
    "seamark": "dinov2_vitb14_reg4_pretrain",
}
"""Weights of presets that need a file of the user's."""


def merged(*presets):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for preset in presets:
        raw = deep_merge(raw, yaml.safe_load((PRESETS / f"{preset}.yaml").read_text()))
    return raw


def changed(before, after, path=""):
    """Keys whose values differ, as dotted paths."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return {path: after} if before != after else {}
    keys = {*before, *after}
    parts = [changed(before.get(key), after.get(key), f"{path}.{key}".lstrip(".")) for key in sorted(keys)]
    return {key: value for part in parts for key, value in part.items()}


def used(config):
    """Every value that a run reads: the sections, and of detectors and grids those of the members."""
    blocks = {name: plain(config.detector_blocks[name]) for name in config.fuse.members}
    grids = {name: plain(config.grids[name]) for name in sorted({block["grid"] for block in blocks.values()})}
    sections = config.model_dump(mode="json", exclude={"detectors", "grids", "overrides"})
    return {"detectors": blocks, "grids": grids, **sections}


def resolved(config):
    """Every value of the members' blocks and grids, and those of other sections that are no defaults."""
    own = used(config)
    blocks = {name: own.pop(name) for name in ("detectors", "grids")}
    return blocks | changed(Config().model_dump(mode="json", exclude={*blocks, "overrides"}), own)


@pytest.mark.parametrize("presets", [(name,) for name in ALONE] + list(TOGETHER), ids="+".join)
def test_what_a_preset_resolves_to_is_on_record(presets, fix):
    raw = merged(*presets)
    check_overrides(raw, CATEGORIES)
    whole = load_config(raw)
    found = {"whole": resolved(whole)}
    for category in CATEGORIES:
        own = used(resolve(raw, category))
        parts = {category: changed(used(whole), own)}
        parts |= {f"{category}/{split}": changed(own, used(resolve(raw, category, split))) for split in SPLITS}
        found |= {key: part for key, part in parts.items() if part}
    text = yaml.safe_dump(found, sort_keys=True, default_flow_style=None, width=120)
    path = GOLDEN / f"{'+'.join(presets)}.yaml"
    if fix:
        path.write_text(text)
    assert path.is_file(), f"no {path.name}: write it with pytest --fix, and read it"
    assert path.read_text() == text


@pytest.mark.parametrize("name", sorted({*ALONE} - VARYING))
def test_a_preset_says_nothing_of_thresholds_unless_its_beginning_does(name):
    text = (PRESETS / f"{name}.yaml").read_text()
    preset = yaml.safe_load(text)
    overridden = {section for block in (preset.get("overrides") or {}).values() for section in block or {}}
    if name not in WITH_THRESHOLDS:
        refined = {"refine"} if "SAM" in text.splitlines()[0] else set()
        assert {*preset, *overridden} <= OF_A_DETECTOR | refined
        mine = deep_merge(merged(), {"binarize": {"conformal": {"enabled": True}, "quantile": {"enabled": False}}})
        assert load_config(deep_merge(mine, preset)).binarize == load_config(mine).binarize
        return
    assert "threshold" in f"{name} {text.splitlines()[0]}"
    if not name.endswith("_repaired"):  # which repairs what another one switches on
        assert all("enabled" in preset["binarize"][rule] for rule in RULES), "a rule that is left out is united with it"


@pytest.mark.parametrize(
    "first", sorted({*ALONE} - VARYING - {"robis", "superadd"})
)  # merges that want tiles, and say so
def test_a_preset_can_follow_any_other(first):
    for second in sorted({*ALONE} - VARYING):
        load_config(merged(first, second))


def test_no_record_is_left_of_a_preset_that_is_gone():
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == {*ALONE, *("+".join(names) for names in TOGETHER)}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_missing_weights_are_named_before_anything_runs(preset, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = load_config(merged(preset))
    name = config.fuse.members[0]
    with pytest.raises(WeightsError, match=rf"{PUBLISHED[preset]}\.pth"):
        require_all(detector_weights(name, config.detector_blocks[name]))


@pytest.mark.parametrize("presets", [names for names in TOGETHER if names[-1].endswith("backbone")], ids="+".join)
def test_small_backbones_need_no_weights_of_ones_own(presets, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = load_config(merged(*presets))
    for name in config.fuse.members:
        require_all(detector_weights(name, config.detector_blocks[name]))


def test_the_configuration_is_seamark_small():
    """The preset brings back what config.yaml has, over whatever stands before it, and keeps the challenge's rules."""
    own = resolved(load_config(merged()))
    for presets in (["seamark_small"], ["inp_former_small_backbone", "seamark_small"]):
        found = changed(own, resolved(load_config(merged(*presets))))
        assert {key for key in found if not key.startswith(("data.", "demo."))} <= {"run", "package.rules"}
        assert found["package.rules"] == "vand4"


class Wildcards:
    def __init__(self, category, split=None):
        self.category, self.split = category, split
        self.grid, self.detector = "tile", "inp_former"


def laid_over(raw, presets):
    """Lay presets over a configuration as Snakemake does."""
    for preset in presets:
        update_config(raw, yaml.safe_load((PRESETS / f"{preset}.yaml").read_text()))
    return raw


def plan(root, *presets):
    raw = laid_over(yaml.safe_load((ROOT / "config.yaml").read_text()), presets)
    raw["data"]["root"] = str(root)
    return Plan(raw, ROOT)


def draw_names(root, categories):
    """Empty files, as many as MVTec AD 2 has: planning opens no photograph."""
    folders = ("train/good", "validation/good", "test_public/good", "test_private", "test_private_mixed")
    for category in categories:
        counts = OFFICIAL_COUNTS.get(category, OFFICIAL_COUNTS["vial"])
        for folder, number in zip(folders, counts.values(), strict=True):
            (root / category / folder).mkdir(parents=True)
            for image in range(number):
                (root / category / folder / f"{image:03d}_regular.png").touch()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mvtec_ad_2")
    draw_names(folder, CATEGORIES)
    return folder


@pytest.fixture(scope="module")
def robis(root):
    return plan(root, "robis")


def test_presets_for_mvtec_ad_2_serve_other_data_and_parts_of_it(tmp_path):
    draw_names(tmp_path, ("bracket", "rice"))
    other = plan(tmp_path, "robis")
    assert other.categories == ("bracket", "rice")
    assert other.settings("refine")(Wildcards("bracket", "test_private"))["method"] == "sam"


def test_a_grid_that_the_released_merge_cannot_use_is_refused_when_planning(root):
    raw = plan(root, "robis").raw
    raw["grids"]["tile"]["layout"] = "even"
    with pytest.raises(ConfigError, match=r"detectors.inp_former: merge.method robis needs the layout padded"):
        Plan(raw, ROOT)
    raw["grids"]["tile"] |= {"layout": "padded", "window_px": 1023}
    with pytest.raises(ConfigError, match=r"give 255.75 map px"):
        Plan(raw, ROOT)


class RunningJob:
    def __init__(self, rule, wildcards):
        self.rule, self.wildcards = type("Rule", (), {"name": rule}), wildcards


@pytest.fixture(scope="module")
def without_weights(tmp_path_factory):
    """The tiny project with the robis preset laid over it, and an empty cache."""
    project = Project.fresh(tmp_path_factory.mktemp("without_weights"))
    overlay = yaml.safe_load((PRESETS / "robis.yaml").read_text())
    overlay |= {"run": "tiny", "data": {"root": "photographs", "truth_root": "truth", "demo": False}}
    (project.folder / "tiny.yaml").write_text(yaml.safe_dump(overlay))
    return project


def cache(folder):
    return {"TORCH_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}


def test_missing_weights_stop_a_run_before_its_first_job(without_weights, tmp_path):
    result = without_weights.snakemake("submission", check=False, **cache(tmp_path))
    assert result.returncode != 0
    text = result.stdout + result.stderr
    for name, facts in {
        "dinov2_vitb14_reg4_pretrain.pth": "346393545 bytes",
        "sam_vit_h_4b8939.pth": "sha256 a7bf3b02..., 2564550879 bytes",
        "sam_vit_b_01ec64.pth": "sha256 ec2df627..., 375042383 bytes",
    }.items():
        assert text.count(f"pretrained weights {name} (") == 1
        assert facts in text
        assert str(tmp_path / "hub" / "checkpoints" / name) in text
    assert "presets/small_backbone.yaml" in text
    assert not list(without_weights.out.rglob("*.json"))


def test_planning_needs_no_weights(without_weights, tmp_path):
    result = without_weights.snakemake("submission", options=("-n",), **cache(tmp_path))
    assert "train" in result.stdout + result.stderr


def test_jobs_that_need_no_weights_run_without_them(without_weights, tmp_path):
    without_weights.snakemake("out/tiny/10_tiles/tile/bolt/train.json", **cache(tmp_path))


def test_only_the_weights_of_the_jobs_at_hand_are_required(robis, root, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    late = [("merge", "can"), ("binarize", "can"), ("refine", "rice")]
    robis.require_weights(RunningJob(rule, Wildcards(category, "test_private")) for rule, category in late)
    with pytest.raises(WeightsError, match="sam_vit_h") as caught:
        robis.require_weights([RunningJob("refine", Wildcards("can", "test_private"))])
    assert "dinov2" not in str(caught.value)
    assert "sam_vit_b" not in str(caught.value)


def test_an_unknown_backbone_is_refused_before_anything_runs(root):
    raw = {**plan(root, "robis").raw, "detectors": {"inp_former": {"backbone": "resnet"}}}
    with pytest.raises(ConfigError, match="no backbone named resnet; possible: efficientnet_lite0, dinov2_vits14_reg"):
        Plan(raw, ROOT).require_weights([RunningJob("train", Wildcards("can"))])


def test_with_the_small_backbone_robis_runs_here(tmp_path):
    project = Project.fresh(tmp_path)
    overlay = laid_over({}, ["robis", "small_backbone"])
    overlay |= {"run": "tiny", "data": TINY["data"] | {"splits": ["validation", "test_private"]}}
    overlay["grids"]["tile"] |= {"window_px": 64, "input_px": 64}
    overlay["detectors"]["inp_former"] |= {"max_steps": 2, "batch_size": 2, "warmup_steps": 1}
    (project.folder / "tiny.yaml").write_text(yaml.safe_dump(overlay))
    project.snakemake("out/tiny/75_verdicts/bolt/test_private.json")
    merged = read_manifest(project.out / "40_maps/inp_former/bolt/test_private.json", MapsManifest)
    assert {(image.map_height, image.map_width) for image in merged.maps} == {(16, 24)}
    assert 100.0 < max(image.maximum for image in merged.maps) <= 255.0
    refined, judged = (
        read_manifest(project.out / folder / "bolt/test_private.json", MasksManifest)
        for folder in ("70_refined", "75_verdicts")
    )
    assert judged.method == refined.method == "grabcut"
    assert judged.masks == refined.masks, "RoBiS has no gate"
    assert {(mask.height, mask.width) for mask in refined.masks} == {(64, 96)}
