"""Measure what every stage's script pays before its ``main`` starts, beside a Python that does nothing.

Prints one row per stage and appends them to ``history/start_up.csv``: processor seconds (the least of some starts) of
the interpreter, of Snakemake's preamble on top, and of what the script imports on top of both; networks' scripts with
the detector and the pretrained backbone of the default. Beside them stand the resident memory and the large libraries
that were imported. Run: ``python benchmarks/start_up.py``; what is already in the system's cache counts.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from history import append, history_of

ROOT = Path(__file__).parents[1]
PREAMBLE = "import pickle; from snakemake.iocontainers import Snakemake; from snakemake.logging import logger"
NETWORK = "import seamark.detectors.feature_bank; from seamark.backbones.registry import load_backbone as b; b({!r})"
LARGE = {"cv2", "jinja2", "matplotlib", "numpy", "scipy", "timm", "torch", "torch._dynamo", "torchvision"}


def start(code: str, repeats: int) -> tuple[float, float, set[str]]:
    """Return least processor seconds and memory in MB of a fresh interpreter that runs code, and its large modules."""
    told = f"{code}\nimport sys; print(*sys.modules)"
    found = []
    for _ in range(repeats):
        with subprocess.Popen([sys.executable, "-c", told], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            modules = process.stdout.read().split() if process.stdout else []
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"this failed: {code}")
        found.append((used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3))
    return min(seconds for seconds, _ in found), min(memory for _, memory in found), LARGE.intersection(modules)


def main() -> None:
    """Print and append the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="starts of which the least counts")
    parser.add_argument("--stages", nargs="+", help="only these")
    given = parser.parse_args()
    scripts = {path.stem: path for path in sorted((ROOT / "stages").glob("*.py"))}
    python = start("", given.repeats)[0]
    preamble = start(PREAMBLE, given.repeats)[0]
    rows = []
    for stage in given.stages or scripts:
        network = NETWORK.format("efficientnet_lite0") if stage in ("train", "infer") else ""
        code = f"{PREAMBLE}\nimport runpy; runpy.run_path({str(scripts[stage])!r})\n{network}"
        seconds, memory, modules = start(code, given.repeats)
        row = {"stage": stage, "python_s": python, "preamble_s": preamble - python, "imports_s": seconds - preamble}
        rows.append({name: value if name == "stage" else f"{value:.3f}" for name, value in row.items()})
        rows[-1] |= {"memory_mb": f"{memory:.0f}", "large": " ".join(sorted(modules))}
        print("  ".join(rows[-1].values()), flush=True)
    append(history_of(__file__), rows)


if __name__ == "__main__":
    main()
