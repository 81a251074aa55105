"""Run every benchmark with few repeats; each appends its rows to its table in ``history``.

What a script needs besides the repository is given here, and a script whose need is not given is left out and named:
``--runs`` and ``--category`` for those that time finished runs, ``--folder`` for those that write a lot, ``--anomalib``
for the Python of the environment that ``beside_anomalib.py`` describes. A script that fails does not stop the others.

    python benchmarks/run_all.py
    python benchmarks/run_all.py --only auc_pro mebin
    python benchmarks/run_all.py --category washers --runs out/demo out/aand --anomalib anomalib_env/bin/python
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
QUICK: dict[str, str] = {
    "auc_pro": "",
    "start_up": "--repeats 2",
    "mebin": "--repeats 2",
    "cpu_stages": "--categories rice --repeat 1",
    "synthesis": "--repeats 100",
    "aand_speed": "--batch 2 --repeats 2",
    "pfadseg_speed": "--repeats 2",
    "efficientad_speed": "--repeats 2",
    "inp_former_speed": "--repeats 2",
    "vit_speed": "",
    "gpu": "--toy",
    "reproducible_speed": "--repeats 2",
    "onnx_speed": "--repeats 2",
    "conformal_splits": "",
    "border_profile": "--folder {folder}/border_profile {runs}",
    "report_first_paint": "--images 200 --repeat 2",
    "package_speed": "--folder {folder}/package_speed --maps 3 --repeat 1",
    "checker_speed": "--folder {folder}/checker_speed --maps 3 --repeat 1",
    "bank_search": "--tiles 4 {runs}",
    "line_scan": "--folder {folder}/line_scan --length 3000 --width 450",
    "growth": "--folder {folder}/growth --counts 2 4 --megapixels 0.2 0.4",
    "fusion_worst": "{runs}",
    "tile_bytes": "--sample 4 {runs}",
    "inference_speed": "--category {category} --rounds 2 --tiles 4 {runs}",
    "runtime_and_memory": "--category {category} --warm-up 2 --calls 5 {runs}",
    "beside_anomalib": "--backbone resnet18 --batch 1 --repeats 2",
}
"""Options of every script that takes minutes; bank_size.py takes longer, and forecast.py, rehearsal.py and
small_pictures.py need runs that are made for them."""


def missing(script: str, options: argparse.Namespace) -> str | None:
    """Name the option without which a script cannot run; None where nothing is missing."""
    needs = {"{folder}": options.folder, "{category}": options.category, "{runs}": options.runs}
    for place, given in needs.items():
        if place in QUICK[script] and not given:
            return f"--{place[1:-1]}"
    return "--anomalib" if script == "beside_anomalib" and not options.anomalib else None


def command(script: str, options: argparse.Namespace) -> list[str]:
    """Return the command of a script."""
    python = options.anomalib if script == "beside_anomalib" else sys.executable
    words: list[str] = []
    for word in QUICK[script].split():
        words += options.runs if word == "{runs}" else [word.format(**vars(options))]
    return [python, str(FOLDER / f"{script}.py"), *words]


def main() -> None:
    """Run all or some scripts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=QUICK, default=list(QUICK), help="some of the scripts")
    parser.add_argument("--runs", nargs="+", default=[], help="folders of finished runs, as out/demo")
    parser.add_argument("--category", help="a category of these runs")
    parser.add_argument(
        "--folder", help="folder on the disk that package_speed.py is to write to, and checker_speed.py"
    )
    parser.add_argument("--anomalib", help="Python of the environment with anomalib")
    options = parser.parse_args()
    search = os.pathsep.join([str(FOLDER.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    failed = []
    for script in options.only:
        need = missing(script, options)
        if need:
            print(f"{script}: left out, it needs {need}", flush=True)
            continue
        print(f"{script}:", flush=True)
        done = subprocess.run(command(script, options), env=os.environ | {"PYTHONPATH": search}, check=False)
        failed += [script] if done.returncode else []
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
