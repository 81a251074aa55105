"""The command ``seamark``: inspects photographs with a bundle, and hands over to the workflow and the checker."""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seamark.errors import ConfigError, SeamarkError
from seamark.project import PROJECT
from seamark.submission.checker import main as check

TARGETS = {"forecast": "plan", "verify": "verify"}
"""Commands that are targets of the workflow."""
CORES = ("--cores", "-c", "--jobs", "-j")
CONFIG_FILES = ("--configfile", "--configfiles")
"""Options of Snakemake."""
FAILED, FOUND_BAD, STOPPED = 2, 1, 130
"""Exit status after an error, after a bad photograph with ``--fail-on-bad``, and after Ctrl-C."""
WATCH_S = 1.0
"""Seconds between two looks at a folder that is watched; a file that did not change in between is complete."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["check"]:
            return check(given[1:])
        if given and given[0] in ("run", *TARGETS):
            target = ["--", TARGETS[given[0]]] if given[0] in TARGETS else []
            return _workflow([*given[1:], *target])
        options = _arguments(given)
        status: int = options.command(options)
    except (SeamarkError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return STOPPED
    return status


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="seamark",
        description="Anomaly segmentation of industrial photographs. Further commands: run ... (Snakemake with the "
        "workflow, from any folder), forecast, verify, check ARCHIVE.",
    )
    commands = parser.add_subparsers(required=True, metavar="inspect, show, export, run, forecast, verify, check")
    inspect = commands.add_parser("inspect", help="judge photographs with a bundle")
    inspect.add_argument("bundle", type=Path, help="file that the target bundle made")
    inspect.add_argument("photographs", type=Path, nargs="+", help="photographs, or folders of them")
    inspect.add_argument("--out", type=Path, required=True, help="folder for verdicts.csv, masks, maps, overlays, page")
    inspect.add_argument("--watch", action="store_true", help="go on with photographs that come, until Ctrl-C")
    inspect.add_argument("--fail-on-bad", action="store_true", help="exit status 1 if one is bad or cannot be judged")
    inspect.add_argument("--device", default="cpu", help="cpu, or cuda:0")
    inspect.add_argument("--runtime", choices=("torch", "onnxruntime"), default="torch", help="what computes detectors")
    inspect.set_defaults(command=_inspect)
    show = commands.add_parser("show", help="print what a bundle is")
    show.add_argument("bundle", type=Path, help="file that the target bundle made")
    show.set_defaults(command=_show)
    export = commands.add_parser("export", help="write the detectors of a bundle as graphs beside it")
    export.add_argument("bundle", type=Path, help="file that the target bundle made")
    export.add_argument("--to", choices=("onnx",), default="onnx", help="format of the graphs")
    export.set_defaults(command=_export)
    return parser.parse_args(given)


def _workflow(given: Sequence[str]) -> int:
    """Hand over to Snakemake, with the settings and presets of the project where the folder has none of that name."""
    snakefile, settings = PROJECT / "Snakefile", PROJECT / "config.yaml"
    if not snakefile.is_file():
        raise ConfigError(f"{snakefile}: no workflow there; install Seamark again, from a clone or a wheel")
    options = [_preset(word) for word in given]
    if not Path(settings.name).exists():
        named = next((place for place, word in enumerate(options) if word in CONFIG_FILES), None)
        options[:0] = [CONFIG_FILES[0], str(settings)] if named is None else []
        if named is not None:
            options.insert(named + 1, str(settings))
    if not any(word.startswith(CORES) for word in options):
        options[:0] = ["--cores", "all"]
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *options])


def _preset(word: str) -> str:
    ours = PROJECT / word
    return str(ours) if word.startswith("presets/") and not Path(word).exists() and ours.is_file() else word


def _show(options: argparse.Namespace) -> int:
    from seamark.inspection.bundle_file import read_bundle  # noqa: PLC0415
    from seamark.inspection.card import card_lines  # noqa: PLC0415

    print("\n".join(card_lines(read_bundle(options.bundle))))
    return 0


def _export(options: argparse.Namespace) -> int:
    from seamark.inspection.bundle_file import read_bundle  # noqa: PLC0415
    from seamark.inspection.graphs import write_graphs  # noqa: PLC0415

    print("\n".join(map(str, write_graphs(read_bundle(options.bundle)))))
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from seamark.inspection.folder import ANSWER, IMAGE, NOTE, UNREAD, InspectionFolder, usual_workers  # noqa: PLC0415
    from seamark.inspection.inspector import Inspector  # noqa: PLC0415
    from seamark.inspection.page import counts_line, write_page  # noqa: PLC0415

    inspector = Inspector.load(options.bundle, runtime=options.runtime, device=options.device)
    into = InspectionFolder(options.out, inspector, usual_workers(options.device))
    try:
        for batch in _batches(options):
            for row in into.inspect(batch):
                if row[ANSWER] != "good":
                    print(" ".join(filter(None, (row[ANSWER], row[IMAGE], row[NOTE]))), flush=True)
            if options.watch:
                write_page(into, inspector)
    finally:
        page = write_page(into, inspector)
        print(f"{counts_line(into.table.rows)}\n{into.table.path}\n{page}")
    poor = any(row[ANSWER] in ("bad", UNREAD) for row in into.table.rows)
    return FOUND_BAD if options.fail_on_bad and poor else 0


def _batches(options: argparse.Namespace) -> Iterator[list[Any]]:
    """Yield the photographs that are there; when watching, those that came and did not change since the last look."""
    from seamark.inspection.folder import photographs_in  # noqa: PLC0415

    found = list(photographs_in(options.photographs, options.out))
    yield found
    seen: dict[Path, tuple[int, int]] = {one.path: _state(one.path) for one in found}
    done = dict(seen)
    while options.watch:
        time.sleep(WATCH_S)
        found = list(photographs_in(options.photographs, options.out))
        states = {one.path: _state(one.path) for one in found}
        complete = [one for one in found if seen.get(one.path) == states[one.path] != done.get(one.path)]
        done |= {one.path: states[one.path] for one in complete}
        seen = states
        if complete:
            yield complete


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


if __name__ == "__main__":
    sys.exit(main())
