"""Memory and free disk space of the machine. Free of NumPy, as planning is."""

import os
import shutil
import subprocess
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where control groups of either version say how much memory they allow."""


def memory_mb(limits: tuple[Path, ...] = CGROUP_LIMITS) -> float:
    """Return the memory in MB that processes may take here: the machine's, or less if a file limits it, in bytes."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in limits:
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue  # no control groups of this version, or the word for no limit
    return min(found) / 1e6


def existing_parent(path: Path) -> Path:
    """Return the path itself if it exists, otherwise the nearest folder above it that does."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def free_mb(path: Path) -> float:
    """Return the free space in MB on the file system of a path, which need not exist yet."""
    return shutil.disk_usage(existing_parent(path)).free / 1e6


def gpu_memory_mb() -> float | None:
    """Return the memory in MB of the smallest GPU as its driver's tool tells it, None where there is no such tool."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return min(float(line) for line in result.stdout.split()) * 1024 * 1024 / 1e6
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
