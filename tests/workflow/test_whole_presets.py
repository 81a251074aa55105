"""Every preset runs whole with the networks it names: photographs, tiles and schedules are small, nothing else.

The weights are files of the published names and shapes with random numbers, given by their paths as one's own are. A
table of memory and time, which docs/backbones.md has: ``pytest --slow -s tests/workflow/test_whole_presets.py``.
"""

import json
import shutil
import time
from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem

import numpy as np
import pytest
import yaml
from PIL import Image
from snakemake.utils import update_config
from tests.weight_files import source, write_weights
from tests.workflow.project import SPLITS, Project
from tests.workflow.test_presets import ALONE, VARYING, changed, laid_over, merged, plan

from seamark.files.atomic import file_digest
from seamark.manifests.base import read_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.submission import CheckReport

VIT_B, WIDE, VIT_H_PLUS = "dinov2_vitb14_reg", "wide_resnet50_2", "timm:vit_huge_plus_patch16_dinov3.lvd1689m"
SMALL = {"input_px", "window_px", "max_steps", "steps", "epochs", "statistics_crops"}
"""Names of the settings that a cut may change, besides weights, which must only make less of what there is."""


@dataclass(frozen=True)
class Cut:
    """A preset, or several laid over each other, and what makes a run of it small."""

    presets: tuple[str, ...]
    grids: dict
    detectors: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    """Network by the section whose ``weights`` name its file."""
    category: str = "bracket"
    """One of MVTec AD 2 where the preset has settings of its own for it."""

    @property
    def name(self):
        return "+".join(self.presets)


def cut(presets, grids, detectors=None, weights=None, category="bracket"):
    return Cut(tuple(presets.split("+")), grids, detectors or {}, weights or {}, category)


TILES, WHOLE = {"tile": {"window_px": 128, "input_px": 70}}, {"whole": {"input_px": 64}}
LITE = {"tile": {"window_px": 128, "input_px": 64}}
INP = {"inp_former": {"epochs": 1}}
SAM_IN_ROBIS = {"refine.sam": "sam:vit_h", "overrides.*/test_private_mixed.refine.sam": "sam:vit_b"}
TWO_PHASES = {"steps": 2, "segmentation": {"steps": 2}}
AAND = {"aand": {"epochs": 1, "amplification": {"epochs": 1}}}
EFFICIENTAD = {"efficientad": {"steps": 2, "distill": {"input_px": 64, "steps": 2, "statistics_crops": 2}}}
DINOV3 = {"tile": {"window_px": 128, "input_px": 80}}
CUTS = [
    cut("inp_former", TILES, INP, {"detectors.inp_former": VIT_B}),
    cut("inp_former_small_backbone", LITE, {"inp_former": {"max_steps": 2}}),
    cut("robis", TILES, INP, {"detectors.inp_former": VIT_B} | SAM_IN_ROBIS, "walnuts"),
    cut("robis+robis_repaired", TILES, INP, {"detectors.inp_former": VIT_B} | SAM_IN_ROBIS, "walnuts"),
    cut("robis+small_backbone", LITE, {"inp_former": {"max_steps": 2}}),
    cut(
        "seamark",
        {**TILES, "picture": {"input_px": 70}},
        INP,
        {f"detectors.{name}": VIT_B for name in ("inp_former", "bank_tile", "bank_picture")}
        | {"refine.sam": "sam:vit_h"},
    ),
    cut("seamark_small", {**LITE, "picture": {"input_px": 64}}),
    cut("own_photographs", {**LITE, "picture": {"input_px": 64}}),
    cut("feature_bank", LITE),
    cut("feature_bank+mean_std_thresholds", LITE),
    cut("superadd", DINOV3, weights={"detectors.superadd": VIT_H_PLUS}),
    cut("superadd+superadd_repaired", DINOV3, weights={"detectors.superadd": VIT_H_PLUS}),
    cut("superadd+superadd_small_backbone", LITE),
    cut("superadd+superadd_repaired+superadd_small_backbone", LITE),
    cut("urd", WHOLE, {"urd": {"steps": 2}}, {"detectors.urd": WIDE}, "can"),
    cut("urd+urd_small_backbone", WHOLE, {"urd": {"steps": 2}}, category="vial"),
    cut("aurd", WHOLE, {"aurd": TWO_PHASES}, {"detectors.aurd": WIDE}, "wallplugs"),
    cut("aurd+aurd_small_backbone", WHOLE, {"aurd": TWO_PHASES}, category="fabric"),
    cut("pfadseg", WHOLE, {"pfadseg": TWO_PHASES}, {"detectors.pfadseg": "resnet18"}, "rice"),
    cut("pfadseg+pfadseg_small_backbone", WHOLE, {"pfadseg": TWO_PHASES}, category="walnuts"),
    cut("aand", WHOLE, AAND, {"detectors.aand": WIDE}, "vial"),
    cut("aand+aand_small_backbone", WHOLE, {"aand": {"max_steps": 2, "amplification": {"max_steps": 2}}}),
    cut("aand+reverse_distillation_small_backbone", WHOLE, {"aand": {"max_steps": 2}}),
    cut("efficientad_cdo", WHOLE, EFFICIENTAD, {"detectors.efficientad": "wide_resnet101_2"}),
    cut("efficientad_cdo+efficientad_cdo_small_backbone", WHOLE, EFFICIENTAD),
]


def configuration(one, files):
    """What the command line lays over config.yaml: the presets, then a file with one's data, weights and cuts."""
    raw = laid_over({}, one.presets)
    update_config(raw, {"grids": one.grids, "detectors": one.detectors, "run": "tiny"})
    update_config(raw, {"data": {"root": "photographs", "truth_root": "truth", "demo": False}})
    for section, name in one.weights.items():
        block = {"weights": str(files[name])}
        for key in reversed(section.split(".")):
            block = {key: block}
        update_config(raw, block)
    return raw


def photograph(rng, defect):
    """A bright part of 160 x 104 px on a dark ground, 192 x 128 px in RGB, with or without a dark spot."""
    pixels = rng.normal(60.0, 6.0, (128, 192, 3))
    pixels[12:116, 16:176] += (110.0, 90.0, 70.0)
    mask = np.zeros((128, 192), np.uint8)
    if defect:
        y, x = rng.integers(24, 72), rng.integers(30, 130)
        pixels[y : y + 26, x : x + 30] = 10.0
        mask[y : y + 26, x : x + 30] = 255
    return pixels.clip(0, 255).astype(np.uint8), mask


def draw(folder, category):
    """Four photographs a split in the layout of MVTec AD 2, two of the tests' with a defect."""
    rng = np.random.default_rng(1)
    root, truth = folder / "photographs" / category, folder / "truth" / category
    for place, light in {
        "train/good": "regular",
        "validation/good": "regular",
        "test_public": "regular",
        "test_private": "regular",
        "test_private_mixed": "mixed",
    }.items():
        for number in range(4):
            defect = number % 2 == 1 and place.startswith("test")
            pixels, mask = photograph(rng, defect)
            public = place == "test_public"
            target = root / place / (("bad" if defect else "good") if public else "") / f"{number:03d}_{light}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target)
            masks = {"test_public": root / place / "ground_truth/bad" / f"{target.stem}_mask.png"}
            where = masks.get(place, truth / place / f"{number:03d}_mask.png")
            if place.startswith("test") and (defect or not public):
                where.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(where)


def project_of(one, folder, files):
    project = Project.fresh(folder, lambda folder: draw(folder, one.category))
    (project.folder / "tiny.yaml").write_text(yaml.safe_dump(configuration(one, files)))
    return project


def written(one, folder):
    """Write the weights that a preset needs, each once."""
    files = {name: write_weights(name, folder) for name in sorted({*one.weights.values()})}
    for name, path in files.items():
        size = source(name).size
        assert size is None or abs(path.stat().st_size - size) < 150_000, f"{path.name} is not of the published size"
    return files


def start(one, folder, target):
    """Write the weights, run a target without any other weights in reach, and return the project and the files."""
    files = written(one, folder)
    project = project_of(one, folder / "project", files)
    empty = str(folder / "empty")
    project.snakemake(target, TORCH_HOME=empty, HF_HUB_CACHE=empty)
    return project, files


def require_networks(project, files):
    """Every network was read from its file, which is known not to be the published one."""
    records = [*project.out.glob("20_models/**/fit.json"), *project.out.parent.glob("teachers/*/teacher.json")]
    said = [path.read_text() for path in (*records, *project.out.glob("logs/refine/**/*.log"))]
    for name, path in files.items():
        assert any(file_digest(path) in text for text in said), f"{name} was not used"
    assert not any(json.loads(path.read_text())["backbone_verified"] for path in records if files)


def require_results(project, category):
    """The archive is accepted, no map is constant, and Segment Anything had something to refine."""
    report = read_manifest(project.folder / "submissions/tiny.check.json", CheckReport)
    assert report.verdict == "accepted", report.rules
    assert (project.out / "report/index.html").is_file()
    regions = 0
    for split in SPLITS:
        fused = read_manifest(project.out / f"45_fused/{category}/{split}.json", MapsManifest)
        assert all(image.minimum < image.maximum for image in fused.maps), f"{split} has constant maps"
        coarse, refined = (
            read_manifest(project.out / f"{stage}/{category}/{split}.json", MasksManifest)
            for stage in ("60_coarse", "70_refined")
        )
        assert len(coarse.masks) == len(fused.maps) == 4
        regions += sum(mask.components for mask in coarse.masks) if refined.method.startswith("sam") else 1
    assert regions > 0


def peaks(project):
    """Peak memory of the heaviest job of each rule, in MB, the largest first."""
    found = defaultdict(float)
    for path in project.out.parent.rglob("*.prov.json"):
        facts = json.loads(path.read_bytes())
        found[facts["rule"]] = max(found[facts["rule"]], facts["peak_memory_mb"])
    return sorted(found.items(), key=lambda peak: -peak[1])


@pytest.mark.slow
@pytest.mark.parametrize("one", CUTS, ids=lambda one: one.name)
def test_a_preset_runs_to_a_checked_archive(one, tmp_path):
    before = time.monotonic()
    project, files = start(one, tmp_path, "submission")
    minutes = (time.monotonic() - before) / 60
    heaviest = ", ".join(f"{rule} {peak:.0f}" for rule, peak in peaks(project)[:3])
    print(f"\n| `{one.name}` | {minutes:.1f} | {heaviest} |", flush=True)
    require_networks(project, files)
    require_results(project, one.category)
    shutil.rmtree(tmp_path)  # weights of up to 3.4 GB, and pytest keeps the folders of three runs


def test_a_file_of_ones_own_trains_and_scores(tmp_path):
    """The quick one: ResNet-18 by its path, up to the scores of a split; later stages know no network."""
    (one,) = (one for one in CUTS if one.name == "pfadseg")
    project, files = start(one, tmp_path, f"out/tiny/30_tilemaps/pfadseg/{one.category}/test_private.json")
    require_networks(project, files)


def test_every_preset_is_cut():
    assert {name for one in CUTS for name in one.presets} == {*ALONE} - VARYING


@pytest.mark.parametrize("one", CUTS, ids=lambda one: one.name)
def test_a_cut_makes_less_of_sizes_and_schedules_alone(one):
    whole = merged(*one.presets)
    smaller = deepcopy(whole)
    update_config(smaller, {"grids": one.grids, "detectors": one.detectors})
    for key, value in changed(whole, smaller).items():
        *path, last = key.split(".")
        assert last in SMALL, key
        before = reduce(getitem, path, whole).get(last)
        assert before is None or value < np.min(before), key


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for category in {one.category for one in CUTS}:
        draw(folder, category)
    return folder / "photographs"


@pytest.mark.parametrize(
    "one", [one for one in CUTS if VIT_H_PLUS not in one.weights.values()], ids=lambda one: one.name
)
def test_a_preset_can_be_planned_at_its_own_size(one, root):
    assert plan(root, *one.presets).categories
