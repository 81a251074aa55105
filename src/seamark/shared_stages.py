"""Which jobs the variations of a run share: those whose settings, and all settings upstream of them, are equal.

A job that several variations need is done once, at the place of the first one that needs it. Two variations that
differ only in how they refine therefore share tiles, models and maps, and the second one reads those of the first.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from seamark.settings.relight import RELIT_VALIDATION
from seamark.variations import Variation

OWN, EVERY, CALIBRATED = "own", "every", "calibrated"
"""A source of the job's own split, one for each split, and one for these and the variants of validation; else a source
names its split."""


class StageJob(NamedTuple):
    """One job: its stage and its wildcards, those that the stage has."""

    stage: str
    category: str
    split: str | None = None
    detector: str | None = None
    grid: str | None = None


class Source(NamedTuple):
    """A stage that another one reads, and of which split."""

    stage: str
    split: str = OWN


@dataclass(frozen=True)
class Stage:
    """What a stage reads."""

    wildcards: frozenset[str]
    settings: tuple[str, ...]
    """Names of settings as ``Variation.settings`` knows them: the params of the rule."""
    sources: tuple[Source, ...] = ()


def _stage(wildcards: str, settings: str, *sources: Source) -> Stage:
    return Stage(frozenset(wildcards.split()), tuple(settings.split()), sources)


STAGES: Mapping[str, Stage] = {
    "crop": _stage("grid split", "grid relight"),
    "train": _stage("detector", "detector", Source("crop", "train"), Source("crop", "validation")),
    "infer": _stage("detector split", "detector", Source("train"), Source("crop")),
    "merge": _stage("detector split", "merge", Source("crop"), Source("infer")),
    "fuse": _stage("split", "fuse", Source("merge"), Source("merge", "validation")),
    "calibrate": _stage("", "calibrate", Source("fuse", CALIBRATED)),
    "binarize": _stage("split", "binarize", Source("fuse"), Source("calibrate")),
    "refine": _stage("split", "refine", Source("binarize")),
    "preview": _stage("split", "preview", Source("fuse"), Source("calibrate"), Source("binarize"), Source("refine")),
    "evaluate": _stage("", "evaluate grids", Source("fuse", EVERY), Source("binarize", EVERY), Source("refine", EVERY)),
}
"""Every stage that variations may differ in, by the name of its rule. All of them work on one category."""


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
            By split, then by detector.
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
            )
            for split in splits
            for name in detectors
        ]

    def _every_split(self, variation: Variation, source: Source, category: str) -> Sequence[str]:
        relit = source.split == CALIBRATED and variation.resolved(category).relight.validation_variants
        return [*self._splits, RELIT_VALIDATION] if relit else self._splits

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


def _has(variation: Variation, job: StageJob) -> bool:
    """Whether a variation does such a job at all, with whatever settings."""
    members = variation.members(job.category)
    grids = [variation.grid(job.category, member) for member in members]
    return (job.detector or members[0]) in members and (job.grid or grids[0]) in grids
