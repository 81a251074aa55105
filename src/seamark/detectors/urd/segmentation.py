"""The segmentation network of AURD: residual blocks, ASPP and head over products or distances of features.

Sources: DeSTSeg and AURD (docs/methods/urd.md#segmentation-network).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seamark.networks.reverse_distillation import convolution, initialise_for_relu
from seamark.networks.segmentation_network import AtrousPyramid, level_products, resized


def feature_products(teacher: Sequence[Tensor], student: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
    """Multiply the features of teacher and student, each cell scaled to length one, and stack all levels.

    Parameters
    ----------
    teacher, student : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Two pyramids.
    shape : tuple of int
        Rows and columns to which all levels are interpolated (bilinear, cells in place: corners are not aligned).

    Returns
    -------
    Tensor, shape (B, sum of C_l, h, w)
        The channels of a level sum to its cosine wherever its cells lie.
    """
    return torch.cat([resized(level, shape) for level in level_products(teacher, student)], dim=1)


def distance_stack(distances: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
    """Stack the distances of all levels, shape (B, H_l, W_l) each, to (B, levels, h, w); bilinear, cells in place."""
    return torch.cat([resized(level.unsqueeze(1), shape) for level in distances], dim=1)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is 1x1 where the channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(convolution(inputs, outputs, 3), convolution(outputs, outputs, 3, relu=False))
        self.shortcut = nn.Identity() if inputs == outputs else convolution(inputs, outputs, 1, relu=False)
        initialise_for_relu(self)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        return torch.relu(self.branch(features) + self.shortcut(features))


class SegmentationNetwork(nn.Module):
    """Two residual blocks, atrous pyramid and head."""

    def __init__(self, inputs: int, width: int = 256) -> None:
        super().__init__()
        self.blocks = nn.Sequential(ResidualBlock(inputs, width), ResidualBlock(width, width))
        self.pyramid = AtrousPyramid(width)
        self.head = nn.Sequential(convolution(width, width, 3), nn.Conv2d(width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, h, w) of a stack of features (B, inputs, h, w)."""
        out: Tensor = self.head(self.pyramid(self.blocks(features)))
        return out[:, 0]
