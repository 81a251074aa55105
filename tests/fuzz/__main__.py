"""Fuzz all parsers in turn: ``python -m tests.fuzz --minutes 10 --seed 1``.

Minutes are of processor time, so a busy machine changes how long it takes and not what is done. Every target runs in a
process of its own; inputs that a process died of, or that found something, stay in the folder that ``--out`` names.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.targets import MODULES

SILENT_S = 1800
"""Wall time without a new input after which a process is ended; a busy machine may give it next to none."""


def fuzz(name: str, seconds: float, seed: int, out: Path, engine: str) -> dict[str, object]:
    """Fuzz one target, again after every input that ended the process, until its time is over."""
    executions, used, findings, starts = 0, 0.0, [], 0
    while used < seconds and starts < 20:
        folder = out / name / str(starts)
        _one_process(name, seconds - used, seed + 1000 * starts, folder, engine)
        result = folder / "result.json"
        facts = json.loads(result.read_text()) if result.is_file() else {"executions": 0, "cpu_s": 5.0, "findings": []}
        executions, used = executions + facts["executions"], used + facts["cpu_s"]
        findings += facts["findings"]
        if not facts.get("ended"):
            findings.append({"what": "the process died or hung", "where": "process", "input": str(folder / "current")})
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        starts += 1
    return {"target": name, "executions": executions, "cpu_s": round(used, 1), "findings": findings}


def _one_process(name: str, seconds: float, seed: int, folder: Path, engine: str) -> None:
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.fuzz.child", name, "--engine", engine]
    command += ["--seconds", str(seconds), "--seed", str(seed), "--out", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(0.5)
            alive = max(path.stat().st_mtime for path in (folder, folder / "current") if path.exists())
            if time.time() - alive > SILENT_S:
                process.kill()


def main() -> int:
    """Fuzz the targets that the command line asks for and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help="which ones; all by default")
    parser.add_argument("--minutes", type=float, default=10.0, help="processor time over all targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="folder for inputs that found something")
    parser.add_argument("--engine", choices=("auto", "mutation"), default="auto", help="auto: atheris if installed")
    options = parser.parse_args()
    names = options.targets or list(MODULES)
    if unknown := set(names) - set(MODULES):
        parser.error(f"no target {', '.join(unknown)}; possible: {', '.join(MODULES)}")
    out, started = options.out / f"seed-{options.seed}", time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    results = []
    for name in names:
        results.append(fuzz(name, 60 * options.minutes / len(names), options.seed, out, options.engine))
        print(f"{name}: {results[-1]['executions']} inputs, {results[-1]['cpu_s']} s of processor time", flush=True)
        for finding in results[-1]["findings"]:
            print(f"  {finding['what']}\n    {finding['where']}\n    {finding['input']}", flush=True)
    found = sum(len(result["findings"]) for result in results)
    total = sum(result["cpu_s"] for result in results) / 60
    print(f"{found} finding(s); {total:.1f} min of processor time, {(time.monotonic() - started) / 60:.1f} min in all")
    (out / "summary.json").write_text(json.dumps(results, indent=1))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
