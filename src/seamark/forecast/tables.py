"""The forecast of a whole run, stage by stage, as numbers and as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from seamark.forecast.disk import LEFT_BY, disk_bytes
from seamark.forecast.memory import memory, requested_mb
from seamark.forecast.refusals import MemoryLimit, gigabytes
from seamark.forecast.work import Work

COLUMNS = ("stage", "jobs", "there", "roughly", "memory", "asked for", "GPU memory", "disk", "leaves")


@dataclass(frozen=True)
class StageForecast:
    """What all jobs of a stage take."""

    stage: str
    jobs: int
    done: int
    """Jobs whose manifest exists; whether it is up to date, only Snakemake knows."""
    seconds: float | None
    """Of all its jobs, if it was measured: of CPU time, or of a GPU."""
    memory_mb: float
    """Peak of a job."""
    requested_mb: int
    gpu_mb: float
    disk_mb: float


@dataclass(frozen=True)
class RunForecast:
    """What a run takes; MB are 10**6 bytes."""

    stages: tuple[StageForecast, ...]
    cores: int
    gpus: int
    rough_s: float | None
    """Seconds of training and scoring, shared among the GPUs, or the cores without any."""
    disk_mb: float
    together_mb: float
    """Memory of as many jobs as there are cores, the largest ones."""


def forecast_run(works: Sequence[Work], seconds: Sequence[float | None], cores: int, gpus: int) -> RunForecast:
    """Add up what the jobs of a run take.

    Parameters
    ----------
    works : sequence of Work
        All jobs, in the order of the flow.
    seconds : sequence of float or None
        What was measured of each of them.
    cores, gpus : int
        What Snakemake may use.

    Returns
    -------
    RunForecast
        Stages in the order of the flow.
    """
    stages = [_stage(stage, works, seconds, cores) for stage in dict.fromkeys(work.stage for work in works)]
    measured_s = [stage.seconds for stage in stages if stage.seconds is not None]
    return RunForecast(
        stages=tuple(stages),
        cores=cores,
        gpus=gpus,
        rough_s=sum(measured_s) / (gpus or cores) if measured_s else None,
        disk_mb=sum(stage.disk_mb for stage in stages),
        together_mb=sum(sorted((memory(work).resident for work in works), reverse=True)[:cores]),
    )


def _stage(stage: str, works: Sequence[Work], seconds: Sequence[float | None], cores: int) -> StageForecast:
    jobs = [work for work in works if work.stage == stage]
    measured_s = [one for work, one in zip(works, seconds, strict=True) if work.stage == stage and one is not None]
    peaks = [memory(work, cores) for work in jobs]
    return StageForecast(
        stage=stage,
        jobs=len(jobs),
        done=sum(work.outputs[0].exists() for work in jobs),
        seconds=sum(measured_s) if measured_s else None,
        memory_mb=max(peak.resident for peak in peaks),
        requested_mb=max(map(requested_mb, jobs)),
        gpu_mb=max(peak.gpu for peak in peaks),
        disk_mb=sum(map(disk_bytes, jobs)) / 1e6,
    )


def duration(seconds: float | None) -> str:
    """Return a duration for a person.

    >>> duration(8.4), duration(95), duration(7320), duration(None)
    ('8 s', '1 min 35 s', '2 h 2 min', '-')
    """
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def forecast_text(forecast: RunForecast, problems: Sequence[str], limit: MemoryLimit | None) -> str:
    """Return the table of all stages, the sums and what does not fit; ``limit`` is None where jobs run elsewhere."""
    rows = [COLUMNS, *map(_row, forecast.stages)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", f"disk: {gigabytes(forecast.disk_mb)}"]
    if forecast.rough_s is not None:
        where = f"{forecast.gpus} GPU" if forecast.gpus else f"{forecast.cores} cores"
        lines.append(
            f"time: training and scoring roughly {duration(forecast.rough_s)} on {where} that do nothing else, from a "
            "few steps and tiles measured here; the other stages were not measured and come on top"
        )
    if limit is not None and forecast.together_mb > limit.megabytes:
        lines.append(
            f"memory: {forecast.cores} jobs side by side may take {gigabytes(forecast.together_mb)}; with "
            f"--resources mem_mb={limit.megabytes:.0f} no more of them start than fit"
        )
    lines += ["", *(["it does not fit:", *(f"  - {problem}" for problem in problems)] if problems else ["it fits"]), ""]
    return "\n".join(lines)


def _row(stage: StageForecast) -> tuple[str, ...]:
    return (
        stage.stage,
        str(stage.jobs),
        str(stage.done),
        duration(stage.seconds),
        gigabytes(stage.memory_mb),
        gigabytes(stage.requested_mb),
        gigabytes(stage.gpu_mb) if stage.gpu_mb else "-",
        gigabytes(stage.disk_mb),
        LEFT_BY[stage.stage].what,
    )
