"""Tell what the target ``submission`` will take, stage by stage, and refuse what cannot fit.

**Inputs** none: sizes come from the headers of the photographs, or of the index where it is there.
**Outputs** ``plan``: JSON, seconds and MB per stage; ``text``: the same as a table, which is printed, too.
**Params** ``config``: the whole configuration; ``project``: folder of the Snakefile; ``limits``: cores, GPUs and memory
that Snakemake may use.

Images are not decoded. The speed of this machine is measured for two seconds, and each detector for some steps.
"""

import os
import sys
from pathlib import Path

from seamark.files.atomic import atomic_write
from seamark.forecast.machine_speed import measure_machine
from seamark.forecast.room import MemoryLimit, ResourceError, gpu_problems, room_problems
from seamark.forecast.run_forecast import forecast_run, measure_detectors
from seamark.forecast.tables import forecast_text, write_forecast
from seamark.planning.plan import Plan
from seamark.running.job import Job, run


def main(job: Job) -> None:
    """Measure, add up, print, and refuse."""
    limits, target, load = job.params["limits"], job.target("plan"), os.getloadavg()[0]
    jobs = Plan(job.params["config"], Path(job.params["project"])).forecast.submission(limits["gpus"])
    memory = MemoryLimit(**limits["memory"]) if limits["memory"] else None
    problems = room_problems(jobs, memory, limits["cores"]) + gpu_problems(jobs, limits["gpus"])
    # What does not fit into memory would not fit while it is measured either.
    times = {} if problems else measure_detectors([one.work for one in jobs], job.device)
    forecast = forecast_run(jobs, measure_machine(target.parent), times, limits["cores"], limits["gpus"])
    text = forecast_text(forecast, problems, memory, load)
    sys.stdout.write(f"\n{text}\n")
    with atomic_write(job.target("text")) as draft:
        draft.write_text(text, encoding="utf-8")
    write_forecast(target, forecast, problems)
    if problems:
        raise ResourceError("\n".join(problems))


run(main, globals())
