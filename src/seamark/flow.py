"""The flow: every stage in one row. Planning, forecast, verification and report read what they need of it here.

A rule of the same name in ``rules/`` asks for the stage, a script in ``stages/`` does its work; tests hold the rules
against the rows. Classes are named as text, so that planning a run imports no manifest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

OWN, EVERY, ALL, PRIVATE = "own", "every", "all", "private"
"""Files of a source: of the job's own split, one for each split of the run, for these and ``train``, or for each
private split; otherwise a source names its split."""
THRESHOLDS, CALIBRATED = "thresholds", "calibrated"
"""Files for each split that thresholds come from, or for these and each split of the run."""


class Source(NamedTuple):
    """A stage whose files another one reads, and of which split."""

    stage: str
    split: str = OWN


@dataclass(frozen=True)
class StageMemory:
    """Peak memory in MB: at least, per million pixels, channel values or map pixels of the largest, per photograph."""

    base: float
    per_megapixel: float = 0.0
    per_million_values: float = 0.0
    per_map_megapixel: float = 0.0
    per_photograph: float = 0.0


@dataclass(frozen=True)
class Stage:
    """What a stage makes, reads and takes."""

    outputs: Mapping[str, str] = field(default_factory=dict)
    """Declared files by name, with wildcards; the first one stands for the job. ``root`` is the data root."""
    kind: str = ""
    """Class of the manifest, if the first file is one, as ``module:Class`` below ``seamark.manifests``."""
    reads: str = ""
    """Stages whose files it reads, each as ``stage`` or ``stage:split``."""
    params: str = ""
    """Names of settings, as ``Variation.settings`` knows them, that its results depend on; its own block first."""
    memory: StageMemory = StageMemory(0.0)
    """Of what is not its network's."""
    threads: int = 1
    gpu_threads: int = 0
    """Threads with a network beside a GPU; 0 for stages that never have one."""
    script: str = ""
    """The stage whose script it runs, if that is not its own."""
    covers: str = ""
    """Splits that it has files of: ``photographs`` for those of the data set, ``tests`` for test splits, else all."""

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """What it reads."""
        return tuple(Source(*text.split(":")) for text in self.reads.split())

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that its results depend on."""
        return tuple(self.params.split())

    @property
    def manifest(self) -> str:
        """The file that stands for a job, with wildcards; nothing for a stage that makes nothing."""
        return next(iter(self.outputs.values()), "")

    @cached_property
    def wildcards(self) -> tuple[str, ...]:
        """Names of its wildcards besides the place, in the order of its path."""
        return tuple(name for name in re.findall(r"{(\w+)}", self.manifest) if name not in ("place", "run", "root"))

    @property
    def varies(self) -> bool:
        """Whether variations of a run may differ in it; it then works at the place of one of them."""
        return "{place}" in self.manifest

    @property
    def folder(self) -> str:
        """Name of the folder below that of a place or run, where all that it makes lies."""
        return self.manifest.split("/")[2]

    def manifest_class(self) -> Any:
        """Import and return the class of its manifest."""
        module, name = self.kind.split(":")
        return getattr(import_module(f"seamark.manifests.{module}"), name)


def _files(manifest: str, **others: str) -> Mapping[str, str]:
    """Name a manifest, and other files beside it: under its name if they start with a dot, else in its folder."""
    folder, stem = manifest.rpartition("/")[0], manifest.removesuffix(".json")
    beside = {name: f"{stem}{end}" if end.startswith(".") else f"{folder}/{end}" for name, end in others.items()}
    return {"manifest": manifest, **beside}


def _page(folder: str) -> Mapping[str, str]:
    """Name the files of a page that compares runs."""
    files = {"page": "index.html", "table": "table.csv", "markdown": "table.md"}
    return {name: f"out/{{run}}/{folder}/{file}" for name, file in files.items()}


STAGES: Mapping[str, Stage] = {
    "plan": Stage({"plan": "out/{run}/plan.json", "text": "out/{run}/plan.txt"}),
    "demo": Stage(
        _files("{root}.json"),
        kind="demo:DemoManifest",
        params="demo",
        memory=StageMemory(110.0, per_megapixel=150.0),
        threads=2,
    ),
    "index": Stage(
        _files("out/{run}/00_index/{category}/{split}.json"),
        kind="index:IndexManifest",
        reads="demo",
        covers="photographs",
        memory=StageMemory(80.0, per_megapixel=4.5),
    ),
    "inventory": Stage(
        _files("out/{run}/00_index/{category}.json"),
        kind="inventory:InventoryManifest",
        reads="index:all",
        memory=StageMemory(80.0),
    ),
    "truth": Stage(
        _files("out/{run}/00_index/{category}/{split}.truth.json"),
        kind="index:TruthManifest",
        reads="index",
        covers="tests",
        memory=StageMemory(80.0, per_megapixel=4.0),
    ),
    "crop": Stage(
        _files("out/{place}/10_tiles/{grid}/{category}/{split}.json", tiles=".npy"),
        kind="tiles:TilesManifest",
        reads="index",
        params="grid light_variants holdout",
        memory=StageMemory(80.0, per_million_values=3.8),
    ),
    "distill": Stage(
        _files("out/teachers/{teacher}/teacher.json", weights=".safetensors"),
        kind="teacher:TeacherManifest",
        reads="demo",
        gpu_threads=4,
    ),
    "train": Stage(
        _files("out/{place}/20_models/{detector}/{category}/fit.json", model="model.safetensors"),
        kind="model:ModelManifest",
        reads="distill crop:train crop:validation",
        params="detector",
        gpu_threads=4,
    ),
    "train_fold": Stage(
        _files("out/{place}/20_models/{detector}/{category}/fold_{fold}/fit.json", model="model.safetensors"),
        kind="model:ModelManifest",
        reads="distill crop:train crop:validation",
        params="detector crossfit",
        gpu_threads=4,
        script="train",
    ),
    "infer": Stage(
        _files("out/{place}/30_tilemaps/{detector}/{category}/{split}.json", maps=".npy"),
        kind="tilemaps:TilemapsManifest",
        reads="train train_fold distill crop",
        params="detector",
        gpu_threads=3,
    ),
    "merge": Stage(
        _files("out/{place}/40_maps/{detector}/{category}/{split}.json"),
        kind="maps:MapsManifest",
        reads="crop infer",
        params="merge",
        memory=StageMemory(95.0, per_map_megapixel=7.5),
    ),
    "fuse": Stage(
        _files("out/{place}/45_fused/{category}/{split}.json"),
        kind="maps:MapsManifest",
        reads="merge merge:validation",
        params="fuse",
        memory=StageMemory(74.0),
    ),
    "calibrate": Stage(
        _files("out/{place}/50_calibration/{category}/{split}.json", histogram=".npy"),
        kind="calibration:CalibrationManifest",
        reads="fuse",
        params="calibrate",
        memory=StageMemory(80.0, per_map_megapixel=14.0),
    ),
    "binarize": Stage(
        _files("out/{place}/60_coarse/{category}/{split}.json"),
        kind="masks:MasksManifest",
        reads="fuse fuse:thresholds calibrate calibrate:thresholds",
        params="binarize",
        memory=StageMemory(80.0, per_megapixel=12.0),
    ),
    "refine": Stage(
        _files("out/{place}/70_refined/{category}/{split}.json"),
        kind="masks:MasksManifest",
        reads="index fuse binarize",
        params="refine",
        memory=StageMemory(85.0, per_megapixel=15.0, per_million_values=0.8),
        gpu_threads=3,
    ),
    "verdict": Stage(
        _files("out/{place}/75_verdicts/{category}/{split}.json", verdicts=".verdicts.json"),
        kind="masks:MasksManifest",
        reads="fuse calibrate calibrate:thresholds refine",
        params="verdict binarize",
        memory=StageMemory(80.0, per_megapixel=12.0),
    ),
    "pack": Stage(
        _files("out/{place}/85_bundles/{category}.json", bundle=".seamark"),
        kind="bundle:BundleManifest",
        reads="index:train index:validation distill train merge:validation fuse:thresholds calibrate:thresholds",
        params="members merge fuse binarize refine verdict",
        memory=StageMemory(260.0, per_megapixel=23.0),
    ),
    "preview": Stage(
        _files("out/{place}/80_preview/{category}/{split}.json", sheet="{split}/contact_sheet.jpg"),
        kind="preview:PreviewManifest",
        reads="index truth fuse calibrate:validation binarize verdict",
        params="preview",
        memory=StageMemory(100.0, per_megapixel=9.5, per_million_values=2.8, per_photograph=0.3),
    ),
    "evaluate": Stage(
        _files("out/{place}/90_eval/{category}.json", curves=".curves.csv", table=".verdicts.csv"),
        kind="evaluation:EvaluationManifest",
        reads="index:every truth:every fuse:every calibrate:validation binarize:every verdict:every",
        params="evaluate grids ranking",
        memory=StageMemory(95.0, per_megapixel=18.5),
    ),
    "package": Stage(
        {
            "archive": "submissions/{run}.tar.gz",
            "check": "submissions/{run}.check.json",
            "provenance": "submissions/{run}.provenance.json",
        },
        reads="index:all fuse:private calibrate:validation verdict:private",
        params="package ranking",
        memory=StageMemory(270.0, per_map_megapixel=4.0, per_photograph=0.006),
        threads=4,
    ),
    "report": Stage(
        {
            "page": "out/{run}/report/index.html",
            "plots": "out/{run}/report/plots/plots.json",
            "scores": "out/{run}/report/plots/scores.svg",
            "summary": "out/{run}/90_eval/summary.csv",
            "verdicts": "out/{run}/verdicts.csv",
        },
        reads="inventory index:every train calibrate:calibrated binarize:every verdict:every evaluate "
        "preview:every package",
        params="report",
        memory=StageMemory(150.0, per_photograph=0.02),
    ),
    "comparison": Stage(
        _page("comparison"), memory=StageMemory(200.0, per_megapixel=30.0, per_photograph=0.02), threads=2
    ),
    "ablation": Stage(_page("ablation"), threads=2, script="comparison"),
    "verify": Stage(memory=StageMemory(100.0, per_map_megapixel=8.0), threads=16),
}
"""Every stage by the name of its rule, in the order of the flow."""


def work_of(rule: str) -> str:
    """Return the stage whose script a rule runs, which is the rule's own unless its row names another one."""
    return (rule in STAGES and STAGES[rule].script) or rule
