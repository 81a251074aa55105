"""CPU seconds of a job.

Of stages without a network they are a sum over photographs and pixels. The coefficients lie between what the demo, the
rehearsal of everything and small rehearsals at full and at a quarter of the size took: ``python benchmarks/forecast.py
<run folder>`` puts forecast and run side by side. They hold for the machine whose speed is the reference of
:mod:`seamark.forecast.machine_speed`. GrabCut's time depends on the defects that are found, which nobody knows before.
Training and scoring are measured where the run will be (:mod:`seamark.forecast.step_times`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from seamark.forecast.learning import batch_size, kept_features_mb
from seamark.forecast.memory import uses_network
from seamark.forecast.work import Work
from seamark.settings.teacher import TeacherSettings

START_S = 0.45
"""Of a job without a network: interpreter, imports, and Snakemake's part."""
NETWORK_START_S = 4.5
"""Of a job with a network where that was not measured: torch and weights, too."""


@dataclass(frozen=True)
class _Effort:
    """CPU seconds per job, photograph, million pixels, channel values and map pixels."""

    per_job: float = 0.0
    per_photograph: float = 0.0
    per_megapixel: float = 0.0
    per_million_values: float = 0.0
    per_map_megapixel: float = 0.0


_EFFORTS = {
    "demo": _Effort(per_megapixel=0.21),
    "index": _Effort(per_megapixel=0.0024, per_million_values=0.0009),
    "truth": _Effort(per_job=0.06, per_megapixel=0.0015),
    "crop": _Effort(per_job=0.015, per_megapixel=0.0072, per_million_values=0.0132),
    "merge": _Effort(per_job=0.1, per_map_megapixel=0.011),
    "fuse": _Effort(),
    "calibrate": _Effort(per_map_megapixel=0.018),
    "binarize": _Effort(per_megapixel=0.0145),
    "refine": _Effort(per_job=0.1, per_photograph=0.002, per_megapixel=0.045, per_million_values=0.003),
    "preview": _Effort(per_job=0.115, per_photograph=0.027, per_megapixel=0.0113, per_million_values=0.03),
    "evaluate": _Effort(per_job=0.06, per_megapixel=0.06),
    "package": _Effort(per_job=0.3, per_map_megapixel=0.05),
    "report": _Effort(per_job=3.5, per_photograph=0.0016),
}
_FUSING = _Effort(per_map_megapixel=0.03)
_MEBIN = _Effort(per_job=0.55, per_megapixel=0.025)
_UNREFINED = _Effort(per_photograph=0.01, per_megapixel=0.005)
_EMBEDDING_S = {"vit_b": 23.0, "vit_l": 79.0, "vit_h": 163.0}
"""Of Segment Anything (docs/segmenters.md): vit_b was measured, the others are scaled by their parameters."""
_CROPS = 3
"""Crops per photograph that are embedded, where the number of components is not limited."""
_DISTILLED_CROP_S = 0.43
"""Of a crop of 256 px that a network of half the width is trained on; EfficientNet-Lite0 gives the features."""


@dataclass(frozen=True)
class StepTimes:
    """What was measured of a detector: seconds of CPU time, or of wall time on a GPU."""

    start_s: float
    """Until it is loaded."""
    first_s: Mapping[str, float]
    """Of a step by phase whose tiles are seen for the first time."""
    again_s: Mapping[str, float]
    """Of a step by phase whose tiles' features are kept, if the detector keeps any."""
    computed_s: Mapping[int, float]
    """Of all phases without steps, by the number of training tiles."""
    steps: Mapping[int, Mapping[str, int]]
    """Steps by number of training tiles and phase."""
    score_s: float
    """Of scoring a tile."""
    peak_mb: float
    """Peak memory of the measurement, without mapped tiles."""
    gpu_mb: float
    """Peak memory on the GPU; 0 without one."""


def start_seconds(work: Work, slowness: float, times: StepTimes | None = None) -> float:
    """Return the CPU seconds until a job begins with its work."""
    if times is not None:
        return times.start_s
    return slowness * (NETWORK_START_S if uses_network(work) else START_S)


def work_seconds(work: Work, slowness: float, times: StepTimes | None = None) -> float:
    """Return the CPU seconds of a job, without its start.

    Parameters
    ----------
    work : Work
        The job.
    slowness : float
        Of this machine, relative to the reference.
    times : StepTimes, optional
        What was measured of its detector.

    Returns
    -------
    float
        NaN for ``train`` and ``infer`` of a detector that was not measured.
    """
    if work.stage in ("train", "infer"):
        return math.nan if times is None else _learned_s(work, times)
    return slowness * (_network_s(work) if uses_network(work) else _effort_s(work))


def _effort_s(work: Work) -> float:
    effort, photographs = _effort(work), work.photographs
    values = photographs.pixels * photographs.channels
    maps = photographs.map_pixels(work.config.package.map_scale if work.stage == "package" else work.scale)
    return (
        effort.per_job
        + effort.per_photograph * photographs.count
        + effort.per_megapixel * photographs.pixels / 1e6
        + effort.per_million_values * values / 1e6
        + effort.per_map_megapixel * maps / 1e6
    )


def _effort(work: Work) -> _Effort:
    if work.stage == "fuse" and len(work.config.fuse.members) > 1:
        return _FUSING
    if work.stage == "binarize" and work.config.binarize.mebin.enabled:
        return _MEBIN
    if work.stage == "refine" and work.config.refine.method == "none":
        return _UNREFINED
    return _EFFORTS[work.stage]


def _network_s(work: Work) -> float:
    """Seconds of what is not measured: distillation, and Segment Anything."""
    if work.stage == "refine":
        sam, top_n = work.config.refine.sam, work.config.refine.top_n
        embeddings = 1 if sam.prompt_on == "image" else top_n or _CROPS
        return _EMBEDDING_S[sam.model] * embeddings * work.photographs.count
    block = TeacherSettings.model_validate(work.block.model_dump(include=set(TeacherSettings.model_fields)))
    crops = block.distill.steps * block.distill.batch_size * (block.distill.input_px / 256) ** 2
    return _DISTILLED_CROP_S * crops * block.width / 0.5


def _learned_s(work: Work, times: StepTimes) -> float:
    if work.stage == "infer":
        return times.score_s * work.photographs.tiles(work.grid)
    tiles = work.training.tiles(work.grid)
    total = times.computed_s[tiles]
    for phase, steps in times.steps[tiles].items():
        first, again = times.first_s[phase], times.again_s[phase]
        total += steps * (again + _first_share(work, tiles, steps) * max(0.0, first - again))
    return total


def _first_share(work: Work, tiles: int, steps: int) -> float:
    """Share of the tiles of all steps whose features are not yet or no longer kept."""
    draws = steps * min(batch_size(work.block), tiles)
    variants = getattr(getattr(work.block, "augmentation", None), "frozen_variants", None) or 0
    keys = tiles * (1 + variants)
    new = keys * (1.0 - math.exp(-draws / keys)) / draws
    wanted = kept_features_mb(work, limited=False)
    kept = min(1.0, work.block.feature_cache_mb / wanted) if wanted else 1.0
    return 1.0 - kept * (1.0 - min(1.0, new))
