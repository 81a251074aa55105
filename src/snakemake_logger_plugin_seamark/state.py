"""The state of a run: its jobs by stage and category, what runs now, and how long the rest may take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

MOST_SHARE = 0.9
"""Share of a running job that its present items may stand for."""


@dataclass(frozen=True)
class PlannedJob:
    """A job that is to run."""

    stage: str
    label: str
    """The stage and its wildcards in one line."""
    category: str = ""
    """Empty for a job of the whole run."""
    seconds: float | None = None
    """What it took in an earlier run."""


@dataclass
class RunningJob:
    """A job that runs, and what it has told of itself."""

    job: PlannedJob
    since: float
    done: int = 0
    total: int = 0
    what: str = ""
    told: tuple[float, int] = (0.0, 0)
    """Time and items of the first word of its present items."""
    last: float = 0.0
    """Time of the last one."""

    @property
    def share(self) -> float:
        """Share of its present items that is done; never all, as others may follow."""
        return min(MOST_SHARE, self.done / self.total) if self.total else 0.0

    def tell(self, done: int, total: int, what: str, now: float) -> None:
        """Note how many of its items are done."""
        if what != self.what:
            self.told = (now, done)
        self.done, self.total, self.what, self.last = done, total, what, now

    @property
    def rest_s(self) -> float | None:
        """Seconds that its present items still take, None while nothing is known of their pace."""
        made = self.done - self.told[1]
        return (self.last - self.told[0]) / made * (self.total - self.done) if made > 0 else None


@dataclass
class Cell:
    """Jobs of a stage and category."""

    total: int = 0
    done: float = 0.0
    """Running jobs count by their share."""
    finished: int = 0
    failed: int = 0


@dataclass
class RunState:
    """Counts jobs as they start, tell and end.

    Parameters
    ----------
    jobs : dict of int to PlannedJob
        By Snakemake's number, in the order of the flow.
    begun : float
        Time of the start, s, as all times here by one clock.
    """

    jobs: dict[int, PlannedJob]
    begun: float
    running: dict[int, RunningJob] = field(default_factory=dict)
    finished: dict[int, float] = field(default_factory=dict)
    """Seconds that finished jobs took."""
    failed: set[int] = field(default_factory=set)

    def start(self, number: int, now: float) -> None:
        """Note that a job starts, perhaps again after it has failed."""
        if number in self.jobs:
            self.failed.discard(number)
            self.running[number] = RunningJob(self.jobs[number], now)

    def finish(self, number: int, now: float) -> None:
        """Note that a job has ended well."""
        if running := self.running.pop(number, None):
            self.finished[number] = now - running.since

    def fail(self, number: int) -> None:
        """Note that a job has failed."""
        if self.running.pop(number, None):
            self.failed.add(number)

    def progress(self, facts: Mapping[str, Any], now: float) -> None:
        """Note what a job tells of itself: ``job`` is its label, ``done`` of ``total`` items, ``what`` these are."""
        for running in self.running.values():
            if running.job.label == facts["job"]:
                running.tell(facts["done"], facts["total"], facts["what"], now)
                return

    @property
    def stages(self) -> list[str]:
        """Names of all stages, in the order of the flow."""
        return list(dict.fromkeys(job.stage for job in self.jobs.values()))

    @property
    def categories(self) -> list[str]:
        """Names of all categories."""
        return sorted({job.category for job in self.jobs.values() if job.category})

    def cells(self, apart: bool = True) -> dict[tuple[str, str], Cell]:
        """Return the jobs by stage and category; all categories together, under an empty name, if not apart."""
        cells: dict[tuple[str, str], Cell] = {}
        for number, job in self.jobs.items():
            cell = cells.setdefault((job.stage, job.category if apart else ""), Cell())
            cell.total += 1
            cell.finished += number in self.finished
            cell.failed += number in self.failed
            cell.done += self.running[number].share if number in self.running else number in self.finished
        return cells

    def remaining_s(self, now: float) -> float | None:
        """Estimate the seconds that the rest takes.

        A job takes the mean of those of its stage, or what it took in an earlier run, or the mean of all. So many jobs
        run side by side as did so far.

        Returns
        -------
        float or None
            None as long as less than half of the jobs that are left belong to stages of which that is known.
        """
        took: dict[str, list[float]] = {}
        for number, seconds in self.finished.items():
            took.setdefault(self.jobs[number].stage, []).append(seconds)
        for one in self.running.values():
            if one.rest_s is not None:
                took.setdefault(one.job.stage, []).append(now - one.since + one.rest_s)
        busy = sum(self.finished.values()) + sum(now - running.since for running in self.running.values())
        if not took or not busy or now <= self.begun:
            return None
        every = fmean(fmean(seconds) for seconds in took.values())
        left = {number: self.jobs[number] for number in self.jobs.keys() - self.finished.keys() - self.failed}
        if 2 * sum(job.stage not in took and job.seconds is None for job in left.values()) > len(left):
            return None
        rest = 0.0
        for number, job in left.items():
            whole = fmean(took[job.stage]) if job.stage in took else job.seconds or every
            running = self.running.get(number)
            rest += max(running.rest_s or 0.0, whole - (now - running.since)) if running else whole
        return rest * (now - self.begun) / busy
