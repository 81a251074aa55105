"""The RoBiS presets: what they resolve to for every category of MVTec AD 2, and what happens without weights."""

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

CATEGORIES = tuple(OFFICIAL_COUNTS)
SPLITS = ("validation", "test_public", "test_private", "test_private_mixed")
PRESETS = ROOT / "presets"


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
    """One empty file per split: planning opens no photograph."""
    for category in categories:
        for folder in ("train/good", "validation/good", "test_public/good", "test_private", "test_private_mixed"):
            (root / category / folder).mkdir(parents=True)
            (root / category / folder / "000_regular.png").touch()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mvtec_ad_2")
    draw_names(folder, CATEGORIES)
    return folder


@pytest.fixture(scope="module")
def robis(root):
    return plan(root, "robis")


@pytest.fixture(scope="module")
def repaired(root):
    return plan(root, "robis", "robis_repaired")


@pytest.mark.parametrize("category", CATEGORIES)
def test_robis_trains_as_section_h4_says(robis, category):
    grid = robis.settings("grid")(Wildcards(category))
    assert grid == {"layout": "padded", "window_px": 1024, "overlap": 0.1, "input_px": 518}
    detector = robis.settings("detector")(Wildcards(category))
    assert detector["backbone"] == "dinov2_vitb14_reg"
    assert detector["layers"] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert detector["groups"] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (detector["prototypes"], detector["decoder_blocks"], detector["heads"]) == (6, 8, 12)
    assert (detector["mining_gamma"], detector["coherence_weight"]) == (3.0, 0.2)
    assert (detector["learning_rate"], detector["final_learning_rate"]) == (1e-3, 1e-4)
    assert (detector["warmup_steps"], detector["epochs"], detector["max_steps"]) == (100, 200, None)
    assert (detector["batch_size"], detector["gradient_clip"], detector["weight_decay"]) == (16, 0.1, 1e-4)
    assert (detector["token_share"], detector["autocast"]) == (1.0, "none")
    augmentation = detector["augmentation"]
    assert (augmentation["probability"], augmentation["noise_std"], augmentation["exposure_stops"]) == (0.5, 15.0, 0.2)
    assert augmentation["order"] == "exposure_first"
    assert (augmentation["wide_probability"], augmentation["frozen_variants"]) == (0.0, None)
    assert robis.config.seed == 1
    assert robis.config.fuse.members == ("inp_former",)


@pytest.mark.parametrize("category", CATEGORIES)
def test_robis_merges_as_released(robis, category):
    merge = robis.settings("merge")(Wildcards(category))
    assert (merge["method"], merge["scale"]) == ("robis", 0.25)
    assert merge["robis"] == {
        "align_corners": True,
        "blur_border": "zeros",
        "score_range": "split",
        "stride": "truncated",
        "precision": "float16",
    }
    assert robis.config.package.map_scale == 0.25


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_robis_binarizes_as_released(robis, category, split):
    binarize = robis.settings("binarize")(Wildcards(category, split))
    assert binarize["at"] == "map"
    assert binarize["mean_std"] == {"enabled": True, "k": 3.0, "scope": "split"}
    assert binarize["mebin"] == {
        "enabled": True,
        "scores": "robis",
        "sample_rate": 4,
        "min_interval": 4,
        "erode_px": 6,
        "truncate": True,
    }
    assert (binarize["erode_px"], binarize["compensate_erosion"], binarize["min_area_px"]) == (6, False, 0)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_robis_refines_as_released(robis, category, split):
    refine = robis.settings("refine")(Wildcards(category, split))
    assert refine["method"] == ("none" if category == "rice" else "sam")
    assert (refine["compose"], refine["nothing_found"], refine["top_n"]) == ("replace", "empty", 3)
    assert refine["fill_holes"] is True
    sam = refine["sam"]
    assert sam["model"] == ("vit_b" if split == "test_private_mixed" else "vit_h")
    assert sam["masks"] == ("union_of_three" if category in {"fabric", "walnuts"} else "single")
    assert (sam["channel_order"], sam["image_scale"], sam["prompt_on"]) == ("bgr", 0.25, "image")


def changed(before, after, path=""):
    """Keys whose values differ, as dotted paths."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return {path: after} if before != after else {}
    keys = {*before, *after}
    parts = [changed(before.get(key), after.get(key), f"{path}.{key}".lstrip(".")) for key in sorted(keys)]
    return {key: value for part in parts for key, value in part.items()}


def test_the_repaired_preset_changes_the_defects_and_nothing_else(robis, repaired):
    expected = {
        "run": "robis_repaired",
        "merge.method": "exact",
        "merge.smooth_sigma_px": 5.5,
        "binarize.at": "native",
        "binarize.mean_std.scope": "validation",
        "binarize.mebin.scores": "raw",
        "binarize.mebin.truncate": False,
        "binarize.compensate_erosion": True,
        "refine.compose": "constrained",
        "refine.constrain_px": 28,
        "refine.nothing_found": "coarse",
        "refine.top_n": None,
        "refine.sam.image_scale": None,
        "refine.sam.channel_order": "rgb",
    }
    assert changed(robis.resolved_config(), repaired.resolved_config()) == expected


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("category", CATEGORIES)
def test_the_repaired_preset_keeps_the_choices_per_category_and_split(repaired, category, split):
    refine = repaired.settings("refine")(Wildcards(category, split))
    assert refine["method"] == ("none" if category == "rice" else "sam")
    assert refine["sam"]["model"] == ("vit_b" if split == "test_private_mixed" else "vit_h")
    assert refine["sam"]["masks"] == ("union_of_three" if category in {"fabric", "walnuts"} else "single")


@pytest.mark.parametrize("presets", [("robis",), ("robis", "robis_repaired")])
def test_the_small_backbone_leaves_the_late_stages_alone(root, presets):
    large, small = plan(root, *presets).resolved_config(), plan(root, *presets, "small_backbone").resolved_config()
    late = {key for key in changed(large, small) if not key.startswith(("detectors.inp_former.", "grids.tile."))}
    assert late == {"refine.method"}
    assert small["detectors"]["inp_former"]["backbone"] == "efficientnet_lite0"
    assert small["refine"]["method"] == "grabcut"


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
    project.snakemake("out/tiny/70_refined/bolt/test_private.json")
    merged = read_manifest(project.out / "40_maps/inp_former/bolt/test_private.json", MapsManifest)
    assert {(image.map_height, image.map_width) for image in merged.maps} == {(16, 24)}
    assert 100.0 < max(image.maximum for image in merged.maps) <= 255.0
    refined = read_manifest(project.out / "70_refined/bolt/test_private.json", MasksManifest)
    assert refined.method == "grabcut"
    assert {(mask.height, mask.width) for mask in refined.masks} == {(64, 96)}


def test_the_configuration_is_seamark_small(root):
    """The preset brings back what config.yaml has, over whatever stands before it."""
    own = plan(root)
    for presets in (["seamark_small"], ["inp_former_small_backbone", "seamark_small"]):
        found = plan(root, *presets)
        for category in CATEGORIES[:2]:
            for name in ("light_variants", "grid", "merge", "fuse", "calibrate", "binarize"):
                wildcards = Wildcards(category, "test_private")
                assert found.settings(name)(wildcards) == own.settings(name)(wildcards), name
        assert found.config.detector_blocks["inp_former"] == own.config.detector_blocks["inp_former"]
        assert found.config.detector_blocks["feature_bank"] == own.config.detector_blocks["feature_bank"]
        assert found.config.package.rules == "vand4"


def test_seamark_differs_from_seamark_small_in_backbone_tiles_and_refinement(root):
    large, small = plan(root, "seamark").config, plan(root, "seamark_small").config
    for name in ("light_variants", "fuse", "calibrate", "binarize", "ranking", "package"):
        assert getattr(large, name) == getattr(small, name), name
