"""Peak memory of a job of any stage, on the machine and on its GPU.

A stage without a network takes its imports and a few bytes per pixel of the photograph or map that each of its threads
works on. One with a network takes the interpreter with torch, the parameters, the activations of a batch, kept
features; stored tiles are read one by one. The coefficients were fitted to the peak memory in the
provenance of finished runs, those of networks on EfficientNet-Lite0 (``python benchmarks/forecast.py <run folder>``
puts both side by side); other backbones are scaled by the memory of their forward pass. The same numbers give GPU
memory, which was not measured.
"""

import math
from typing import NamedTuple

from seamark.backbones.table import PublishedBackbone, published_backbone
from seamark.flow import STAGES, StageMemory
from seamark.forecast.parameters import layer_vectors, layer_widths, trained_parameters
from seamark.forecast.work import Work
from seamark.settings.aand import AandSettings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.settings.inp_former import InpFormerSettings
from seamark.settings.pfadseg import PfadsegSettings
from seamark.settings.superadd import SuperAddSettings
from seamark.settings.teacher import TeacherSettings
from seamark.settings.training import GPU_BATCH, DetectorSettings

SEGMENT_ANYTHING_MB = {"vit_b": 3200.0, "vit_l": 5000.0, "vit_h": 7200.0}
"""Peak memory of refining with Segment Anything in MB (docs/segmenters.md). That of vit_b was measured; for the others
its activations are scaled by the width of their tokens, and their own parameters added."""
MARGIN = 1.2
"""Room beyond the expected peak in what a job asks for."""
SNAKEMAKE_MB = 400.0
"""On a cluster a job is started by Snakemakes that count as well: two of 175 MB each and srun's processes on SLURM."""
STEP_MB = 50
"""What a job asks for is a multiple of this."""
INTERPRETER_MB = 395.0
"""Python with torch and the project, before anything is loaded."""
CUDA_CONTEXT_MB = 500.0
"""What torch and its libraries keep on a GPU; not measured here."""
BYTES_TRAINED = 16
"""Of a trained parameter: itself, its gradient and two moments, float32."""
CACHE_OVERHEAD = 1.2
"""Memory of kept features relative to their bytes."""
PDN_CELLS = (56 / 256) ** 2
"""Cells per px of the patch description networks."""
DRAWN_NUMBERS = 3.0
"""Numbers that SuperADD draws for each vector: its candidates, chances and the order of the rest."""
THINNING_BLOCK = 1 << 24
"""Distances that it computes at a time."""
THINNING_COPIES = 5.0
"""How often they are in memory together, with what is sorted of them."""
PDN_WIDTH = 0.5
"""Width of the networks at which EfficientAD and distillation were measured."""
PDN_MB = 250.0
"""What EfficientAD takes more than its numbers even at tiles of 64 px."""


_LIGHT_VARIANTS = StageMemory(80.0, per_million_values=4.8)
_FUSING = StageMemory(74.0, per_map_megapixel=28.0)
_MEBIN = StageMemory(200.0, per_megapixel=15.0)
_EXTENTS = StageMemory(80.0, per_megapixel=26.5)
_GUIDED = StageMemory(85.0, per_megapixel=45.0, per_million_values=0.8)


class _DetectorMemory(NamedTuple):
    """Training and scoring a tile, relative to the backbone's forward pass."""

    training: float
    scoring: float


_DETECTORS = {
    "inp_former": _DetectorMemory(1.0, 1.5),
    "feature_bank": _DetectorMemory(1.5, 1.5),
    "superadd": _DetectorMemory(1.0, 1.5),
    "urd": _DetectorMemory(3.0, 2.3),
    "aurd": _DetectorMemory(3.0, 2.7),
    "aand": _DetectorMemory(2.1, 2.0),
    "pfadseg": _DetectorMemory(5.7, 3.4),
    "constant": _DetectorMemory(0.1, 0.1),
}
_DESTSEG = _DetectorMemory(3.4, 2.2)
_TRAINED_RESNET = _DetectorMemory(13.0, 2.7)
"""URD and AURD whose student is a ResNet with its batch norms: URD at its own size took 12.1 GB, AURD is told alike."""


class Memory(NamedTuple):
    """Memory of a job in MB."""

    resident: float
    """Peak, as the system reports it."""
    gpu: float = 0.0
    """On the GPU, if there is one."""


def uses_network(work: Work) -> bool:
    """Return whether a job loads a network and so can use a GPU."""
    return work.stage in ("distill", "train", "infer") or _segments_anything(work)


def requested_mb(work: Work) -> int:
    """Return the memory that a job asks Snakemake for, in MB."""
    return STEP_MB * math.ceil((MARGIN * memory(work).resident + SNAKEMAKE_MB) / STEP_MB)


def memory(work: Work, cores: int | None = None) -> Memory:
    """Return the peak memory of a job in MB; it has no more threads than there are cores."""
    if _segments_anything(work):
        needed = SEGMENT_ANYTHING_MB[work.config.refine.sam.model]
        return Memory(needed, gpu=CUDA_CONTEXT_MB + needed - INTERPRETER_MB)
    if uses_network(work):
        return {"distill": _distill, "train": _train, "infer": _infer}[work.stage](work)
    stage, photographs = _stage_memory(work), work.photographs
    per_thread = (
        stage.per_megapixel * photographs.largest_pixels()
        + stage.per_million_values * photographs.largest_pixels() * photographs.channels
        + stage.per_map_megapixel * photographs.largest_pixels(work.scale)
    ) / 1e6
    threads = work.threads if cores is None else min(cores, work.threads)
    return Memory(stage.base + threads * per_thread + stage.per_photograph * photographs.count)


def _segments_anything(work: Work) -> bool:
    return work.stage == "refine" and work.config.refine.method == "sam"


def _stage_memory(work: Work) -> StageMemory:
    if work.stage == "crop" and work.config.light_variants.variants(work.split):
        return _LIGHT_VARIANTS
    if work.stage == "fuse" and not work.config.fuse.refers:
        return _FUSING
    if work.stage == "binarize" and work.config.binarize.mebin.enabled:
        return _MEBIN
    if work.stage == "binarize" and work.config.binarize.extent.enabled:
        return _EXTENTS
    if work.stage == "refine" and work.config.refine.method == "guided":
        return _GUIDED
    return STAGES[work.stage].memory


def _detector_memory(work: Work) -> _DetectorMemory:
    if isinstance(work.block, PfadsegSettings) and not (work.block.attention.pcar or work.block.attention.aff):
        return _DESTSEG
    if isinstance(work.block, AandSettings) and work.block.contrastive:
        return _DETECTORS["urd"]  # which trains teacher and student too
    if work.detector_type in ("urd", "aurd") and "resnet" in work.block.backbone:
        return _TRAINED_RESNET
    return _DETECTORS[work.detector_type]


def _train(work: Work) -> Memory:
    block, network, parameters = work.block, network_of(work.block), trained_parameters(work)
    batch_megapixels = min(batch_size(block), work.training.tiles(work.grid)) * work.tile_megapixels
    forward = batch_megapixels * network.forward_mb
    frozen, candidates, saved_on_cpu = network.parameters_mb, 0.0, 0.0
    if isinstance(block, EfficientAdSettings):
        frozen = 4e-6 * parameters + PDN_MB
        step = batch_megapixels * (11_000.0 if block.penalty == "cdo" else 5000.0) * block.width / PDN_WIDTH
    elif isinstance(block, InpFormerSettings):
        step = forward + batch_megapixels * _inp_decoder_mb(block, network)
        saved_on_cpu = forward - work.tile_megapixels * network.forward_mb  # features are computed tile by tile there
    else:
        step = forward * _detector_memory(work).training
    if isinstance(block, FeatureBankSettings):
        candidates = 4e-6 * block.candidates_per_vector * parameters
    if isinstance(block, SuperAddSettings):
        return _train_superadd(work, block, frozen, step)
    kept = frozen + BYTES_TRAINED * parameters / 1e6 + min(block.feature_cache_mb, wanted_features_mb(work))
    copied = 4e-6 * parameters  # of weights in a step, and of the model as it is written
    busiest = step - saved_on_cpu + copied + candidates
    return Memory(INTERPRETER_MB + kept + busiest, CUDA_CONTEXT_MB + kept + step)


def _train_superadd(work: Work, block: SuperAddSettings, frozen: float, forward: float) -> Memory:
    """Memory of a training that draws vectors of all layers, holds some and keeps the banks, twice at the end."""
    vectors, widths = layer_vectors(work), layer_widths(block)
    draws = 4e-6 * sum(count * width for count, width in zip(vectors, widths, strict=True)) / block.rounds
    numbers = 8e-6 * DRAWN_NUMBERS * sum(vectors)
    held = min(max(block.memory_limit_mb, draws), block.rounds * draws)
    banks, widest = 4e-6 * trained_parameters(work), max(widths)
    drawn = max(vectors) / block.rounds
    thinning = 4e-6 * (drawn * (2 * widest + block.neighbours) + THINNING_COPIES * min(drawn**2, THINNING_BLOCK))
    on_gpu = CUDA_CONTEXT_MB + frozen + GPU_BATCH * forward + banks + thinning
    return Memory(INTERPRETER_MB + frozen + forward + numbers + held + 2 * banks + thinning, on_gpu)


def _infer(work: Work) -> Memory:
    block, network, parameters = work.block, network_of(work.block), 4e-6 * trained_parameters(work)
    if isinstance(block, EfficientAdSettings):
        weights, tile = parameters + PDN_MB, work.tile_megapixels * 2800.0 * block.width / PDN_WIDTH
    else:
        weights = network.parameters_mb + parameters
        tile = work.tile_megapixels * network.forward_mb * _detector_memory(work).scoring
    searched = 0.0
    if isinstance(block, SuperAddSettings):
        searched = 8e-6 * block.bank_size * max(layer_widths(block))  # the bank of a layer, centred and scaled
    on_gpu = CUDA_CONTEXT_MB + weights + searched + GPU_BATCH * tile
    busiest = max(searched + tile, parameters)  # scoring, or the file from which the model is filled
    return Memory(INTERPRETER_MB + weights + busiest, on_gpu)


def _distill(work: Work) -> Memory:
    """Memory of a teacher: its backbone sees twice the side of what the network sees, one crop at a time on the CPU."""
    settings = TeacherSettings.model_validate(work.block.model_dump(include=set(TeacherSettings.model_fields)))
    network, distill = network_of(settings), settings.distill
    megapixels = distill.input_px**2 / 1e6
    trained = network.parameters_mb + distill.batch_size * megapixels * 1000.0 * settings.width / PDN_WIDTH
    seen = 4 * megapixels * network.forward_mb
    return Memory(
        INTERPRETER_MB + trained + seen + 0.25 * distill.photograph_cache_mb,
        gpu=CUDA_CONTEXT_MB + trained + distill.batch_size * seen,
    )


def network_of(block: DetectorSettings) -> PublishedBackbone:
    """Return the backbone."""
    return published_backbone(block.backbone)


def finest_stride(block: DetectorSettings) -> int:
    """Return the stride in px of the finest layer that a detector takes."""
    network = network_of(block)
    return min(network.strides[layer] for layer in network.chosen(block.layers))


def batch_size(block: DetectorSettings) -> int:
    """Return the tiles of a training step; 1 for a detector that is not trained in steps."""
    return int(getattr(block, "batch_size", 1))


def _inp_decoder_mb(block: InpFormerSettings, network: PublishedBackbone) -> float:
    """Memory per megapixel of tiles: some copies of all tokens, and the decoder's of those that are reconstructed."""
    copies = 24 + 14 * block.token_share * (block.decoder_blocks + 1)
    return 4 * network.token_width(block.layers) / finest_stride(block) ** 2 * copies


def wanted_features_mb(work: Work) -> float:
    """Return the memory in MB of all frozen features that a training would keep, were it not for a limit."""
    block, network, tiles = work.block, network_of(work.block), work.training.tiles(work.grid)
    if isinstance(block, EfficientAdSettings):
        floats = block.channels * PDN_CELLS
    elif isinstance(block, AandSettings):
        floats = network.pyramid_floats()
    elif isinstance(block, InpFormerSettings):
        floats = network.token_floats(block.layers)
        variants = block.augmentation.frozen_variants if block.augmentation is not None else 0
        steps = math.inf if block.max_steps is None else block.max_steps
        tiles = int(min(tiles * (1 + (variants or 0)), steps * block.batch_size))
    else:
        return 0.0
    return CACHE_OVERHEAD * tiles * work.tile_megapixels * 4 * floats
