"""Which jobs the variations of a run share: those whose settings, and all settings upstream of them, are equal.

A job that several variations need is done once, at the place of the first one that needs it. Two variations that
differ only in how they refine therefore share tiles, models and maps, and the second one reads those of the first.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from seamark.planning.variations import FOR_THRESHOLDS, Variation
from seamark.settings.crossfit import CROSSFIT_TRAIN

OWN, EVERY, CALIBRATED = "own", "every", "calibrated"
"""A source of the job's own split, one for each split, and one for these and the splits that only thresholds see; else
a source names its split."""


class StageJob(NamedTuple):
    """One job: its stage and its wildcards, those that the stage has."""

    stage: str
    category: str
    split: str | None = None
    detector: str | None = None
    grid: str | None = None
    fold: int | None = None


class Source(NamedTuple):
    """A stage that another one reads, and of which split."""

    stage: str
    split: str = OWN


@dataclass(frozen=True)
class Stage:
    """What a stage makes and reads."""

    manifest: str
    """Where its manifest lies below the folder of a place, with its wildcards."""
    settings: tuple[str, ...]
    """Names of settings as ``Variation.settings`` knows them: the params of the rule."""
    sources: tuple[Source, ...] = ()

    @property
    def folder(self) -> str:
        """Name of the folder below that of a place, where all that it makes lies."""
        return self.manifest.split("/", 1)[0]

    @cached_property
    def wildcards(self) -> frozenset[str]:
        """Names of its wildcards besides the place."""
        return frozenset(re.findall(r"{(\w+)}", self.manifest))


def _stage(manifest: str, settings: str, *sources: Source) -> Stage:
    return Stage(manifest, tuple(settings.split()), sources)


STAGES: Mapping[str, Stage] = {
    "crop": _stage("10_tiles/{grid}/{category}/{split}.json", "grid light_variants"),
    "train": _stage(
        "20_models/{detector}/{category}/fit.json", "detector", Source("crop", "train"), Source("crop", "validation")
    ),
    "train_fold": _stage(
        "20_models/{detector}/{category}/fold_{fold}/fit.json",
        "detector crossfit",
        Source("crop", "train"),
        Source("crop", "validation"),
    ),
    "infer": _stage(
        "30_tilemaps/{detector}/{category}/{split}.json",
        "detector",
        *(Source(stage) for stage in ("train", "train_fold", "crop")),
    ),
    "merge": _stage("40_maps/{detector}/{category}/{split}.json", "merge", Source("crop"), Source("infer")),
    "fuse": _stage("45_fused/{category}/{split}.json", "fuse", Source("merge"), Source("merge", "validation")),
    "calibrate": _stage("50_calibration/{category}.json", "calibrate", Source("fuse", CALIBRATED)),
    "binarize": _stage("60_coarse/{category}/{split}.json", "binarize", Source("fuse"), Source("calibrate")),
    "refine": _stage("70_refined/{category}/{split}.json", "refine", Source("binarize")),
    "preview": _stage(
        "80_preview/{category}/{split}.json",
        "preview",
        *(Source(stage) for stage in ("fuse", "calibrate", "binarize", "refine")),
    ),
    "evaluate": _stage(
        "90_eval/{category}.json",
        "evaluate grids ranking",
        Source("calibrate"),
        *(Source(stage, EVERY) for stage in ("fuse", "binarize", "refine")),
    ),
}
"""Every stage that variations may differ in, by the name of its rule. All of them work on one category."""

SAME_WORK: Mapping[str, str] = {"train_fold": "train"}
"""Rules that run the script of another one."""


def manifest_in(place: str, job: StageJob) -> str:
    """Return the manifest of a job that is done at a place."""
    return f"out/{place}/{STAGES[job.stage].manifest.format(**job._asdict())}"


class SharedStages:
    """Answers where the results of a variation's jobs lie.

    Parameters
    ----------
    variations : sequence of Variation
        The run itself first. A job that several have in common belongs to the first of them.
    splits : sequence of str
        Splits of the run.
    """

    def __init__(self, variations: Sequence[Variation], splits: Sequence[str]) -> None:
        self._variations = {variation.place: variation for variation in variations}
        self._splits = splits
        self._signatures: dict[tuple[str, StageJob], str] = {}

    def owner(self, place: str, job: StageJob) -> str:
        """Return the place at which a job of a variation is done.

        Parameters
        ----------
        place : str
            Place of the variation.
        job : StageJob
            The job.

        Returns
        -------
        str
            Place of the first variation that has the same job; may be the variation itself.
        """
        for earlier, variation in self._variations.items():
            if earlier == place:
                break
            if _has(variation, job) and self.signature(earlier, job) == self.signature(place, job):
                return earlier
        return place

    def path(self, pattern: str, place: str, job: StageJob) -> str:
        """Return the path of what a job of a variation makes.

        Parameters
        ----------
        pattern : str
            The rule's output. What a storage of Snakemake puts before it is left out: Snakemake puts it there again.
        place : str
            Place of the variation.
        job : StageJob
            The job.

        Returns
        -------
        str
            Path at the place where the job is done.
        """
        plain = pattern[pattern.index("out/{place}/") :]
        return plain.format(place=self.owner(place, job), **job._asdict())

    def jobs_behind(self, place: str, stages: Iterable[str], categories: Sequence[str]) -> list[StageJob]:
        """Return all jobs of some stages of a variation, and all jobs whose results these read.

        Parameters
        ----------
        place : str
            Place of the variation.
        stages : iterable of str
            Names of rules.
        categories : sequence of str
            Which categories.

        Returns
        -------
        list of StageJob
            Each once.
        """
        waiting = [
            job
            for stage in stages
            for category in categories
            for job in self.jobs(place, Source(stage, EVERY), StageJob(stage, category))
        ]
        found: dict[StageJob, None] = {}
        while waiting:
            job = waiting.pop()
            if job not in found:
                found[job] = None
                for source in STAGES[job.stage].sources:
                    waiting += self.jobs(place, source, job)
        return list(found)

    def manifests(
        self, place: str, stages: Iterable[str], categories: Sequence[str], *, keep_tiles: bool = True
    ) -> list[str]:
        """Return the manifests of all jobs of some stages of a variation, and of all jobs behind these.

        A target names them all: Snakemake makes nothing again that only an older file of a later stage needs, so a job
        that was killed, and has lost its old outputs, would otherwise leave results of older settings behind it.

        Parameters
        ----------
        place, stages, categories
            As for ``jobs_behind``.
        keep_tiles : bool
            Whether those of tiles are among them; a file that is named is never deleted as temporary.

        Returns
        -------
        list of str
            Each once.
        """
        jobs = self.jobs_behind(place, stages, categories)
        return [self.manifest(place, job) for job in jobs if keep_tiles or job.stage != "crop"]

    def manifest(self, place: str, job: StageJob) -> str:
        """Return the manifest of a job of a variation, at the place where the job is done."""
        return manifest_in(self.owner(place, job), job)

    def jobs(self, place: str, source: Source, wildcards: Any) -> list[StageJob]:
        """Return the jobs of a source that a job of a variation reads.

        Parameters
        ----------
        place : str
            Place of the variation.
        source : Source
            Stage and splits.
        wildcards : object
            The reading job's: ``category``, and ``split`` and ``detector`` as far as it has them.

        Returns
        -------
        list of StageJob
            By split, then by detector, then by fold.
        """
        variation, wanted = self._variations[place], STAGES[source.stage].wildcards
        category, detector = wildcards.category, getattr(wildcards, "detector", None)
        splits: Sequence[str | None] = [None]
        if "split" in wanted:
            own = [wildcards.split] if source.split == OWN else [source.split]
            splits = self._every_split(variation, source, category) if source.split in (EVERY, CALIBRATED) else own
        detectors: Sequence[str | None] = [None]
        if wanted & {"detector", "grid"}:
            detectors = [detector] if detector else variation.members(category)
        return [
            StageJob(
                source.stage,
                category,
                split,
                name if "detector" in wanted else None,
                variation.grid(category, name) if name and "grid" in wanted else None,
                fold,
            )
            for split in splits
            for name in detectors
            for fold in _folds(variation, source, wildcards)
        ]

    def _every_split(self, variation: Variation, source: Source, category: str) -> Sequence[str]:
        return [*self._splits, *(variation.splits_for_thresholds(category) if source.split == CALIBRATED else ())]

    def signature(self, place: str, job: StageJob) -> str:
        """Return a digest of all settings on which the result of a variation's job depends.

        Parameters
        ----------
        place : str
            Place of the variation.
        job : StageJob
            The job.

        Returns
        -------
        str
            Hexadecimal digits; equal for two variations if and only if the job and all jobs behind it are equal.
        """
        known = self._signatures.get((place, job))
        if known is None:
            known = self._signatures[place, job] = self._new_signature(place, job)
        return known

    def _new_signature(self, place: str, job: StageJob) -> str:
        variation, stage = self._variations[place], STAGES[job.stage]
        settings = [variation.settings(name, job) for name in stage.settings]
        behind = [
            self.signature(place, upstream) for source in stage.sources for upstream in self.jobs(place, source, job)
        ]
        facts = json.dumps([job, settings, behind], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()


def _folds(variation: Variation, source: Source, wildcards: Any) -> Sequence[int | None]:
    """Folds of a source; a cross-fitted split reads the models of the folds and not that of all photographs."""
    split = getattr(wildcards, "split", None)
    if source.stage == "train_fold":
        folds = variation.resolved(wildcards.category).crossfit.folds if split in (None, CROSSFIT_TRAIN) else 0
        return range(1, folds + 1)
    return () if source.stage == "train" and split == CROSSFIT_TRAIN else (None,)


def _has(variation: Variation, job: StageJob) -> bool:
    """Whether a variation does such a job at all, with whatever settings."""
    if job.split in FOR_THRESHOLDS and job.split not in variation.splits_for_thresholds(job.category):
        return False
    members = variation.members(job.category)
    grids = [variation.grid(job.category, member) for member in members]
    return (job.detector or members[0]) in members and (job.grid or grids[0]) in grids
