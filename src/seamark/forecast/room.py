"""Whether jobs that are about to run fit into memory and onto the disk; looks at sizes only, measures nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.errors import SeamarkError
from seamark.forecast.machine import existing_parent, free_mb, gpu_memory_mb
from seamark.forecast.remedies import disk_refusal, gpu_refusals, memory_refusals
from seamark.forecast.work import Work


class ResourceError(SeamarkError):
    """Disk or memory do not suffice for what is asked for."""


@dataclass(frozen=True)
class PlannedJob:
    """A job, the files that it declares, and when it can run."""

    work: Work
    outputs: tuple[Path, ...]
    name: str = ""
    """Unique within the run."""
    needs: tuple[str, ...] = ()
    """Names of the jobs that must be done before."""
    threads: int = 1
    gpus: int = 0

    @property
    def done(self) -> bool:
        """Whether its first file is there; whether that is up to date, only Snakemake knows."""
        return self.outputs[0].exists()


@dataclass(frozen=True)
class MemoryLimit:
    """Memory that one job may take."""

    megabytes: float
    words: str
    """Where the limit comes from, for messages."""


def room_problems(jobs: Sequence[PlannedJob], limit: MemoryLimit | None, cores: int) -> list[str]:
    """Say what does not fit.

    Parameters
    ----------
    jobs : sequence of PlannedJob
        Jobs that are about to run.
    limit : MemoryLimit or None
        Memory for a job; None where jobs run elsewhere.
    cores : int
        Most threads that a job gets.

    Returns
    -------
    list of str
        One line per problem, each with the setting that would solve it; empty if everything fits.
    """
    problems = [problem for group in _by_disk(jobs) if (problem := _disk_problem(group))]
    if limit is not None:
        threads = {job.work.stage: min(cores, job.threads) for job in jobs}
        works = [job.work for job in jobs]
        problems += memory_refusals(works, limit.megabytes, lambda work: threads[work.stage], limit.words)
    return problems


def gpu_problems(jobs: Sequence[PlannedJob], gpus: int) -> list[str]:
    """Say which jobs need more memory than the GPUs have; nothing without GPUs, or where theirs is not known."""
    available = gpu_memory_mb() if gpus else None
    return [] if available is None else gpu_refusals([job.work for job in jobs], available)


def _by_disk(jobs: Iterable[PlannedJob]) -> list[list[PlannedJob]]:
    """Jobs whose results share the free space of a file system."""
    groups: dict[int, list[PlannedJob]] = {}
    for job in jobs:
        groups.setdefault(existing_parent(job.outputs[0]).stat().st_dev, []).append(job)
    return list(groups.values())


def _disk_problem(jobs: Sequence[PlannedJob]) -> str | None:
    folders = sorted({job.outputs[0].parts[0] for job in jobs})
    present = sum(present_mb(job.outputs) for job in jobs)
    free = free_mb(jobs[0].outputs[0])
    return disk_refusal([job.work for job in jobs], free, present, " and ".join(folders))


def present_mb(outputs: Iterable[Path]) -> float:
    """Return the size in MB of what an earlier run left in place of some outputs and beside them, under their names."""
    found: set[Path] = set()
    for path in outputs:
        folder = path.with_name(path.name.removesuffix(".tar.gz").removesuffix(".json"))
        found.add(path)
        if folder != path and folder.is_dir():
            found.update(folder.rglob("*"))
    return sum(path.stat().st_size for path in found if path.is_file()) / 1e6
