"""Provenance of a result: settings, versions, commit, machine, time and memory."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from seamark.running.processor import loops

PACKAGES = ("seamark", "snakemake", "numpy", "scipy", "opencv-python-headless", "pillow", "tifffile", "torch", "timm")


class Stopwatch:
    """Wall time, CPU time and peak memory of this process since the watch was made."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self._wall = time.monotonic()
        self._cpu = time.process_time()

    def totals(self) -> tuple[float, float, float]:
        """Return wall seconds, CPU seconds and the peak resident memory in MB (10**6 bytes)."""
        return time.monotonic() - self._wall, time.process_time() - self._cpu, _peak_kib() * 1024 / 1e6


def _peak_kib() -> int:
    """Peak resident memory of this program alone: what getrusage tells begins with the peak of the parent process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape results, as far as they are installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_commit() -> str:
    """Return the commit of the working folder, with ``+`` behind it when files differ from it, or ``unknown``."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if status.stdout.strip() else "")


def provenance(params: Mapping[str, Any], wildcards: Mapping[str, str], stopwatch: Stopwatch) -> dict[str, object]:
    """Gather what is needed to repeat and to judge a job.

    Parameters
    ----------
    params, wildcards : mapping
        Of the job.
    stopwatch : Stopwatch
        Started before the job.

    Returns
    -------
    dict
        JSON-ready; times in seconds, memory in MB.
    """
    wall_s, cpu_s, peak_memory_mb = stopwatch.totals()
    return {
        "wildcards": dict(wildcards),
        "params": dict(params),
        "started": stopwatch.started.isoformat(timespec="seconds"),
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "peak_memory_mb": round(peak_memory_mb, 1),
        "host": platform.node(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        **loops(),
        "executable": sys.executable,
        "versions": package_versions(),
        "git_commit": git_commit(),
    }
