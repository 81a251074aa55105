"""Reverse distillation: a bottleneck squeezes a pyramid of features into one map, a mirrored decoder gives them back.

Sources: RD4AD (Deng and Li, CVPR 2022) and URD (docs/methods/urd.md#networks). Channels follow the pyramid: for
WideResNet50-2 (256, 512, 1024) all sizes are the published ones. A pyramid of other channels gives the same network in
its own channels, and ``width`` widens what lies inside for pyramids that are narrow.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

DECODER_BLOCKS = (3, 4, 6)
"""Blocks of the decoder's stages, deep to shallow."""


def inner_width(channels: int, width: float) -> int:
    """Return the channels inside the student, an even number, where WideResNet50-2 has as many as its pyramid."""
    return max(8, 2 * round(channels * width / 2))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    """Return a convolution without bias that keeps the size at stride 1, batch norm, and ReLU on request.

    It maps (B, inputs, H, W) to (B, outputs, H / stride, W / stride); the kernel is odd.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        *([nn.ReLU()] if relu else []),
    )


def doubling(inputs: int, outputs: int, *, relu: bool = True) -> nn.Sequential:
    """Return a transposed convolution that doubles both sides, batch norm, and ReLU on request."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False),
        nn.BatchNorm2d(outputs),
        *([nn.ReLU()] if relu else []),
    )


class BottleneckBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut.

    Parameters
    ----------
    inputs, width, outputs : int
        Channels before, inside and after.
    step : {"keep", "halve", "double"}
        What happens to both sides; halving is done by the 3x3 convolution, doubling by 2x2 transposed ones.
    signed : bool
        Whether the sum is left without ReLU.
    """

    def __init__(self, inputs: int, width: int, outputs: int, step: str = "keep", *, signed: bool = False) -> None:
        super().__init__()
        stride = 2 if step == "halve" else 1
        double = step == "double"
        self.branch = nn.Sequential(
            convolution(inputs, width, 1),
            doubling(width, width) if double else convolution(width, width, 3, stride),
            convolution(width, outputs, 1, relu=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if double:
            self.shortcut = doubling(inputs, outputs, relu=False)
        elif stride > 1 or inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, stride, relu=False)
        self.signed = signed

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H', W')."""
        out: Tensor = self.branch(features) + self.shortcut(features)
        return out if self.signed else torch.relu(out)


class OneClassBottleneck(nn.Module):
    """Multi-scale feature fusion and one-class embedding.

    Attributes
    ----------
    outputs : int
        Channels of the embedding, twice those of the deepest level for width 1.
    """

    def __init__(self, channels: Sequence[int], width: float = 1.0) -> None:
        super().__init__()
        shallow, middle, deep = channels
        half, full = inner_width(middle, width), inner_width(deep, width)
        self.outputs = 2 * full
        self.shallow = nn.Sequential(convolution(shallow, half, 3, 2), convolution(half, full, 3, 2))
        self.middle = convolution(middle, full, 3, 2)
        self.embedding = nn.Sequential(
            BottleneckBlock(2 * full + deep, full, self.outputs, "halve"),
            BottleneckBlock(self.outputs, full, self.outputs),
            BottleneckBlock(self.outputs, full, self.outputs),
        )

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Embed a pyramid of (B, C_l, H_l, W_l); the result has half the sides of its deepest level."""
        shallow, middle, deep = pyramid
        out: Tensor = self.embedding(torch.cat([self.shallow(shallow), self.middle(middle), deep], dim=1))
        return out


class DecoderStage(nn.Sequential):
    """Bottleneck blocks of which the first doubles both sides.

    The last one ends without ReLU if what it rebuilds is signed.
    """

    def __init__(self, inputs: int, width: int, outputs: int, blocks: int, *, signed: bool) -> None:
        last = blocks - 1
        super().__init__(
            *(
                BottleneckBlock(
                    outputs if block else inputs,
                    width,
                    outputs,
                    "keep" if block else "double",
                    signed=signed and block == last,
                )
                for block in range(blocks)
            )
        )


class MirrorDecoder(nn.Module):
    """Three stages that double the sides, from the embedding to the shallowest level of the pyramid."""

    def __init__(self, channels: Sequence[int], inputs: int, width: float = 1.0, *, signed: bool = False) -> None:
        super().__init__()
        steps = pairwise((inputs, *reversed(channels)))
        self.stages = nn.ModuleList(
            DecoderStage(before, inner_width(after, width) // 2, after, blocks, signed=signed)
            for (before, after), blocks in zip(steps, DECODER_BLOCKS, strict=True)
        )

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Give back a pyramid (B, C_l, H_l, W_l), shallow to deep, of an embedding."""
        levels: list[Tensor] = []
        for stage in self.stages:
            embedding = stage(embedding)
            levels.append(embedding)
        return levels[::-1]


def initialise_as_released(network: nn.Module) -> None:
    """Set the weights of ordinary convolutions to Xavier normal; transposed ones keep the framework's.

    Source: docs/methods/urd.md#networks.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)


def initialise_for_relu(network: nn.Module) -> None:
    """Set weights of linear layers and ordinary convolutions to Kaiming normal; transposed ones keep the framework's.

    Source: docs/methods/aand.md#student, as in RD4AD.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ReverseStudent(nn.Module):
    """Bottleneck and mirrored decoder of RD4AD: rebuilds a pyramid from the teacher's.

    Parameters
    ----------
    channels : sequence of int
        Channels of the three levels, shallow to deep.
    width : float
        Factor of the channels inside.
    signed : bool
        Whether the pyramid has negative features, so that what rebuilds it must not end in a ReLU.
    """

    def __init__(self, channels: Sequence[int], width: float = 1.0, *, signed: bool = False) -> None:
        super().__init__()
        self.bottleneck = OneClassBottleneck(channels, width)
        self.decoder = MirrorDecoder(channels, self.bottleneck.outputs, width, signed=signed)
        initialise_for_relu(self)

    def forward(self, teacher: Sequence[Tensor]) -> list[Tensor]:
        """Rebuild a pyramid of (B, C_l, H_l, W_l), shallow to deep."""
        rebuilt: list[Tensor] = self.decoder(self.bottleneck(teacher))
        return rebuilt


def has_negatives(pyramid: nn.Module) -> bool:
    """Return whether a pyramid's features can be negative, as those of a small image of noise show."""
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    training = pyramid.training
    with torch.no_grad():
        lowest = min(float(level.min()) for level in pyramid.eval()(noise))
    pyramid.train(training)
    return lowest < 0.0
