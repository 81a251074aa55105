"""Cost of the jobs of a run, stage by stage, and a run of the default on other photographs.

Snakemake's own benchmark files sample a job now and then, which misses peaks of memory and the last processor seconds;
here stands what the system tells each job at its end, in its provenance.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import yaml

from seamark.flow import STAGES

PROJECT = Path(__file__).parents[1]


class StageCost(NamedTuple):
    """What the jobs of a stage took."""

    jobs: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    """Largest resident memory of a job, MB of 10**6 bytes."""


def run_default(folder: Path, run: str, targets: list[str]) -> None:
    """Run the default on the photographs in a folder's ``data``, on one core; SystemExit if it fails."""
    settings = {"run": run, "data": {"root": "data", "truth_root": None, "demo": False, "splits": _splits(folder)}}
    (folder / f"{run}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "config.yaml").write_bytes((PROJECT / "config.yaml").read_bytes())
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "1", "--resources", "gpu=0", "--configfile", str(folder / f"{run}.yaml"), "--", *targets]
    with (folder / f"{run}.log").open("w", encoding="utf-8") as log:
        path = os.pathsep.join([str(PROJECT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"PYTHONPATH": path}
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    if status:
        raise SystemExit(f"snakemake ended with status {status}; its log: {log.name}")


def _splits(folder: Path) -> list[str]:
    found = {path.parent.name for path in folder.glob("data/*/*/*")}
    return ["validation", *(split for split in ("test_public",) if split in found)]


def stage_costs(run: Path) -> dict[str, StageCost]:
    """Return what the provenance of a run's jobs (``out/<run>``) says, by stage."""
    costs: dict[str, StageCost] = {}
    for path in sorted(run.rglob("*.prov.json")):
        job = json.loads(path.read_text(encoding="utf-8"))
        jobs, wall_s, cpu_s, peak_mb = costs.get(job["rule"], StageCost(0, 0.0, 0.0, 0.0))
        peak_mb = max(peak_mb, job["peak_memory_mb"])
        costs[job["rule"]] = StageCost(jobs + 1, wall_s + job["wall_s"], cpu_s + job["cpu_s"], peak_mb)
    return {stage: costs[stage] for stage in STAGES if stage in costs}
