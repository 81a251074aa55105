"""The forecast as text and as JSON."""

import json
import math
from dataclasses import asdict
from pathlib import Path

from seamark.files.atomic import atomic_write
from seamark.forecast.remedies import gigabytes
from seamark.forecast.room import MemoryLimit
from seamark.forecast.run_forecast import RunForecast, StageForecast

COLUMNS = ("stage", "jobs", "there", "time", "memory", "asked for", "GPU memory", "disk", "leaves")


def duration(seconds: float) -> str:
    """Return a duration for a person.

    >>> duration(8.4), duration(95), duration(7320), duration(math.nan)
    ('8 s', '1 min 35 s', '2 h 2 min', 'not measured')
    """
    if math.isnan(seconds):
        return "not measured"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def forecast_text(forecast: RunForecast, problems: list[str], limit: MemoryLimit | None, load: float) -> str:
    """Return the table of all stages, the sums and what does not fit.

    Parameters
    ----------
    forecast : RunForecast
        What the run takes.
    problems : list of str
        What does not fit.
    limit : MemoryLimit or None
        Memory of this machine, None where jobs run elsewhere.
    load : float
        Processes that wanted to run in the last minute, to say how much the measurements are to be trusted.
    """
    rows = [COLUMNS, *(_row(stage) for stage in forecast.stages)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    device = f"{forecast.gpus} GPU" if forecast.gpus else "no GPU"
    lines += [
        "",
        f"all: {duration(forecast.wall_s)} on {forecast.cores} cores and {device} that do nothing else, "
        f"{duration(forecast.left_s)} of them for what is not there yet; {gigabytes(forecast.disk_mb)} on the disk",
        "time: CPU time of all jobs of a stage, of training and scoring on a GPU the time that they hold it; training "
        "and scoring were measured in a few steps",
        "there: jobs whose manifest exists, up to date or not",
        f"measured here: {1 / forecast.machine.slowness:.2f} times the reference machine's speed, "
        f"{forecast.machine.disk_mb_s:.0f} MB/s to the disk, load {load:.1f}",
    ]
    if limit is not None and forecast.together_mb > limit.megabytes:
        lines.append(
            f"memory: {forecast.cores} jobs side by side may take {gigabytes(forecast.together_mb)}; with "
            f"--resources mem_mb={limit.megabytes:.0f} no more of them start than fit"
        )
    if any(stage.gpu_mb for stage in forecast.stages) and not forecast.gpus:
        lines.append("GPU memory: estimated from parameters and activations, not measured on a GPU")
    lines += ["", *(["it does not fit:", *(f"  - {problem}" for problem in problems)] if problems else ["it fits"])]
    return "\n".join([*lines, ""])


def _row(stage: StageForecast) -> tuple[str, ...]:
    return (
        stage.stage,
        str(stage.jobs),
        str(stage.done),
        duration(stage.start_s + stage.work_s),
        gigabytes(stage.memory_mb),
        gigabytes(stage.requested_mb),
        gigabytes(stage.gpu_mb) if stage.gpu_mb else "-",
        gigabytes(stage.disk_mb),
        stage.leaves,
    )


def write_forecast(target: Path, forecast: RunForecast, problems: list[str]) -> None:
    """Write a forecast as JSON: seconds, NaN where nothing was measured, and MB of 10**6 bytes."""
    with atomic_write(target) as draft:
        draft.write_text(json.dumps({**asdict(forecast), "problems": problems}, indent=1) + "\n", encoding="utf-8")
