"""What does not fit, and the setting that would make it fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from seamark.forecast.disk import disk_bytes
from seamark.forecast.learning import batch_size
from seamark.forecast.memory import memory, uses_network
from seamark.forecast.work import Work
from seamark.settings.config import Config, deep_merge

Overlay = Mapping[str, Any]
"""Settings laid over a configuration."""

DISK_MARGIN = 1.05
"""Free space that a run must find, relative to what it is expected to take."""
MAP_SCALES = (0.5, 0.25)


def with_settings(work: Work, overlay: Overlay) -> Work:
    """Return a job as it would be with other settings."""
    return replace(work, config=Config.model_validate(deep_merge(work.config.model_dump(), overlay)))


def disk_mb(works: Sequence[Work]) -> float:
    """Return the largest space in MB that jobs together need at one time, at least.

    Without ``keep_tiles`` the tiles of a category go when its last job has read them, so that only those of one
    category are sure to be there at once.
    """
    kept = sum(disk_bytes(work) for work in works if work.stage != "crop" or work.config.keep_tiles)
    passing: dict[str, float] = {}
    for work in works:
        if work.stage == "crop" and not work.config.keep_tiles:
            passing[work.category] = passing.get(work.category, 0.0) + disk_bytes(work)
    return (kept + max(passing.values(), default=0.0)) / 1e6


def disk_refusal(works: Sequence[Work], free_mb: float, present_mb: float = 0.0, where: str = "out") -> str | None:
    """Say why jobs do not fit on a disk, None if they do.

    Parameters
    ----------
    works : sequence of Work
        Jobs that are to run.
    free_mb : float
        Free space.
    present_mb : float
        Size of older results that these jobs replace.
    where : str
        Folders on that disk, for the message.
    """

    def needed(overlay: Overlay) -> float:
        changed = works if not overlay else [with_settings(work, overlay) for work in works]
        return DISK_MARGIN * disk_mb(changed) - present_mb

    if needed({}) <= free_mb:
        return None
    overlay: Overlay = {}
    for step in _disk_steps(works):
        overlay = deep_merge(overlay, step)
        if needed(overlay) <= free_mb:
            remedy = f"{as_text(overlay)} would do with {gigabytes(needed(overlay))}"
            break
    else:
        remedy = f"even {as_text(overlay)} needs {gigabytes(needed(overlay))}: take fewer data.categories, or free some"
    return f"disk: {where} needs {gigabytes(needed({}))} more, but only {gigabytes(free_mb)} are free; {remedy}"


def _disk_steps(works: Sequence[Work]) -> Iterator[Overlay]:
    """Yield settings that save space, the harmless one first."""
    if any(work.config.keep_tiles for work in works):
        yield {"keep_tiles": False}
    for scale in MAP_SCALES:
        if any(work.scale > scale or work.config.package.map_scale > scale for work in works):
            yield {"merge": {"scale": scale}, "package": {"map_scale": scale}}


def memory_refusals(works: Sequence[Work], limit_mb: float, threads: Callable[[Work], int], limit: str) -> list[str]:
    """Say which jobs need more memory than there is, one line per stage and detector.

    Parameters
    ----------
    works : sequence of Work
        Jobs that are to run.
    limit_mb : float
        Memory for one job.
    threads : callable
        Threads of a job.
    limit : str
        Where the limit comes from, for the message.

    Returns
    -------
    list of str
        Empty if everything fits.
    """
    return _refusals(works, limit_mb, lambda work: memory(work, threads(work)).resident, f"memory: {limit}")


def gpu_refusals(works: Sequence[Work], limit_mb: float) -> list[str]:
    """Say which jobs need more memory than a GPU has, one line per stage and detector."""
    return _refusals(
        [work for work in works if uses_network(work)],
        limit_mb,
        lambda work: memory(work).gpu,
        "GPU memory: the GPU has",
    )


def _refusals(works: Sequence[Work], limit_mb: float, needed: Callable[[Work], float], limit: str) -> list[str]:
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
            return f"{as_text(overlay)} would do with {gigabytes(less)}"
    if work.detector:
        return (
            f"a smaller backbone (presets/small_backbone.yaml) or grids.{work.block.grid}.input_px takes less, fewer "
            "tiles (data.train_images) do where their number matters"
        )
    return "photographs of fewer pixels take less, and so do fewer --cores"


def _memory_steps(work: Work) -> Iterator[Overlay]:
    """Yield settings that need less memory, the harmless ones first."""
    if work.stage == "refine" and work.config.refine.method == "sam":
        yield {"refine": {"sam": {"model": "vit_b"}}}
        yield {"refine": {"method": "grabcut"}}
    elif work.stage == "train":
        yield {"detectors": {work.detector: {"feature_cache_mb": 0}}}
        least = 2 if work.detector == "pfadseg" else 1
        batch = batch_size(work.block) // 2
        while batch >= least:
            yield {"detectors": {work.detector: {"feature_cache_mb": 0, "batch_size": batch}}}
            batch //= 2
    elif not work.detector or work.stage == "merge":
        for scale in MAP_SCALES:
            if work.scale > scale:
                yield {"merge": {"scale": scale}}


def as_text(overlay: Overlay) -> str:
    """Return settings as they stand in a configuration, in one line."""
    return yaml.safe_dump(dict(overlay), default_flow_style=True, width=1000, sort_keys=False).strip()[1:-1]


def gigabytes(megabytes: float) -> str:
    """Return a size for a person."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
