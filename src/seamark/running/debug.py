"""One stage in a debugger: the job of an artifact again, with its outputs in a folder of their own.

``python -m seamark.running.debug out/demo/60_coarse/woven/test_public.json``
"""

import argparse
import json
import logging
import os
import pdb
import runpy
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from seamark.errors import ManifestError, SeamarkError
from seamark.running.devices import claimed_device
from seamark.running.job import Job


def _job_of(artifact: Path, folder: Path, device: str) -> tuple[Path, Job]:
    """Return script and job as the provenance of an artifact has them, but with outputs below a folder."""
    path = artifact if artifact.name.endswith(".prov.json") else artifact.with_suffix(".prov.json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        inputs = {name: tuple(map(Path, files)) for name, files in facts["named_inputs"].items()}
        outputs = {name: _below(folder, file) for name, file in facts["named_outputs"].items()}
        script, rule, params, command = Path(facts["script"]), facts["rule"], facts["params"], facts["command"]
        wildcards, threads = facts["wildcards"], int(facts["threads"])
        os.environ |= facts.get("variables", {})  # libraries read them when the stage imports them
    except (OSError, ValueError, KeyError) as error:
        raise ManifestError(f"{path}: no provenance of a job ({error}); make the artifact again") from error
    missing = [str(file) for files in inputs.values() for file in files if not file.exists()]
    if missing:
        raise ManifestError(
            f"{path}: inputs of the job are missing: {', '.join(missing)}; run this in the project's folder, or make "
            f"them again (tiles stay with keep_tiles: true) with: {command}"
        )
    if rule == "demo":  # which writes photographs where its params say
        params |= {name: str(_below(folder, params[name])) for name in ("root", "truth_root")}
    return script, Job(rule, inputs, outputs, params, wildcards, threads, device)


def _below(folder: Path, file: str) -> Path:
    return folder / os.path.relpath(file).replace("../", "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the job of an artifact; stop where it fails, or at its start."""
    parser = argparse.ArgumentParser(prog="python -m seamark.running.debug", description=__doc__)
    parser.add_argument("artifact", type=Path, help="a manifest of the run, or the .prov.json beside it")
    parser.add_argument("--break", dest="at_start", action="store_true", help="stop at the first line of the stage")
    parser.add_argument("--gpu", action="store_true", help="run on a GPU")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    with claimed_device(int(options.gpu)) as device:
        try:
            script, job = _job_of(options.artifact, Path(tempfile.mkdtemp(prefix="seamark-debug-")), device)
        except SeamarkError as error:
            sys.exit(str(error))
        stage = runpy.run_path(str(script))["main"]
        sys.stderr.write("".join(f"{name} goes to {file}\n" for name, file in job.outputs.items()))
        try:
            pdb.runcall(stage, job) if options.at_start else stage(job)
        except Exception:
            traceback.print_exc()
            pdb.post_mortem()


if __name__ == "__main__":
    main()
