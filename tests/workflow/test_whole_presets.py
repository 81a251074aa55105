"""Every preset runs whole with the networks it names: photographs, tiles and schedules are small, nothing else.

The weights are files of the published names and shapes with random numbers, given by their paths as one's own are. A
table of memory and time, which docs/backbones.md has: ``pytest --slow -s tests/workflow/test_whole_presets.py``.
"""

import json
import shutil
import time
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import getitem
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from snakemake.utils import update_config
from tests.weight_files import source, write_weights
from tests.workflow.project import ROOT, SPLITS, Project
from tests.workflow.test_presets import ALONE, VARYING, changed, laid_over, merged, plan

from seamark.files.atomic import file_digest
from seamark.forecast.memory import MARGIN, uses_network
from seamark.forecast.memory import memory as forecast_memory
from seamark.manifests.base import read_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.submission import CheckReport
from seamark.planning.plan import Plan
from seamark.submission.expected import PRIVATE_SPLITS

VIT_B, WIDE, VIT_H_PLUS = "dinov2_vitb14_reg", "wide_resnet50_2", "timm:vit_huge_plus_patch16_dinov3.lvd1689m"
SMALL = {"input_px", "window_px", "max_steps", "steps", "epochs", "statistics_crops", "k"}
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
    overrides: dict = field(default_factory=dict)
    """Thresholds that an untrained detector exceeds, so that there is something to refine."""

    @property
    def name(self):
        return "+".join(self.presets)

    @property
    def smaller(self):
        """What it lays over the presets."""
        return {"grids": self.grids, "detectors": self.detectors, "overrides": self.overrides}


def cut(presets, grids, detectors=None, weights=None, category="bracket", overrides=None):
    return Cut(tuple(presets.split("+")), grids, detectors or {}, weights or {}, category, overrides or {})


TILES, WHOLE = {"tile": {"window_px": 128, "input_px": 70}}, {"whole": {"input_px": 64}}
LITE = {"tile": {"window_px": 128, "input_px": 64}}
INP = {"inp_former": {"epochs": 1}}
LOW = {split: {"binarize": {"mean_std": {"k": 0.5}}} for split in ("*/test_private", "*/test_private_mixed")}
SAM_IN_ROBIS = {"refine.sam": "sam:vit_h", "overrides.*/test_private_mixed.refine.sam": "sam:vit_b"}
TWO_PHASES = {"steps": 2, "segmentation": {"steps": 2}}
AAND = {"aand": {"epochs": 1, "amplification": {"epochs": 1}}}
EFFICIENTAD = {"efficientad": {"steps": 2, "distill": {"input_px": 64, "steps": 2, "statistics_crops": 2}}}
DINOV3 = {"tile": {"window_px": 128, "input_px": 80}}
CUTS = [
    cut("inp_former", TILES, INP, {"detectors.inp_former": VIT_B}),
    cut("inp_former_small_backbone", LITE, {"inp_former": {"max_steps": 2}}),
    cut("robis", TILES, INP, {"detectors.inp_former": VIT_B} | SAM_IN_ROBIS, "walnuts", LOW),
    cut("robis+robis_repaired", TILES, INP, {"detectors.inp_former": VIT_B} | SAM_IN_ROBIS, "walnuts", LOW),
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
CUT_BY_NAME = {one.name: one for one in CUTS}
OWN_SIZE = {
    "robis": 8,
    "seamark": 2,
    "superadd": 2,
    "urd": 16,
    "aurd": 4,
    "pfadseg": 16,
    "aand": 16,
    "efficientad_cdo": 4,
}
"""Presets that run at their own size too, and how many training photographs of 1536 x 1024 px fill a batch."""


def configuration(one, folder, files):
    """What the command line lays over config.yaml: the presets, then a file with one's data, weights and cuts."""
    raw = laid_over({}, one.presets)
    update_config(raw, one.smaller | {"run": "tiny"})
    update_config(raw, {"data": {"root": f"{folder}/photographs", "truth_root": f"{folder}/truth", "demo": False}})
    for section, name in one.weights.items():
        block = {"weights": str(files[name])}
        for key in reversed(section.split(".")):
            block = {key: block}
        update_config(raw, block)
    return raw


def photograph(rng, defect, scale):
    """A bright part of 160 x 104 px on a dark ground of 192 x 128 px, in RGB, with or without a dark spot."""
    pixels, mask = rng.normal(60.0, 6.0, (128, 192, 3)), np.zeros((128, 192), np.uint8)
    pixels[12:116, 16:176] += (110.0, 90.0, 70.0)
    if defect:
        y, x = rng.integers(24, 72), rng.integers(30, 130)
        pixels[y : y + 26, x : x + 30] = 10.0
        mask[y : y + 26, x : x + 30] = 255
    return [one.clip(0, 255).astype(np.uint8).repeat(scale, 0).repeat(scale, 1) for one in (pixels, mask)]


def draw(folder, category, train=4, other=4, scale=1):
    """Draw so many photographs in train and in each other split; every other one of the tests has a defect."""
    rng = np.random.default_rng(1)
    root, truth = folder / "photographs" / category, folder / "truth" / category
    for split in ("train", *SPLITS):
        for number in range(1, 1 + (train if split == "train" else other)):
            bad, name = number % 2 == 1 and split.startswith("test"), f"{number:03d}_regular"
            label, mask = (
                {"train": "good", "validation": "good"}.get(split, ""),
                truth / split / f"{number:03d}_mask.png",
            )
            if split == "test_public":
                label, mask = ("bad" if bad else "good"), root / split / "ground_truth/bad" / f"{name}_mask.png"
            pictures = dict(zip((root / split / label / f"{name}.png", mask), photograph(rng, bad, scale), strict=True))
            for path, pixels in pictures.items():
                if path is not mask or split.startswith("test_private") or (bad and split == "test_public"):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)


@dataclass(frozen=True)
class Run:
    """A run of a preset in a project of its own, with the weights that it needs and no others in reach."""

    one: Cut
    folder: Path
    photographs: dict = field(default_factory=dict)

    @cached_property
    def files(self):
        """The weights, each network's once."""
        files = {name: write_weights(name, self.folder) for name in sorted({*self.one.weights.values()})}
        for name, path in files.items():
            size = source(name).size
            assert path.stat().st_size == pytest.approx(size or path.stat().st_size, rel=2e-3), path.name
        return files

    @cached_property
    def project(self):
        folder = self.folder / "project"
        project = Project.fresh(folder, lambda folder: draw(folder, self.one.category, **self.photographs))
        (folder / "tiny.yaml").write_text(yaml.safe_dump(configuration(self.one, folder, self.files)))
        return project

    def make(self, *targets):
        """Make targets; print minutes by the clock and of processors, and the peak memory of rules with networks."""
        empty, project = str(self.folder / "empty"), self.project
        before = time.monotonic()
        project.snakemake(*targets, TORCH_HOME=empty, HF_HUB_CACHE=empty)
        minutes, records = (time.monotonic() - before) / 60, self.records()
        memory = self.memory(records)
        costs = ", ".join(f"{rule} {peak:.0f} ({told:.0f})" for rule, (peak, told) in memory.items())
        busy = sum(facts["cpu_s"] for facts in records) / 60
        print(f"\n| `{self.one.name}` | {minutes:.1f} | {busy:.1f} | {costs} |", flush=True)
        for rule, (peak, told) in memory.items():
            assert peak <= MARGIN * told, f"{rule} asks for less memory than it takes"

    def records(self):
        """The provenance of all jobs."""
        return [json.loads(path.read_bytes()) for path in sorted(self.project.out.parent.rglob("*.prov.json"))]

    def memory(self, records):
        """Peak memory of the job of each rule with a network that comes nearest to what was told, and that, in MB."""
        raw = yaml.safe_load((ROOT / "config.yaml").read_text())
        update_config(raw, yaml.safe_load((self.project.folder / "tiny.yaml").read_text()))
        forecast, found = Plan(raw, ROOT).forecast, {}
        for facts in records:
            work = forecast.work(facts["rule"], SimpleNamespace(**facts["wildcards"]))
            if uses_network(work):
                pair = facts["peak_memory_mb"], forecast_memory(work).resident
                found[facts["rule"]] = max(pair, found.get(facts["rule"], pair), key=lambda pair: pair[0] / pair[1])
        return found

    def require_networks(self):
        """Every network was read from its file, which is known not to be the published one."""
        out = self.project.out
        records = [*out.glob("20_models/**/fit.json"), *out.parent.glob("teachers/*/teacher.json")]
        said = [path.read_text() for path in (*records, *out.glob("logs/refine/**/*.log"))]
        for name, path in self.files.items():
            assert any(file_digest(path) in text for text in said), f"{name} was not used"
        assert not any(json.loads(path.read_text())["backbone_verified"] for path in records if self.files)

    def clean(self):
        """Remove all, since pytest keeps the folders of three runs and weights have up to 3.4 GB."""
        shutil.rmtree(self.folder)


def require_results(project, category):
    """The archive is accepted, no map is constant, and Segment Anything had something to refine."""
    report = read_manifest(project.folder / "submissions/tiny.check.json", CheckReport)
    assert report.verdict == "accepted", report.rules
    for split in PRIVATE_SPLITS:
        fused = read_manifest(project.out / f"45_fused/{category}/{split}.json", MapsManifest)
        coarse, refined = (
            read_manifest(project.out / f"{stage}/{category}/{split}.json", MasksManifest)
            for stage in ("60_coarse", "70_refined")
        )
        assert len(coarse.masks) == len(fused.maps) == 4
        assert all(image.minimum < image.maximum for image in fused.maps), f"{split} has constant maps"
        assert not refined.method.startswith("sam") or any(mask.components for mask in coarse.masks)


@pytest.mark.slow
@pytest.mark.parametrize("one", CUTS, ids=lambda one: one.name)
def test_a_preset_runs_to_a_checked_archive(one, tmp_path):
    run = Run(one, tmp_path)
    run.make("submissions/tiny.tar.gz")
    run.require_networks()
    require_results(run.project, one.category)
    run.clean()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "train"), OWN_SIZE.items())
def test_a_preset_at_its_own_size_takes_the_memory_that_was_told(name, train, tmp_path):
    """A step or two of a whole batch, a scored photograph, and where it refines with Segment Anything that too."""
    one = replace(CUT_BY_NAME[name], grids={}, detectors=without_sizes(CUT_BY_NAME[name].detectors))
    run = Run(one, tmp_path, {"train": train, "other": 1, "scale": 8})
    last = "70_refined" if "refine.sam" in one.weights else "45_fused"
    run.make(f"out/tiny/{last}/{one.category}/test_private.json")
    run.clean()


def without_sizes(detectors):
    """Take the sizes of images out of cuts, which leaves the schedules."""
    inner = {name: without_sizes(block) for name, block in detectors.items() if isinstance(block, dict)}
    return {name: block for name, block in detectors.items() if name != "input_px"} | inner


def test_a_file_of_ones_own_trains_and_scores(tmp_path):
    """The quick one: ResNet-18 by its path, up to the scores of a split; later stages know no network."""
    run = Run(CUT_BY_NAME["pfadseg"], tmp_path)
    run.make(f"out/tiny/30_tilemaps/pfadseg/{run.one.category}/test_private.json")
    run.require_networks()


def test_every_preset_is_cut():
    assert {name for one in CUTS for name in one.presets} == {*ALONE} - VARYING


@pytest.mark.parametrize("one", CUTS, ids=lambda one: one.name)
def test_a_cut_makes_less_of_sizes_and_schedules_alone(one):
    whole = merged(*one.presets)
    for laid in ({"grids": one.grids, "detectors": one.detectors}, *one.overrides.values()):
        smaller = deepcopy(whole)
        update_config(smaller, laid)
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


PLANNED = [one for one in CUTS if VIT_H_PLUS not in one.weights.values()]
"""Without those that ask timm, which takes seconds."""


@pytest.mark.parametrize("one", PLANNED, ids=lambda one: one.name)
def test_a_preset_can_be_planned_at_its_own_size(one, root):
    assert plan(root, *one.presets).categories
