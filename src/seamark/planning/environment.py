"""The environment that jobs inherit."""

import os
from pathlib import Path

KEPT_MEMORY = "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864"
"""What is freed stays with the process for the next tile, up to 64 MiB and in pieces below 32 MiB. Given back to the
system, the features of every tile would begin with pages that have to be cleared."""


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
    """
    if on_node:
        os.environ.pop("SEAMARK_GPUS", None)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(project / "src"), os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GLIBC_TUNABLES", KEPT_MEMORY)
