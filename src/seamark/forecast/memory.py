"""Peak memory of a job of any stage.

A stage without a network takes its imports and a few bytes per pixel of the photograph or map that each of its threads
works on. The coefficients were fitted to the peak memory in the provenance of small rehearsals at full and at half size
and of the demo: ``python benchmarks/forecast.py <run folder>`` puts both side by side.
"""

import math

from seamark.flow import STAGES, StageMemory
from seamark.forecast.learning import Memory, learning_memory
from seamark.forecast.work import Work

MARGIN = 1.2
"""Room beyond the expected peak in what a job asks for."""
SNAKEMAKE_MB = 400.0
"""On a cluster a job is started by Snakemakes that count as well: two of 175 MB each and srun's processes on SLURM."""
STEP_MB = 50
"""What a job asks for is a multiple of this."""
_LIGHT_VARIANTS = StageMemory(80.0, per_million_values=17.0)
_FUSING = StageMemory(74.0, per_map_megapixel=28.0)
_MEBIN = StageMemory(200.0, per_megapixel=15.0)
_NETWORK_STAGES = ("distill", "train", "infer")


def memory(work: Work, threads: int = 1) -> Memory:
    """Return the peak memory of a job.

    Parameters
    ----------
    work : Work
        The job.
    threads : int
        Photographs that it works on at a time.

    Returns
    -------
    Memory
        In MB.
    """
    if uses_network(work):
        return learning_memory(work)
    appetite, photographs = _appetite(work), work.photographs
    per_thread = (
        appetite.per_megapixel * photographs.largest_pixels
        + appetite.per_million_values * photographs.largest_pixels * photographs.channels
        + appetite.per_map_megapixel * photographs.largest_map_pixels(work.scale)
    ) / 1e6
    return Memory(appetite.base + threads * per_thread + appetite.per_photograph * photographs.count)


def uses_network(work: Work) -> bool:
    """Return whether a job loads a network and so can use a GPU."""
    return work.stage in _NETWORK_STAGES or (work.stage == "refine" and work.config.refine.method == "sam")


def requested_mb(work: Work, threads: int = 1) -> int:
    """Return the memory that a job asks Snakemake for, in MB."""
    wanted = MARGIN * memory(work, threads).peak + SNAKEMAKE_MB
    return STEP_MB * math.ceil(wanted / STEP_MB)


def _appetite(work: Work) -> StageMemory:
    if work.stage == "crop" and work.config.light_variants.variants(work.split):
        return _LIGHT_VARIANTS
    if work.stage == "fuse" and len(work.config.fuse.members) > 1:
        return _FUSING
    if work.stage == "binarize" and work.config.binarize.mebin.enabled:
        return _MEBIN
    return STAGES[work.stage].memory
