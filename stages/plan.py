"""Tell what the target ``submission`` will take, stage by stage, and refuse what cannot fit.

**Inputs** none: sizes come from the headers of the photographs, or of the index where it is there.
**Outputs** ``plan``: JSON, MB and seconds per stage, and what is to be known of the settings; ``text``: the same as a
table and lines, which is printed, too.
**Params** ``config``: the whole configuration; ``project``: folder of the Snakefile; ``limits``: cores, GPUs and memory
that Snakemake may use.

Images are not decoded. Each detector is measured for some steps.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from seamark.files.atomic import atomic_write
from seamark.forecast.machine import gpu_memory_mb
from seamark.forecast.refusals import MemoryLimit, ResourceError, room_problems
from seamark.forecast.tables import forecast_run, forecast_text
from seamark.planning.plan import Plan
from seamark.running.job import Job, run


def main(job: Job) -> None:
    """Measure, add up, print, and refuse."""
    limits = job.params["limits"]
    cores, gpus = limits["cores"], limits["gpus"]
    memory = MemoryLimit(**limits["memory"]) if limits["memory"] else None
    planned = Plan(job.params["config"], Path(job.params["project"]))
    works, notes = planned.forecast.submission(), planned.notes()
    problems = room_problems(works, memory, cores, gpu_memory_mb() if gpus else None)
    seconds: list[float | None] = [None] * len(works)
    if not problems:  # what does not fit into memory would not fit while it is measured either
        from seamark.forecast.step_times import measured_seconds  # noqa: PLC0415  (a refusal needs no torch)

        seconds = measured_seconds(works, job.device)
    forecast = forecast_run(works, seconds, cores, gpus)
    text = "\n".join([forecast_text(forecast, problems, memory), *notes, ""])
    sys.stdout.write(f"\n{text}\n")
    with atomic_write(job.target("text")) as draft:
        draft.write_text(text, encoding="utf-8")
    with atomic_write(job.target("plan")) as draft:
        draft.write_text(
            json.dumps({**asdict(forecast), "problems": problems, "notes": notes}, indent=1) + "\n", encoding="utf-8"
        )
    if problems:
        raise ResourceError("\n".join(problems))


run(main, globals())
