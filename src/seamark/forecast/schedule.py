"""How long jobs take together: they start as Snakemake starts them, as soon as what they need is there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True)
class TimedJob:
    """A job with its needs."""

    name: str
    seconds: float
    """Wall seconds when nothing disturbs it."""
    needs: tuple[str, ...] = ()
    """Names of the jobs that must be done before."""
    priority: int = 0
    threads: int = 1
    gpus: int = 0


def wall_seconds(jobs: Sequence[TimedJob], cores: int, gpus: int) -> float:
    """Return the wall seconds of all jobs.

    Parameters
    ----------
    jobs : sequence of TimedJob
        In the order in which they are preferred among equals; needs that are not among them count as done.
    cores : int
        Jobs get no more threads than this.
    gpus : int
        GPUs; without any, jobs that would take one run without.

    Returns
    -------
    float
        From the start of the first to the end of the last one; NaN if that of one job is.
    """
    if any(math.isnan(job.seconds) for job in jobs):
        return math.nan
    waiting = {job.name: job for job in sorted(jobs, key=lambda job: -job.priority)}
    running: list[tuple[float, int, TimedJob]] = []
    free_cores, free_gpus, now, started = cores, gpus, 0.0, 0
    unfinished = set(waiting)
    while waiting or running:
        for job in list(waiting.values()):
            threads, wanted = min(cores, job.threads), min(gpus, job.gpus)
            if unfinished.isdisjoint(job.needs) and threads <= free_cores and wanted <= free_gpus:
                free_cores, free_gpus, started = free_cores - threads, free_gpus - wanted, started + 1
                heappush(running, (now + job.seconds, started, job))
                del waiting[job.name]
        now, _, done = heappop(running)
        unfinished.discard(done.name)
        free_cores, free_gpus = free_cores + min(cores, done.threads), free_gpus + min(gpus, done.gpus)
    return now
