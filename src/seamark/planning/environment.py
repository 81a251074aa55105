"""The environment that jobs inherit, and the places outside the project that Snakemake writes to.

``PYTHONPATH=src python -m seamark.planning.environment`` looks at these places before anything is installed.
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seamark.errors import ConfigError, SeamarkError
from seamark.running.processor import FREE, NEEDED, pinned_variables, processor_facts

KEPT_MEMORY = "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864"
"""What is freed stays with the process for the next tile, up to 64 MiB and in pieces below 32 MiB. Given back to the
system, the features of every tile would begin with pages that have to be cleared."""
NEEDED_BYTES = 1 << 20
"""Room that Snakemake needs for the tables of its scheduler and for copies of the rules."""
RESULTS = ("out", "submissions")
"""Folders of the project that take what is made; they may be links to other disks."""


def prepare_environment(project: Path, on_node: bool = False) -> None:
    """Set what interpreters and libraries read when they start; every job inherits it.

    Jobs import the very modules whose digests the plan holds. Idle OpenMP threads that spin would take the cores from
    the jobs beside them, so they are told to sleep. The allocator is told to keep memory for what comes next. What the
    user has set for either stays.

    Parameters
    ----------
    project : Path
        Folder of the Snakefile.
    on_node : bool
        Whether a cluster started this process for one job. ``SEAMARK_GPUS`` tells of the machine where it was set, so
        it is dropped here: the cluster has given the job its GPU.

    Raises
    ------
    SeamarkError
        If the folder for temporary files cannot be written.
    """
    if on_node:
        os.environ.pop("SEAMARK_GPUS", None)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(project / "src"), os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GLIBC_TUNABLES", KEPT_MEMORY)
    if problems := list(unusable_places()):
        raise SeamarkError("\n".join(problems))


def pin_loops(reproducible: str) -> list[str]:
    """Let all jobs take the loops that every x86-64 processor with AVX2 has, if that is asked for.

    Parameters
    ----------
    reproducible : str
        ``this_cpu`` leaves the choice to the libraries and the user's variables, ``any_cpu`` sets these.

    Returns
    -------
    list of str
        What the user had set otherwise, one line each.

    Raises
    ------
    ConfigError
        If this processor lacks the instructions.
    """
    if reproducible != "any_cpu":
        return []
    name, instructions = processor_facts()
    if missing := [needed for needed in NEEDED if needed not in instructions]:
        raise ConfigError(
            f"reproducible: any_cpu needs an x86-64 processor with {' and '.join(NEEDED)}, and {name} lacks "
            f"{' and '.join(missing)}; run on another machine, or set reproducible: this_cpu"
        )
    wanted = dict.fromkeys(FREE, "") | pinned_variables(instructions)
    if "hwcaps" in os.environ.get("GLIBC_TUNABLES", ""):
        wanted["GLIBC_TUNABLES"] = KEPT_MEMORY
    told = []
    for variable, value in wanted.items():
        if (given := os.environ.get(variable, "")) not in ("", value):
            told.append(f"reproducible: any_cpu: jobs have {variable}={value}, not {given} as it was set")
        if value:
            os.environ[variable] = value
        else:
            os.environ.pop(variable, None)
    return told


def unusable_places() -> Iterator[str]:
    """Yield which folders that Snakemake writes to cannot take a file, each with a remedy."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "snakemake"
    temporary = {name: Path(os.environ[name]) for name in ("TMPDIR", "TMP", "TEMP") if os.environ.get(name)}
    if refusal := _refusal(Path.cwd()):
        yield f"{Path.cwd()}: the project's folder cannot be written ({refusal}); work in a copy of it, or make room"
        return
    for folder in map(Path.cwd().joinpath, RESULTS):
        if os.path.lexists(folder) and (refusal := _refusal(folder)):
            yield f"{folder}: results cannot be written there ({refusal}); move it away, or make it a folder with room"
    for variable, folder in ({"XDG_CACHE_HOME": cache} | (temporary or {"TMPDIR": Path("/tmp")})).items():
        if refusal := _refusal(folder, make=folder == cache):
            what = "Snakemake's cache" if folder == cache else "temporary files"
            instead = shlex.quote(str(Path.cwd() / ".snakemake" / "places"))
            yield (
                f"{folder}: {what} cannot be written there ({refusal}); make room, or choose another folder: "
                f"mkdir -p {instead}; export {variable}={instead}"
            )


def _refusal(folder: Path, make: bool = False) -> str | None:
    """Say why a folder takes no file, None if it takes one."""
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(NEEDED_BYTES))
    except OSError as error:
        return error.strerror or str(error)
    return None


if __name__ == "__main__":
    sys.exit("\n".join(unusable_places()) or None)
