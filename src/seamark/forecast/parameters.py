"""Numbers that a training makes, counted from settings and the table of backbones alone."""

from typing import NamedTuple

from seamark.backbones.table import PYRAMID_STRIDES, PublishedBackbone, published_backbone
from seamark.forecast.work import Work
from seamark.settings.aand import AandSettings
from seamark.settings.aurd import AurdSettings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.settings.inp_former import InpFormerSettings
from seamark.settings.pfadseg import PfadsegSettings
from seamark.settings.superadd import SuperAddSettings
from seamark.settings.training import DetectorSettings
from seamark.settings.urd import UrdSettings

AMPLIFICATION = 10.0
"""Numbers of AAND's amplification relative to the summed squares of its pyramid's channels; 8.5 for Wide ResNets."""


class _Student(NamedTuple):
    """Numbers of a student relative to the summed squares of its pyramid's channels, as it was counted."""

    fixed: float
    """Whatever its width."""
    growing: float
    """That grow with the square of its width."""

    def numbers(self, network: PublishedBackbone, width: float) -> float:
        return sum(channels**2 for channels in _levels(network)) * (self.fixed + self.growing * width**2)


_URD, _AAND, _PFADSEG, _DESTSEG = (
    _Student(42.0, 53.7),
    _Student(7.4, 53.6),
    _Student(33.7, 567.0),
    _Student(14.4, 272.0),
)


def trained_parameters(work: Work) -> float:
    """Return about how many numbers a training makes."""
    block, network = work.block, published_backbone(work.block.backbone)
    if isinstance(block, EfficientAdSettings):
        return _efficientad(block)
    if isinstance(block, FeatureBankSettings):
        return block.bank_size * sum(layer_widths(block))
    if isinstance(block, SuperAddSettings):
        kept = [min(block.bank_size, count) for count in layer_vectors(work)]
        return sum(count * width for count, width in zip(kept, layer_widths(block), strict=True))
    if isinstance(block, InpFormerSettings):
        return network.token_width(block.layers) ** 2 * (20 + 12 * block.decoder_blocks)
    return _student(block, network)


def _student(block: DetectorSettings, network: PublishedBackbone) -> float:
    """Return the numbers of students, and of what is trained beside them."""
    if isinstance(block, UrdSettings):
        beside = block.segmentation if isinstance(block, AurdSettings) else None
        segmentation = _segmentation(beside.width, network) if beside else 0.0
        return network.parameters + _URD.numbers(network, block.student_width) + segmentation
    if isinstance(block, AandSettings):
        student = _AAND if block.amplification is None else _AAND._replace(fixed=_AAND.fixed + AMPLIFICATION)
        return student.numbers(network, block.student_width)
    if isinstance(block, PfadsegSettings):
        student = _PFADSEG if block.attention.pcar else _DESTSEG
        return student.numbers(network, block.student_width) + _segmentation(block.segmentation.width, network)
    return 0.0


def _efficientad(block: EfficientAdSettings) -> float:
    """Return the numbers of the student, whose outputs are twice the teacher's, and of the autoencoder."""
    width, channels = block.width, block.channels
    student = 1_114_000 * width**2 + 8192 * width * channels
    if block.network == "medium":
        student = 4_720_000 * width**2 + 16384 * width * channels + 4 * channels**2
    return student + 875_000 + 577 * channels


def _segmentation(width: int, network: PublishedBackbone) -> float:
    """Return the numbers of a segmentation network, whose blocks have a width of their own."""
    return width * (100 * width + 10 * sum(_levels(network)))


def _levels(network: PublishedBackbone) -> list[int]:
    """Return the channels at strides 4, 8 and 16."""
    return [width for stride, width in zip(network.strides, network.channels, strict=True) if stride in PYRAMID_STRIDES]


def layer_widths(block: DetectorSettings) -> list[int]:
    """Return the features per cell of each chosen layer."""
    network = published_backbone(block.backbone)
    return [network.channels[layer] for layer in network.chosen(block.layers)]


def layer_vectors(work: Work) -> list[float]:
    """Return at most how many vectors of each layer a training draws from; overlaps of tiles count twice."""
    network, tiles = published_backbone(work.block.backbone), work.training.tiles(work.grid)
    strides = [network.strides[layer] for layer in network.chosen(work.block.layers)]
    return [1e6 * tiles * work.tile_megapixels / stride**2 for stride in strides]
