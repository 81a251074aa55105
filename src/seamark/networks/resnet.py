"""ResNets up to their third stage, under the names of torchvision's files of weights.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016; Zagoruyko and Komodakis, "Wide residual
networks", BMVC 2016. Stage 4 and the classifier, which no detector reads, do not exist here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seamark.networks.folding import fold_batch_norm

STEM_CHANNELS = 64


@dataclass(frozen=True)
class Architecture:
    """What tells one ResNet from another."""

    blocks: tuple[int, int, int, int]
    """Residual blocks of each stage."""
    bottleneck: bool
    """Whether blocks are 1 x 1, 3 x 3, 1 x 1 and widen their output four times, or two 3 x 3."""
    base_width: int = 64
    """Channels of the 3 x 3 convolutions of stage 1."""


RESNET18 = Architecture((2, 2, 2, 2), bottleneck=False)
RESNET34 = Architecture((3, 4, 6, 3), bottleneck=False)
RESNET50 = Architecture((3, 4, 6, 3), bottleneck=True)
WIDE_RESNET50_2 = Architecture((3, 4, 6, 3), bottleneck=True, base_width=128)


def stage_channels(architecture: Architecture) -> tuple[int, int, int, int]:
    """Return the channels that come out of each stage."""
    first = STEM_CHANNELS * (4 if architecture.bottleneck else 1)
    return first, 2 * first, 4 * first, 8 * first


class ResidualBlock(nn.Module):
    """Convolutions with batch norms around which a shortcut leads."""

    def __init__(self, channels_in: int, width: int, channels_out: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        widths = (channels_in, *[width] * (len(kernels) - 1), channels_out)
        self.depth = len(kernels)
        strided = 1 if bottleneck else 0
        for index, kernel in enumerate(kernels):
            step = stride if index == strided else 1
            convolution = nn.Conv2d(widths[index], widths[index + 1], kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{index + 1}", convolution)
            self.add_module(f"bn{index + 1}", nn.BatchNorm2d(widths[index + 1]))
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, C, H, W) into features (B, C', H / stride, W / stride)."""
        branch = features
        for index in range(1, self.depth + 1):
            branch = self.get_submodule(f"bn{index}")(self.get_submodule(f"conv{index}")(branch))
            branch = torch.relu(branch) if index < self.depth else branch
        shortcut = features if self.downsample is None else self.downsample(features)
        return torch.relu(branch + shortcut)


def _stage(architecture: Architecture, number: int) -> nn.Sequential:
    """Build stage 1 to 4."""
    channels = (STEM_CHANNELS, *stage_channels(architecture))
    width = architecture.base_width * 2 ** (number - 1)
    blocks = [
        ResidualBlock(
            channels[number] if index else channels[number - 1],
            width,
            channels[number],
            2 if number > 1 and index == 0 else 1,
            bottleneck=architecture.bottleneck,
        )
        for index in range(architecture.blocks[number - 1])
    ]
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """Stem and stages 1 to 3, with random weights (Kaiming normal by the outputs).

    Parameters
    ----------
    architecture : Architecture
        Blocks and widths.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(architecture, 1)
        self.layer2 = _stage(architecture, 2)
        self.layer3 = _stage(architecture, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet_parts(network: nn.Module) -> Sequence[nn.Sequential]:
    """Return the parts of a :class:`ResNet` whose outputs are the layers at strides 4, 8 and 16.

    Parameters
    ----------
    network : Module
        A :class:`ResNet`.

    Returns
    -------
    sequence of Sequential
        Each takes what the one before gives.
    """
    stem = [network.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool", "layer1")]
    return nn.Sequential(*stem), *(nn.Sequential(network.get_submodule(name)) for name in ("layer2", "layer3"))


def unread_names(network: nn.Module) -> frozenset[str]:
    """Return the names of the tensors of the published file that the network does without.

    Parameters
    ----------
    network : Module
        A :class:`ResNet`.

    Returns
    -------
    frozenset of str
        Every tensor of stage 4 and of the classifier.
    """
    if not isinstance(network, ResNet):
        return frozenset()
    with torch.device("meta"):
        last = _stage(network.architecture, 4)
    return frozenset(f"layer4.{name}" for name in last.state_dict()) | {"fc.weight", "fc.bias"}


def fold_resnet(network: nn.Module) -> None:
    """Fold every batch norm into its convolution, in place; the network can no longer be trained or loaded.

    Parameters
    ----------
    network : Module
        A :class:`ResNet` with its final weights.
    """
    fold_batch_norm(network, "conv1", "bn1", nn.Identity())
    for block in [module for module in network.modules() if isinstance(module, ResidualBlock)]:
        for index in range(1, block.depth + 1):
            fold_batch_norm(block, f"conv{index}", f"bn{index}", nn.Identity())
        if block.downsample is not None:
            fold_batch_norm(block.downsample, "0", "1", nn.Identity())
