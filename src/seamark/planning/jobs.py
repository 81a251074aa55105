"""The jobs of a run and its variations, as the table of stages gives them, and which of them variations share.

A job that several variations need is done once, at the place of the first one that needs it. Two variations that
differ only in how they refine therefore share tiles, models and maps, and the second one reads those of the first.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from seamark.flow import ALL, CALIBRATED, EVERY, OWN, PRIVATE, STAGES, THRESHOLDS, Source
from seamark.planning.variations import FOR_THRESHOLDS, Variation
from seamark.settings.base import PHOTOGRAPHED
from seamark.settings.crossfit import CROSSFIT_TRAIN

PRIVATE_SPLITS = ("test_private", "test_private_mixed")


class StageJob(NamedTuple):
    """One job: its stage and its wildcards, those that the stage has."""

    stage: str
    category: str | None = None
    split: str | None = None
    detector: str | None = None
    grid: str | None = None
    fold: int | None = None
    teacher: str | None = None

    @property
    def label(self) -> str:
        """The stage and its wildcards in one line, unique within a run."""
        return " ".join(str(part) for part in self if part is not None)

    def files(self, place: str, run: str, root: str = "") -> dict[str, str]:
        """Return its declared files by name, when it is done at a place; those of some stages lie at the run's."""
        known = {"place": place, "run": run, "root": root, **self._asdict()}
        return {name: pattern.format(**known) for name, pattern in STAGES[self.stage].outputs.items()}


class RunJobs:
    """Tells the jobs of a run and its variations, what they read and where their results lie.

    Parameters
    ----------
    variations : sequence of Variation
        The run itself first. A job that several have in common belongs to the first of them.
    categories : sequence of str
        Categories of the run.
    """

    def __init__(self, variations: Sequence[Variation], categories: Sequence[str]) -> None:
        self._variations = {variation.place: variation for variation in variations}
        self._run = variations[0]
        self._splits = self._run.config.data.splits
        self._categories = categories
        self._signatures: dict[tuple[str, StageJob], str] = {}

    def owner(self, place: str, job: StageJob) -> str:
        """Return the place at which a job of a variation is done: that of the first variation that has the same job."""
        if not STAGES[job.stage].varies:
            return self._run.place
        for earlier, variation in self._variations.items():
            if earlier == place:
                break
            if _has(variation, job) and self.signature(earlier, job) == self.signature(place, job):
                return earlier
        return place

    def files(self, place: str, job: StageJob) -> dict[str, str]:
        """Return the declared files of a job of a variation by name, where the job is done."""
        config = self._run.config
        return job.files(self.owner(place, job), config.run, str(config.data.root))

    def manifest(self, place: str, job: StageJob) -> str:
        """Return the file that stands for a job of a variation, where the job is done."""
        return next(iter(self.files(place, job).values()))

    def read_by(self, place: str, reader: StageJob) -> list[StageJob]:
        """Return the jobs whose files a job of a variation reads."""
        return [job for source in STAGES[reader.stage].sources for job in self.jobs(place, source, reader)]

    def behind(self, place: str, stages: Iterable[str]) -> list[StageJob]:
        """Return all jobs of some stages of a variation, and all jobs whose results these read.

        Parameters
        ----------
        place : str
            Place of the variation.
        stages : iterable of str
            Names of rules.

        Returns
        -------
        list of StageJob
            Each once.
        """
        waiting = [job for stage in stages for job in self.jobs(place, Source(stage, EVERY))]
        found: dict[StageJob, None] = {}
        while waiting:
            job = waiting.pop()
            if job not in found:
                found[job] = None
                waiting += self.read_by(place, job)
        return list(found)

    def manifests(self, place: str, stages: Iterable[str]) -> list[str]:
        """Return the manifests of all jobs behind some stages of a variation in which variations may differ.

        A target names them all: Snakemake makes nothing again that only an older file of a later stage needs, so a job
        that was killed, and has lost its old outputs, would otherwise leave results of older settings behind it. Tiles
        are among them only if they are kept; a file that is named is never deleted as temporary.
        """
        dropped = () if self._run.config.keep_tiles else ("crop",)
        jobs = self.behind(place, stages)
        return [self.manifest(place, job) for job in jobs if STAGES[job.stage].varies and job.stage not in dropped]

    def jobs(self, place: str, source: Source, reader: Any = None) -> list[StageJob]:
        """Return the jobs of a source that a job of a variation reads.

        Parameters
        ----------
        place : str
            Place of the variation.
        source : Source
            Stage and splits.
        reader : object
            ``category``, ``split`` and ``detector`` of the reading job, as far as it has them.

        Returns
        -------
        list of StageJob
            By category, then by split, then by detector, then by fold.
        """
        variation, category = self._variations[place], getattr(reader, "category", None)
        categories = [category] if category else self._categories
        if source.stage == "distill":
            return self._teachers(variation, categories, reader)
        if source.stage == "demo":
            return [StageJob("demo")] if self._run.config.data.demo else []
        if source.stage == "package" and not self.private_splits:
            return []
        if "category" not in STAGES[source.stage].wildcards:
            return [StageJob(source.stage)]
        return [job for one in categories for job in self._of_category(variation, source, one, reader)]

    @property
    def private_splits(self) -> tuple[str, ...]:
        """Private splits of the run, which the archive is made of."""
        return tuple(split for split in self._splits if split in PRIVATE_SPLITS)

    def _teachers(self, variation: Variation, categories: Sequence[str], reader: Any) -> list[StageJob]:
        detector = getattr(reader, "detector", None)
        pairs = [(one, name) for one in categories for name in ([detector] if detector else variation.members(one))]
        keys = filter(None, (variation.teacher(*pair) for pair in pairs))
        return [StageJob("distill", teacher=key) for key in dict.fromkeys(keys)]

    def _of_category(self, variation: Variation, source: Source, category: str, reader: Any) -> list[StageJob]:
        wanted, detector = STAGES[source.stage].wildcards, getattr(reader, "detector", None)
        detectors: Sequence[str | None] = [None]
        if "detector" in wanted or "grid" in wanted:
            detectors = [detector] if detector else variation.members(category)
        split = getattr(reader, "split", None)
        return [
            StageJob(
                source.stage,
                category,
                one,
                name if "detector" in wanted else None,
                variation.grid(category, name) if name and "grid" in wanted else None,
                fold,
            )
            for one in (self._with_files(variation, source, category, split) if "split" in wanted else (None,))
            for name in detectors
            for fold in _folds(variation, source.stage, category, split)
        ]

    def _with_files(self, variation: Variation, source: Source, category: str, own: str | None) -> list[str | None]:
        """Return the chosen splits as far as the source's stage has files of them, each once."""
        splits, covers = self._chosen(variation, source, category, own), STAGES[source.stage].covers
        if covers == "photographs":
            return list(dict.fromkeys(PHOTOGRAPHED.get(str(split), split) for split in splits))
        return [split for split in splits if covers != "tests" or str(split).startswith("test")]

    def _chosen(self, variation: Variation, source: Source, category: str, own: str | None) -> Sequence[str | None]:
        if source.split == OWN:
            return [own]
        if source.split == PRIVATE:
            return self.private_splits
        if source.split == EVERY:
            return self._splits
        if source.split == ALL:
            return ["train", *self._splits]
        if source.split in (THRESHOLDS, CALIBRATED):
            own_splits = self._splits if source.split == CALIBRATED else ("validation",)
            return [*own_splits, *variation.splits_for_thresholds(category)]
        return [source.split]

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
            variation = self._variations[place]
            settings = [variation.settings(name, job) for name in STAGES[job.stage].settings]
            kind = variation.detector_type(job.category, job.detector) if job.category and job.detector else None
            behind = [self.signature(place, upstream) for upstream in self.read_by(place, job)]
            facts = json.dumps([job, kind, settings, behind], sort_keys=True)
            known = self._signatures[place, job] = hashlib.sha256(facts.encode()).hexdigest()
        return known


def _folds(variation: Variation, stage: str, category: str, split: str | None) -> Sequence[int | None]:
    """Folds of a source; a cross-fitted split reads their models, or that of all others where there is a holdout."""
    crossfit = variation.resolved(category).crossfit
    if stage == "train_fold":
        return range(1, crossfit.folds + 1) if split in (None, CROSSFIT_TRAIN) else ()
    return () if stage == "train" and split == CROSSFIT_TRAIN and not crossfit.holdout_every else (None,)


def _has(variation: Variation, job: StageJob) -> bool:
    """Whether a variation does such a job at all, with whatever settings."""
    category = str(job.category)
    if job.split in FOR_THRESHOLDS and job.split not in variation.splits_for_thresholds(category):
        return False
    members = variation.members(category)
    grids = [variation.grid(category, member) for member in members]
    return (job.detector or members[0]) in members and (job.grid or grids[0]) in grids
