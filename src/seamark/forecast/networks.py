"""Size and appetite of the networks, as numbers: planning must not import torch to learn them.

Parameters, strides and channels are those of :mod:`seamark.backbones.registry`, which a test compares. ``forward_mb``
is what one forward pass without gradients takes per megapixel of its input, besides the parameters, with one thread on
the CPU: ``python benchmarks/forecast.py networks``.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A frozen network."""

    parameters: int
    """Numbers in it, in float32, batch norms folded."""
    forward_mb: float
    """MB per megapixel of input."""
    strides: tuple[int, ...]
    """Stride of each layer in px."""
    channels: tuple[int, ...]
    """Features of each layer."""
    layers: tuple[int, ...]
    """Layers that a detector takes when its settings name none."""

    @property
    def parameters_mb(self) -> float:
        """Memory of the parameters in MB."""
        return 4 * self.parameters / 1e6

    def token_floats(self, layers: Sequence[int] | None) -> float:
        """Return how many numbers per px of input the chosen layers give on the finest of their grids."""
        chosen = self.layers if layers is None else tuple(layers)
        return sum(self.channels[layer] for layer in chosen) / min(self.strides[layer] for layer in chosen) ** 2

    def pyramid_floats(self) -> float:
        """Return how many numbers per px of input the levels at strides 4, 8 and 16 give, each on its own grid."""
        levels = [(stride, width) for stride, width in zip(self.strides, self.channels, strict=True) if stride > 2]
        return sum(width / stride**2 for stride, width in levels[:3])


def _dinov2(parameters: int, forward_mb: float, width: int, depth: int, layers: Sequence[int]) -> Network:
    return Network(parameters, forward_mb, (14,) * depth, (width,) * depth, tuple(layers))


def _resnet(parameters: int, forward_mb: float, channels: tuple[int, int, int]) -> Network:
    return Network(parameters, forward_mb, (4, 8, 16), channels, (1, 2))


NETWORKS = {
    "efficientnet_lite0": Network(692_688, 449.0, (2, 4, 8, 16, 32), (16, 24, 40, 112, 320), (2, 3)),
    "dinov2_vits14_reg": _dinov2(22_058_112, 262.0, 384, 12, range(2, 10)),
    "dinov2_vitb14_reg": _dinov2(86_583_552, 521.0, 768, 12, range(2, 10)),
    "dinov2_vitl14_reg": _dinov2(304_372_736, 700.0, 1024, 24, range(4, 19, 2)),
    "resnet18": _resnet(2_780_544, 248.0, (64, 128, 256)),
    "resnet34": _resnet(8_165_376, 248.0, (64, 128, 256)),
    "resnet50": _resnet(8_528_000, 592.0, (256, 512, 1024)),
    "wide_resnet50_2": _resnet(24_842_752, 636.0, (256, 512, 1024)),
}
"""Backbones by name."""

SEGMENT_ANYTHING_MB = {"vit_b": 3200.0, "vit_l": 5000.0, "vit_h": 7200.0}
"""Peak memory of refining with Segment Anything in MB (docs/segmenters.md). That of vit_b was measured; for the others
its activations are scaled by the width of their tokens, and their own parameters added."""
