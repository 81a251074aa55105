"""Refusal of what fits into no memory or disk, with the setting that would make it fit; measures nothing."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from seamark.errors import SeamarkError
from seamark.forecast.disk import disk_bytes
from seamark.forecast.machine import existing_parent, free_mb
from seamark.forecast.memory import batch_size, memory, uses_network
from seamark.forecast.work import Work
from seamark.settings.config import Config, deep_merge

DISK_MARGIN = 1.05
"""Free space that a run must find, relative to what it is expected to take."""
MAP_SCALES = (0.5, 0.25)


class ResourceError(SeamarkError):
    """Disk or memory do not suffice for what is asked for."""


@dataclass(frozen=True)
class MemoryLimit:
    """Memory in MB that one job may take."""

    megabytes: float
    words: str
    """Where the limit comes from, for messages."""


def room_problems(works: Sequence[Work], limit: MemoryLimit | None, cores: int, gpu_mb: float | None) -> list[str]:
    """Say what does not fit.

    Parameters
    ----------
    works : sequence of Work
        Jobs that are about to run.
    limit : MemoryLimit or None
        Memory for a job; None where jobs run elsewhere.
    cores : int
        Most threads that a job gets.
    gpu_mb : float or None
        Memory of a GPU; None without one, or where it is not known.

    Returns
    -------
    list of str
        One line per folder, disk, stage and detector, each with what would solve it; empty if everything fits.
    """
    disks: dict[int, list[Work]] = {}
    for work in works:
        disks.setdefault(existing_parent(work.outputs[0]).stat().st_dev, []).append(work)
    problems = [*_unwritable(works), *filter(None, map(_disk_problem, disks.values()))]
    if limit is not None:
        words = f"memory: {limit.words}"
        problems += memory_refusals(works, limit.megabytes, lambda work: memory(work, cores).resident, words)
    if gpu_mb is not None:
        learning = filter(uses_network, works)
        problems += memory_refusals(learning, gpu_mb, lambda work: memory(work).gpu, "GPU memory: the GPU has")
    return problems


def _unwritable(works: Iterable[Work]) -> list[str]:
    """Say in which places nothing can be written, each once."""
    places = dict.fromkeys(existing_parent(path.parent) for work in works for path in work.outputs)
    return [
        f"disk: {place} {'cannot be written to' if place.is_dir() else 'is a file, expected a folder'}; out/ and "
        "submissions/ lie in the folder that snakemake starts in, or that of --directory: choose one that can be"
        for place in places
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK))
    ]


def _disk_problem(works: Sequence[Work]) -> str | None:
    folders = sorted({work.outputs[0].parts[0] for work in works})
    present = [present_mb(work.outputs) for work in works]
    replaced = sum(present) - max(present)  # an earlier result goes when its successor is complete, so one is too many
    return disk_refusal(works, free_mb(works[0].outputs[0]), replaced, " and ".join(folders))


def present_mb(outputs: Iterable[Path]) -> float:
    """Return the size in MB of what an earlier run left in place of some outputs and beside them, under their names."""
    found: set[Path] = set()
    for path in outputs:
        folder = path.with_name(path.name.removesuffix(".tar.gz").removesuffix(".json"))
        found.add(path)
        if folder != path and folder.is_dir():
            found.update(folder.rglob("*"))
    return sum(path.stat().st_size for path in found if path.is_file()) / 1e6


def disk_mb(works: Iterable[Work]) -> float:
    """Return the largest space in MB that jobs together need at one time, at least.

    Without ``keep_tiles`` the tiles of a category go when its last job has read them, so that only those of one
    category are sure to be there at once.
    """
    kept, passing = 0.0, {"": 0.0}
    for work in works:
        if work.stage == "crop" and not work.config.keep_tiles:
            passing[work.category] = passing.get(work.category, 0.0) + disk_bytes(work)
        else:
            kept += disk_bytes(work)
    return (kept + max(passing.values())) / 1e6


def disk_refusal(works: Sequence[Work], free: float, present: float = 0.0, where: str = "out") -> str | None:
    """Say why jobs do not fit into the free MB of a disk, less the MB that they replace; None if they do."""

    def needed(overlay: dict[str, Any]) -> float:
        return DISK_MARGIN * disk_mb(with_settings(work, overlay) for work in works) - present

    if needed({}) <= free:
        return None
    overlay: dict[str, Any] = {}
    for step in _disk_steps(works):
        overlay = deep_merge(overlay, step)
        if needed(overlay) <= free:
            remedy = f"{_as_text(overlay)} would do with {gigabytes(needed(overlay))}"
            break
    else:
        remedy = (
            f"even {_as_text(overlay)} needs {gigabytes(needed(overlay))}: take fewer data.categories, or free some"
        )
    return f"disk: {where} needs {gigabytes(needed({}))} more, but only {gigabytes(free)} are free; {remedy}"


def _disk_steps(works: Sequence[Work]) -> Iterator[dict[str, Any]]:
    """Yield settings that save space, the harmless one first."""
    if any(work.config.keep_tiles for work in works):
        yield {"keep_tiles": False}
    for scale in MAP_SCALES:
        if any(work.scale > scale or work.config.package.map_scale > scale for work in works):
            yield {"merge": {"scale": scale}, "package": {"map_scale": scale}}


def memory_refusals(works: Iterable[Work], limit_mb: float, needed: Callable[[Work], float], limit: str) -> list[str]:
    """Say which jobs need more memory than there is, one line per stage and detector."""
    worst: dict[tuple[str, str], Work] = {}
    for work in works:
        kind = work.stage, work.detector
        if needed(work) > limit_mb and (kind not in worst or needed(work) > needed(worst[kind])):
            worst[kind] = work
    return [
        f"{limit} {gigabytes(limit_mb)}, but {work.label} needs {gigabytes(needed(work))}; "
        f"{_memory_remedy(work, limit_mb, needed)}"
        for work in worst.values()
    ]


def _memory_remedy(work: Work, limit_mb: float, needed: Callable[[Work], float]) -> str:
    for overlay in _memory_steps(work):
        less = needed(with_settings(work, overlay))
        if less <= limit_mb:
            return f"{_as_text(overlay)} would do with {gigabytes(less)}"
    if work.detector:
        return (
            f"a smaller backbone (presets/small_backbone.yaml) or grids.{work.block.grid}.input_px takes less, fewer "
            "tiles (data.train_images) do where their number matters"
        )
    return "photographs of fewer pixels take less, and so do fewer --cores"


def _memory_steps(work: Work) -> Iterator[dict[str, Any]]:
    """Yield settings that need less memory, the harmless ones first."""
    if work.stage == "refine" and work.config.refine.method == "sam":
        yield {"refine": {"sam": {"model": "vit_b"}}}
        yield {"refine": {"method": "grabcut"}}
    elif work.stage == "train":
        yield {"detectors": {work.detector: {"feature_cache_mb": 0}}}
        least = 2 if work.detector_type == "pfadseg" else 1
        batch = batch_size(work.block) // 2
        while batch >= least:
            yield {"detectors": {work.detector: {"feature_cache_mb": 0, "batch_size": batch}}}
            batch //= 2
    elif not work.detector or work.stage == "merge":
        for scale in MAP_SCALES:
            if work.scale > scale:
                yield {"merge": {"scale": scale}}


def with_settings(work: Work, overlay: dict[str, Any]) -> Work:
    """Return a job as it would be with other settings."""
    return replace(work, config=Config.model_validate(deep_merge(work.config.model_dump(), overlay)))


def _as_text(overlay: dict[str, Any]) -> str:
    """Return settings as they stand in a configuration, in one line."""
    return yaml.safe_dump(overlay, default_flow_style=True, width=1000, sort_keys=False).strip()[1:-1]


def gigabytes(megabytes: float) -> str:
    """Return a size for a person."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
