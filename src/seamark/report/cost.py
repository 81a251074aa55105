"""Cost of a run: wall time, CPU time and peak memory from the provenance files beside the manifests."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamark.files.plain import MANIFEST_BYTES, UNREADABLE, read_plain_file
from seamark.flow import STAGES


@dataclass(frozen=True)
class JobCost:
    """What one job cost."""

    stage: str
    category: str | None
    """None for a job over all categories."""
    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    device: str
    path: Path
    """The provenance file."""


@dataclass(frozen=True)
class StageCost:
    """What all jobs of a stage cost together."""

    stage: str
    jobs: tuple[JobCost, ...]

    @property
    def wall_s(self) -> float:
        """Sum of the wall seconds; jobs that ran side by side both count."""
        return sum(job.wall_s for job in self.jobs)

    @property
    def cpu_s(self) -> float:
        """Sum of the CPU seconds."""
        return sum(job.cpu_s for job in self.jobs)

    @property
    def peak_memory_mb(self) -> float:
        """Largest peak memory of a job."""
        return max(job.peak_memory_mb for job in self.jobs)

    @property
    def devices(self) -> str:
        """Devices of the jobs, joined."""
        return ", ".join(sorted({job.device for job in self.jobs}))

    def of(self, category: str) -> tuple[float, float] | None:
        """Wall and CPU seconds of one category; None when the stage has no job for it."""
        jobs = [job for job in self.jobs if job.category == category]
        return (sum(job.wall_s for job in jobs), sum(job.cpu_s for job in jobs)) if jobs else None


@dataclass(frozen=True)
class RunCost:
    """What a run cost, as far as it is on record."""

    stages: tuple[StageCost, ...]
    unreadable: tuple[Path, ...]
    """Provenance files that could not be used."""


def read_costs(folder: Path, shown: Iterable[Path]) -> RunCost:
    """Add up the jobs of a run that files rest on.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    shown : iterable of Path
        Files, as provenance spells them. Jobs behind none of them are leftovers of other settings and not counted.

    Returns
    -------
    RunCost
        Stages in the order of the flow. A damaged file is listed, not fatal: cost is no result.
    """
    jobs: list[JobCost] = []
    makers: dict[str, tuple[JobCost, list[str]]] = {}
    unreadable = []
    for path in sorted(folder.rglob("*.prov.json")):
        try:
            facts = json.loads(read_plain_file(path, MANIFEST_BYTES))
            wildcards = facts.get("wildcards", {})
            job = _job_cost(facts, wildcards, path)
            outputs, inputs = ([*facts.get(kind, {}).keys()] for kind in ("outputs", "inputs"))
        except UNREADABLE:
            unreadable.append(path)
            continue
        jobs.append(job)
        makers |= dict.fromkeys(outputs, (job, inputs))
    used = _behind(map(str, shown), makers)
    return RunCost(stage_costs(job for job in jobs if job.path in used), tuple(unreadable))


def _behind(names: Iterable[str], makers: Mapping[str, tuple[JobCost, list[str]]]) -> set[Path]:
    """Return the provenance files of the jobs behind files."""
    waiting, used = [*names], set()
    while waiting:
        job, inputs = makers.get(waiting.pop(), (None, []))
        if job is not None and job.path not in used:
            used.add(job.path)
            waiting += inputs
    return used


def _job_cost(facts: Mapping[str, Any], wildcards: Mapping[str, Any], path: Path) -> JobCost:
    amounts = [float(facts[name]) for name in ("wall_s", "cpu_s", "peak_memory_mb")]
    if not all(map(math.isfinite, amounts)):
        raise ValueError(f"time and memory {amounts}")
    return JobCost(
        stage=str(facts["rule"]),
        category=wildcards.get("category"),
        wall_s=amounts[0],
        cpu_s=amounts[1],
        peak_memory_mb=amounts[2],
        device=str(facts.get("device", "cpu")),
        path=path,
    )


def stage_costs(jobs: Iterable[JobCost]) -> tuple[StageCost, ...]:
    """Group jobs by stage.

    Parameters
    ----------
    jobs : iterable of JobCost
        In any order.

    Returns
    -------
    tuple of StageCost
        In the order of the flow; those it does not know follow in alphabetical order.
    """
    by_stage: dict[str, list[JobCost]] = {}
    for job in jobs:
        by_stage.setdefault(job.stage, []).append(job)
    known = {stage: position for position, stage in enumerate(STAGES)}
    order = sorted(by_stage, key=lambda stage: (known.get(stage, len(STAGES)), stage))
    return tuple(StageCost(stage, tuple(by_stage[stage])) for stage in order)
