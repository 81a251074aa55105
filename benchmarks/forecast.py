"""Hold what ``snakemake plan`` told beforehand against what a finished run took.

    snakemake --cores 2 plan && snakemake --cores 2 submission
    python benchmarks/forecast.py out/demo

Measured are CPU seconds after the start of each job and peak memory, from the provenance files, and the bytes on the
disk; of the seconds only those of training and scoring were told. The table is also written to ``forecast.csv`` in the
folder of the run. ``--networks`` measures instead what :mod:`seamark.backbones.table` knows of the backbones: the
memory of a forward pass, each in a process of its own.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from history import append, history_of

from seamark.flow import STAGES, work_of

FOLDERS = {name: stage.folder for name, stage in STAGES.items() if stage.varies and not stage.script}
FOLDERS |= {"index": "00_index", "report": "report"}
FORWARD = """
import sys, torch
from seamark.backbones.registry import load_backbone
from seamark.learning.detector import load_detector_class
from seamark.running.provenance import Stopwatch
torch.set_num_threads(1)
backbone = load_backbone(sys.argv[1], "random")
peak_mb = lambda: Stopwatch().totals()[2]
before = peak_mb()
side = round(512 / backbone.multiple) * backbone.multiple
shape = backbone.shape.fixed_shape or (side, side)
with torch.inference_mode():
    backbone.pyramid(torch.zeros(1, 3, *shape))
numbers = sum(one.numel() for one in backbone.parameters())
print(sys.argv[1], numbers, "numbers", round(peak_mb() - before), "MB at", *shape, "px")
"""


@dataclass
class Measured:
    """What the jobs of a stage took."""

    jobs: int = 0
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    disk_mb: float = 0.0


def measured(out: Path) -> dict[str, Measured]:
    """Gather CPU seconds and memory from the provenance of a run, and disk from its folders."""
    stages: dict[str, Measured] = defaultdict(Measured)
    for path in sorted(out.rglob("*.prov.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        stage = stages[work_of(facts["rule"])]
        stage.jobs, stage.cpu_s = stage.jobs + 1, stage.cpu_s + facts["cpu_s"]
        stage.memory_mb = max(stage.memory_mb, facts["peak_memory_mb"])
    for name, folder in FOLDERS.items():
        if (out / folder).is_dir():
            stages[name].disk_mb = _size_mb(out / folder)
    archive = out.parents[1] / "submissions"
    stages["package"].disk_mb = sum(_size_mb(path) for path in archive.glob(f"{out.name}*"))
    return stages


def _size_mb(path: Path) -> float:
    return sum(file.lstat().st_size for file in (path, *path.rglob("*")) if file.is_file()) / 1e6


def rows(forecast: Mapping[str, Any], found: Mapping[str, Measured]) -> list[dict[str, str]]:
    """Return a line per stage with what was told, what was measured and their ratio, and one for all."""
    table, told_mb, found_mb = [], 0.0, 0.0
    for stage in forecast["stages"]:
        one = found.get(stage["stage"])
        if one is None or one.jobs != stage["jobs"]:
            continue  # done in another run
        told_mb, found_mb = told_mb + stage["disk_mb"], found_mb + one.disk_mb
        table.append(
            {"stage": stage["stage"], "jobs": str(one.jobs)}
            | _pair("CPU s", stage["seconds"], one.cpu_s)
            | _pair("memory MB", stage["memory_mb"], one.memory_mb)
            | _pair("disk MB", stage["disk_mb"], one.disk_mb)
        )
    return [*table, dict.fromkeys(table[0], "") | {"stage": "all"} | _pair("disk MB", told_mb, found_mb)]


def _pair(what: str, told: float | None, found: float) -> dict[str, str]:
    ratio = f"{told / found:.2f}" if told is not None and found else ""
    return {what: "" if told is None else f"{told:.1f}", f"{what} measured": f"{found:.1f}", f"{what} ratio": ratio}


def print_table(table: Sequence[Mapping[str, str]]) -> None:
    """Print rows as an aligned table."""
    widths = {name: max(len(name), *(len(row[name]) for row in table)) for name in table[0]}
    for row in ({name: name for name in table[0]}, *table):
        print("  ".join(row[name].rjust(width) for name, width in widths.items()))


def main() -> None:
    """Compare, or measure the networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="folder of a finished run in which plan was asked first")
    parser.add_argument("--networks", nargs="+", metavar="BACKBONE", help="measure these backbones instead")
    options = parser.parse_args()
    if options.networks:
        for name in options.networks:
            subprocess.run([sys.executable, "-c", FORWARD, name], check=True)
        return
    if options.out is None:
        parser.error("name the folder of a run, or --networks")
    out = options.out.resolve()
    table = rows(json.loads((out / "plan.json").read_text(encoding="utf-8")), measured(out))
    print_table(table)
    append(history_of(__file__), table)
    with (out / "forecast.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
