"""Resources of the planned jobs, as the Snakefile asks for them. Free of NumPy and torch, as planning is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from seamark.flow import STAGES, work_of
from seamark.forecast.disk import LEFT_BY
from seamark.forecast.machine import memory_mb
from seamark.forecast.memory import requested_mb, uses_network
from seamark.forecast.photographs import NONE, DataSetSizes, PhotographSizes
from seamark.forecast.refusals import MemoryLimit, ResourceError, room_problems
from seamark.forecast.work import Work
from seamark.planning.jobs import RunJobs
from seamark.planning.variations import FOR_THRESHOLDS, Variation, learners
from seamark.settings.base import PHOTOGRAPHED, Split
from seamark.settings.config import Config
from seamark.settings.crossfit import CROSSFIT_TRAIN

EVERYTHING: tuple[Split, ...] = ("train", "validation", "test_public", "test_private", "test_private_mixed")
PRIVATE: tuple[Split, ...] = ("test_private", "test_private_mixed")
WITH_VARIANTS = {"crop", "train", "infer", "merge", "fuse", "calibrate"}
"""Rules that work on variants of photographs as on photographs."""


class PlannedForecast:
    """Answers what a job will take.

    Parameters
    ----------
    variations : mapping of str to Variation
        By place, the run itself first.
    categories : sequence of str
        Categories of the run.
    sizes : DataSetSizes
        Its photographs.
    gpus : int
        GPUs that jobs may use.
    """

    def __init__(
        self,
        variations: Mapping[str, Variation],
        categories: Sequence[str],
        sizes: DataSetSizes,
        gpus: int,
    ) -> None:
        self._variations, self._categories, self._sizes = variations, categories, sizes
        self._own, self._gpus = next(iter(variations.values())), gpus

    def memory(self, rule: str) -> Callable[[Any], int]:
        """Return a resource function that gives the memory in MB that a rule's jobs ask for."""
        return lambda wildcards: requested_mb(self.work(rule, wildcards))

    def work(self, rule: str, wildcards: Any, outputs: Iterable[Any] = ()) -> Work:
        """Return what a job does.

        Parameters
        ----------
        rule : str
            Name of its rule.
        wildcards : object
            Its wildcards.
        outputs : iterable
            Files that it declares, its manifest first.

        Returns
        -------
        Work
            With overrides applied. A training without a fold counts as one with all photographs.
        """
        rule = work_of(rule)
        category, split, detector, grid = (
            str(getattr(wildcards, name, None) or "") for name in ("category", "split", "detector", "grid")
        )
        variation = self._variations[getattr(wildcards, "place", self._own.place)]
        config, learning = variation.resolved(category or None, split or None), detector and category
        if rule == "distill":
            config, detector = self._learners[str(wildcards.teacher)]
        return Work(
            stage=rule,
            config=config,
            photographs=self._photographs(variation, rule, category, split),
            training=self._shown(variation, category, ("train",)) if learning else NONE,
            category=category,
            split=split,
            detector=detector,
            grid_name=grid,
            threads=STAGES[rule].threads,
            outputs=tuple(Path(str(file)) for file in outputs),
        )

    def submission(self) -> list[Work]:
        """Return all jobs of the target ``submission``, in the order of the flow."""
        jobs, place, order = RunJobs([self._own], self._categories), self._own.place, list(STAGES)
        behind = sorted(jobs.behind(place, ["report"]), key=lambda job: order.index(job.stage))
        return [self.work(job.stage, job, jobs.files(place, job).values()) for job in behind]

    def measuring(self, _wildcards: Any = None) -> int:
        """Return the memory in MB that ``plan`` asks for, which trains every detector for a moment."""
        return max(requested_mb(work) for work in self.submission() if work.stage == "train")

    def limits(self, resources: Mapping[str, Any], *, local: bool) -> dict[str, Any]:
        """Return what Snakemake may use, ready for JSON: cores, GPUs, and memory of a job where jobs run here."""
        limit = asdict(memory_limit(resources)) if local else None
        gpus = min(self._gpus, int(resources["gpu"].value)) if "gpu" in resources else self._gpus
        cores = resources["_cores"].value or 1
        return {"cores": cores, "gpus": gpus, "memory": limit}

    def _photographs(self, variation: Variation, rule: str, category: str, split: str) -> PhotographSizes:
        data = self._own.config.data
        private = [name for name in PRIVATE if name in data.splits]
        public = [name for name in data.splits if name == "test_public"]
        splits: Mapping[str, Sequence[Split]] = {
            "demo": EVERYTHING,
            "inventory": EVERYTHING,
            "distill": ("train",),
            "train": ("train", "validation"),
            "package": private,
            "evaluate": [*public, *(private if data.truth_root else [])],
        }
        chosen = splits.get(rule, data.splits)
        if split:
            chosen = [name for name in (*EVERYTHING, *FOR_THRESHOLDS) if name == split]
        if rule in WITH_VARIANTS and category:
            return self._shown(variation, category, chosen)
        named = (category,) if category else self._categories
        return sum((self._sizes.of(name, chosen) for name in named), NONE)

    def _shown(self, variation: Variation, category: str, splits: Sequence[Split]) -> PhotographSizes:
        """Return photographs together with their variants."""
        config, total = variation.resolved(category), NONE
        for split in splits:
            sizes = self._sizes.of(category, (PHOTOGRAPHED.get(split, split),))
            every = config.crossfit.holdout_every if split in ("train", CROSSFIT_TRAIN) else None
            if every:
                sizes = sizes.every(every) if split == CROSSFIT_TRAIN else sizes.without(every)
            total += sizes.times(len(config.light_variants.versions(split)))
        return total

    @cached_property
    def _learners(self) -> dict[str, tuple[Config, str]]:
        return learners(self._variations.values(), self._categories)

    def require_room(self, jobs: Iterable[Any], resources: Mapping[str, Any], *, local: bool) -> None:
        """Check, before the first job runs, that nothing is started that cannot fit.

        Parameters
        ----------
        jobs : iterable of Snakemake's jobs
            Those that are about to run.
        resources : mapping
            What Snakemake may use; ``mem_mb`` limits memory, if it is there.
        local : bool
            Whether jobs run on this machine; the memory of others is not known.

        Raises
        ------
        ResourceError
            Naming everything that does not fit and the setting that would make it fit.
        """
        works = [
            self.work(job.rule.name, job.wildcards, job.output) for job in jobs if work_of(job.rule.name) in LEFT_BY
        ]
        limit = memory_limit(resources) if local else None
        problems = room_problems(works, limit, resources["_cores"].value or 1, gpu_mb=None)
        if local and not self._gpus and "gpu" in resources and resources["gpu"].value and any(map(uses_network, works)):
            problems.append(
                "GPU: --resources gpu asks for one and none is visible here (SEAMARK_GPUS, CUDA_VISIBLE_DEVICES and "
                "/dev/nvidia* say which are); leave it out, or set gpu=0, to use the CPU"
            )
        if problems:
            raise ResourceError("\n".join(["the run does not fit:", *(f"  - {problem}" for problem in problems)]))


def memory_limit(resources: Mapping[str, Any]) -> MemoryLimit:
    """Return the memory that a job may take: what this machine has, or ``--resources mem_mb`` if that is less."""
    available = memory_mb()
    allowed = float(resources["mem_mb"].value) if "mem_mb" in resources else available
    if allowed < available:
        return MemoryLimit(allowed, "--resources mem_mb allows")
    return MemoryLimit(available, "this machine has")
