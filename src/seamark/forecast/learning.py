"""Memory of the stages that run networks: distill, train, infer, and refine with Segment Anything.

What a process takes is the interpreter with torch, the parameters, the activations of a batch, kept features, and the
stored tiles, which are mapped into it. The coefficients were fitted to the peak memory in the provenance of finished
runs on EfficientNet-Lite0 (``python benchmarks/forecast.py <run folder>`` puts both side by side); other backbones are
scaled by the memory of their forward pass. The same numbers give GPU memory, where they were not measured.
"""

import math
from dataclasses import dataclass

from seamark.forecast.networks import NETWORKS, SEGMENT_ANYTHING_MB, Network
from seamark.forecast.work import Work
from seamark.settings.aand import AandSettings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.settings.inp_former import InpFormerSettings
from seamark.settings.pfadseg import PfadsegSettings
from seamark.settings.teacher import TeacherSettings
from seamark.settings.training import GPU_BATCH, DetectorSettings

INTERPRETER_MB = 395.0
"""Python with torch and the project, before anything is loaded."""
CUDA_CONTEXT_MB = 500.0
"""What torch and its libraries keep on a GPU; not measured here."""
BYTES_TRAINED = 16
"""Of a trained parameter: itself, its gradient and two moments, float32."""
PDN_CELLS = (56 / 256) ** 2
"""Cells per px of the patch description networks."""
PDN_WIDTH = 0.5
"""Width of the networks at which EfficientAD and distillation were measured."""


@dataclass(frozen=True)
class Memory:
    """Memory of a job in MB."""

    resident: float
    """Peak, without mapped files."""
    mapped: float = 0.0
    """Mapped files: they count as the job's, but the system takes them away when memory is short."""
    gpu: float = 0.0
    """On the GPU, if there is one."""

    @property
    def peak(self) -> float:
        """What the system reports as the largest resident size."""
        return self.resident + self.mapped


@dataclass(frozen=True)
class _Appetite:
    """What a detector takes relative to its backbone."""

    training: float
    """Memory of a training step per tile, relative to a forward pass."""
    scoring: float
    """Memory of scoring per tile, relative to a forward pass."""
    trained: float
    """Trained parameters relative to the backbone's."""


_APPETITES = {
    "inp_former": _Appetite(1.0, 1.5, 2.3),
    "feature_bank": _Appetite(1.5, 1.5, 0.0),
    "urd": _Appetite(3.0, 2.3, 6.4),
    "aurd": _Appetite(3.0, 2.7, 7.2),
    "aand": _Appetite(2.1, 2.0, 5.1),
    "pfadseg": _Appetite(5.7, 3.4, 14.6),
    "constant": _Appetite(0.1, 0.1, 0.0),
}
_DESTSEG = _Appetite(3.4, 2.2, 7.4)
_CACHE_OVERHEAD = 1.2
"""Memory of kept features relative to their bytes."""


def learning_memory(work: Work) -> Memory:
    """Return the memory of a job of distill, train, infer, or of refine with Segment Anything.

    Parameters
    ----------
    work : Work
        The job.

    Returns
    -------
    Memory
        In MB.
    """
    if work.stage == "refine":
        needed = SEGMENT_ANYTHING_MB[work.config.refine.sam.model]
        return Memory(needed, gpu=CUDA_CONTEXT_MB + needed - INTERPRETER_MB)
    if work.stage == "distill":
        return _distill(work.block)
    return _train(work) if work.stage == "train" else _infer(work)


def _network(settings: DetectorSettings) -> Network:
    """Return the backbone; a name that does not exist is refused elsewhere, in words."""
    return NETWORKS.get(settings.backbone, NETWORKS["efficientnet_lite0"])


def _appetite(work: Work) -> _Appetite:
    if isinstance(work.block, PfadsegSettings) and not (work.block.attention.pcar or work.block.attention.aff):
        return _DESTSEG
    return _APPETITES[work.detector]


def _train(work: Work) -> Memory:
    block, network = work.block, _network(work.block)
    batch = min(batch_size(block), work.training.tiles(work.grid))
    cached = kept_features_mb(work)
    parameters = trained_parameters(work)
    if isinstance(block, EfficientAdSettings):
        step = batch * work.tile_megapixels * (11_000.0 if block.penalty == "cdo" else 5000.0) * block.width / PDN_WIDTH
        step_on_gpu, frozen = step, 4e-6 * parameters
    elif isinstance(block, InpFormerSettings):
        decoder = batch * work.tile_megapixels * _inp_decoder_mb(block, network)
        step = work.tile_megapixels * network.forward_mb + decoder
        step_on_gpu, frozen = batch * work.tile_megapixels * network.forward_mb + decoder, network.parameters_mb
    else:
        step = batch * work.tile_megapixels * network.forward_mb * _appetite(work).training
        step_on_gpu, frozen = step, network.parameters_mb
    weights = frozen + BYTES_TRAINED * parameters / 1e6
    candidates = 4e-6 * block.candidates_per_vector * parameters if isinstance(block, FeatureBankSettings) else 0.0
    return Memory(
        INTERPRETER_MB + weights + step + cached + candidates,
        work.tiles_mb(work.photographs),
        CUDA_CONTEXT_MB + weights + step_on_gpu + cached,
    )


def _infer(work: Work) -> Memory:
    block, network = work.block, _network(work.block)
    parameters = 4e-6 * trained_parameters(work)
    if isinstance(block, EfficientAdSettings):
        one, frozen = work.tile_megapixels * 2800.0 * block.width / PDN_WIDTH, 0.0
    else:
        one, frozen = work.tile_megapixels * network.forward_mb * _appetite(work).scoring, network.parameters_mb
    weights = frozen + parameters
    return Memory(
        INTERPRETER_MB + weights + one,
        work.tiles_mb(work.photographs),
        CUDA_CONTEXT_MB + weights + GPU_BATCH * one,
    )


def _distill(block: DetectorSettings) -> Memory:
    """Memory of a teacher: its backbone sees twice the side of what the network sees, one crop at a time on the CPU."""
    settings = TeacherSettings.model_validate(block.model_dump(include=set(TeacherSettings.model_fields)))
    network = _network(settings)
    megapixels = settings.distill.input_px**2 / 1e6
    step = settings.distill.batch_size * megapixels * 1000.0 * settings.width / PDN_WIDTH
    seen = 4 * megapixels * network.forward_mb
    return Memory(
        INTERPRETER_MB + network.parameters_mb + step + seen + 0.25 * settings.distill.photograph_cache_mb,
        gpu=CUDA_CONTEXT_MB + network.parameters_mb + step + settings.distill.batch_size * seen,
    )


def batch_size(block: DetectorSettings) -> int:
    """Return the tiles of a training step; 1 for a detector that is not trained in steps."""
    return int(getattr(block, "batch_size", 1))


def trained_parameters(work: Work) -> float:
    """Return about how many numbers a training makes."""
    block, network = work.block, _network(work.block)
    if isinstance(block, EfficientAdSettings):
        return 2_050_000 * block.width / PDN_WIDTH
    if isinstance(block, FeatureBankSettings):
        chosen = network.layers if block.layers is None else block.layers
        return block.bank_size * sum(network.channels[layer] for layer in chosen)
    if isinstance(block, InpFormerSettings):
        return _inp_width(block, network) ** 2 * (20 + 12 * block.decoder_blocks)
    return network.parameters * _appetite(work).trained


def _inp_width(block: InpFormerSettings, network: Network) -> int:
    """Width of its tokens: a convolutional pyramid is stacked, the layers of a transformer are averaged."""
    chosen = network.layers if block.layers is None else block.layers
    widths = [network.channels[layer] for layer in chosen]
    return widths[0] if network.strides[0] == 14 else sum(widths)


def _inp_decoder_mb(block: InpFormerSettings, network: Network) -> float:
    """Memory per megapixel of tiles: some copies of all tokens, and the decoder's of those that are reconstructed."""
    stride = min(network.strides[layer] for layer in (network.layers if block.layers is None else block.layers))
    copies = 24 + 14 * block.token_share * (block.decoder_blocks + 1)
    return 4 * _inp_width(block, network) / stride**2 * copies


def kept_features_mb(work: Work, *, limited: bool = True) -> float:
    """Return the memory in MB of frozen features that are kept while training; ``limited`` by ``feature_cache_mb``."""
    block, network, tiles = work.block, _network(work.block), work.training.tiles(work.grid)
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
    wanted = _CACHE_OVERHEAD * tiles * work.tile_megapixels * 4 * floats
    return min(float(block.feature_cache_mb), wanted) if limited else wanted
