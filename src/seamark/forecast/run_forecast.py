"""The forecast of a whole run: every stage, the wall time, and what does not fit."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seamark.errors import SeamarkError
from seamark.forecast.disk import KINDS, disk_bytes
from seamark.forecast.learning import CUDA_CONTEXT_MB
from seamark.forecast.machine import MachineSpeed
from seamark.forecast.memory import memory, requested_mb
from seamark.forecast.room import PlannedJob
from seamark.forecast.schedule import TimedJob, wall_seconds
from seamark.forecast.seconds import StepTimes, start_seconds, work_seconds
from seamark.forecast.work import Work
from seamark.registry import DETECTORS
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.teacher import DISTILLED, RANDOM

PRIORITIES = {"distill": 40, "train": 30, "infer": 20, "refine": 10}
"""Of the rules in the Snakefile."""
RUN_START_S = 4.0
"""Of Snakemake, until its first job starts."""

DetectorKey = tuple[str, str, tuple[int, int]]
"""Detector, its settings as JSON and the size of its tiles: what is measured once."""


@dataclass(frozen=True)
class StageForecast:
    """What all jobs of a stage take."""

    stage: str
    leaves: str
    jobs: int
    done: int
    start_s: float
    """CPU time of all its jobs until they begin with their work."""
    work_s: float
    """CPU time of their work; of training and scoring on a GPU the time that they hold it."""
    left_s: float
    """Both, of jobs whose manifest is not there."""
    memory_mb: float
    """Peak of a job, mapped tiles included."""
    requested_mb: int
    gpu_mb: float
    disk_mb: float


@dataclass(frozen=True)
class RunForecast:
    """What a run takes."""

    stages: tuple[StageForecast, ...]
    cores: int
    gpus: int
    wall_s: float
    left_s: float
    """Wall seconds of what is not there yet."""
    disk_mb: float
    together_mb: float
    """Memory, without mapped tiles, of as many jobs as there are cores, the largest ones."""
    machine: MachineSpeed


def forecast_run(
    jobs: Sequence[PlannedJob],
    machine: MachineSpeed,
    times: Mapping[DetectorKey, StepTimes],
    cores: int,
    gpus: int,
) -> RunForecast:
    """Add up what the jobs of a run take.

    Parameters
    ----------
    jobs : sequence of PlannedJob
        All jobs, in the order of the flow.
    machine : MachineSpeed
        What was measured of this machine.
    times : mapping
        What was measured of the detectors.
    cores, gpus : int
        What Snakemake may use.

    Returns
    -------
    RunForecast
        Stages in the order of the flow.
    """
    starts = {job.name: _job_seconds(job.work, machine, times) for job in jobs}
    seconds = {name: sum(parts) for name, parts in starts.items()}
    stages: dict[str, list[PlannedJob]] = {}
    for job in jobs:
        stages.setdefault(job.work.stage, []).append(job)
    timed = [
        TimedJob(
            job.name,
            seconds[job.name] if job.gpus else seconds[job.name] / min(cores, job.threads),
            job.needs,
            PRIORITIES.get(job.work.stage, 0),
            job.threads,
            job.gpus,
        )
        for job in jobs
    ]
    left = [job for job, planned in zip(timed, jobs, strict=True) if not planned.done]
    return RunForecast(
        stages=tuple(_stage(stage, members, starts, times, cores) for stage, members in stages.items()),
        cores=cores,
        gpus=gpus,
        wall_s=RUN_START_S + wall_seconds(timed, cores, gpus),
        left_s=RUN_START_S + wall_seconds(left, cores, gpus),
        disk_mb=sum(disk_bytes(job.work) for job in jobs) / 1e6,
        together_mb=sum(sorted((memory(job.work).resident for job in jobs), reverse=True)[:cores]),
        machine=machine,
    )


def _job_seconds(work: Work, machine: MachineSpeed, times: Mapping[DetectorKey, StepTimes]) -> tuple[float, float]:
    """Seconds to start, and to work."""
    written = disk_bytes(work) / 1e6 / machine.disk_mb_s if work.stage == "package" else 0.0
    found = times.get(detector_key(work)) if work.stage in ("train", "infer") else None
    return start_seconds(work, machine.slowness, found), work_seconds(work, machine.slowness, found) + written


def _stage(
    stage: str,
    jobs: Sequence[PlannedJob],
    seconds: Mapping[str, tuple[float, float]],
    times: Mapping[DetectorKey, StepTimes],
    cores: int,
) -> StageForecast:
    peaks = [memory(job.work, min(cores, job.threads)) for job in jobs]
    trained = [job.work for job in jobs if stage == "train"]
    measured = [times[key] for work in trained if (key := detector_key(work)) in times]
    on_gpu = [CUDA_CONTEXT_MB + found.gpu_mb for found in measured if found.gpu_mb]
    return StageForecast(
        stage=stage,
        leaves=KINDS[stage],
        jobs=len(jobs),
        done=sum(job.done for job in jobs),
        start_s=sum(seconds[job.name][0] for job in jobs),
        work_s=sum(seconds[job.name][1] for job in jobs),
        left_s=sum(sum(seconds[job.name]) for job in jobs if not job.done),
        memory_mb=max([*(peak.peak for peak in peaks), *(found.peak_mb for found in measured)]),
        requested_mb=max(requested_mb(job.work, job.threads) for job in jobs),
        gpu_mb=max(on_gpu or [peak.gpu for peak in peaks]),
        disk_mb=sum(disk_bytes(job.work) for job in jobs) / 1e6,
    )


def detector_key(work: Work) -> DetectorKey:
    """Return what a detector's measurement depends on."""
    return work.detector, work.block.model_dump_json(), work.grid.input_shape


def measure_detectors(works: Iterable[Work], device: str) -> dict[DetectorKey, StepTimes]:
    """Measure every detector of a run once per settings and tile size, each in a process of its own.

    Parameters
    ----------
    works : iterable of Work
        Jobs of any stage; those of ``train`` tell what is measured.
    device : str
        ``cpu`` or ``cuda:<index>``.

    Returns
    -------
    dict
        By detector, settings and tile size.

    Raises
    ------
    SeamarkError
        If a detector cannot be built or trained; with the end of what it said.
    """
    wanted: dict[DetectorKey, list[Work]] = {}
    for work in works:
        if work.stage == "train":
            wanted.setdefault(detector_key(work), []).append(work)
    return {key: _measured(works_of_key, device) for key, works_of_key in wanted.items()}


def _measured(works: Sequence[Work], device: str) -> StepTimes:
    work = works[0]
    block = work.block
    if isinstance(block, EfficientAdSettings) and block.teacher == DISTILLED:
        # The teacher is not there yet; a random one takes the same time.
        block = block.model_copy(update={"teacher": RANDOM})
    counts = {(one.training.tiles(one.grid), one.photographs.tiles(one.grid)) for one in works}
    request = {
        "detector": DETECTORS[work.detector].target,
        "settings": block.model_dump(mode="json"),
        "tile_shape": work.grid.input_shape,
        "tiles": sorted((train, both - train) for train, both in counts),
        "device": device,
    }
    command = [sys.executable, "-m", "seamark.forecast.step_times"]
    result = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if result.returncode:
        raise SeamarkError(f"{work.label}: its steps cannot be measured:\n{result.stderr[-2000:]}")
    return _step_times(json.loads(result.stdout))


def _step_times(answer: Mapping[str, Any]) -> StepTimes:
    """Return the answer with numbers of tiles as keys, which JSON had turned into text."""
    numbered = {name: {int(tiles): value for tiles, value in answer[name].items()} for name in ("computed_s", "steps")}
    return StepTimes(**{**answer, **numbered})
