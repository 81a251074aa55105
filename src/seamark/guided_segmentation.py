"""The segmentation network of PFADSeg and DeSTSeg: where teacher and student disagree, level by level, to defects.

Source: PFADSeg specification, sections 4.6 and 9.9.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.attention_blocks import AttentionBlock
from seamark.rectangular_calibration import RectangularCalibration
from seamark.reverse_distillation import convolution
from seamark.segmentation_network import AtrousPyramid
from seamark.settings.pfadseg import AttentionSettings


class GuidedSegmentation(nn.Module):
    """Two residual blocks, rectangular calibration (or atrous pyramid) and head.

    Parameters
    ----------
    channels : sequence of int
        Channels of the levels.
    width : int
        Channels inside.
    settings : AttentionSettings
        Which parts have attention.
    """

    def __init__(self, channels: Sequence[int], width: int, settings: AttentionSettings) -> None:
        super().__init__()
        self.channels = list(channels)
        self.first = AttentionBlock(sum(channels), width, settings)
        self.second = AttentionBlock(width, width, settings)
        self.context = RectangularCalibration(width, settings.layer_scale) if settings.rcm else AtrousPyramid(width)
        self.head = nn.Sequential(convolution(width, width, 3), nn.Conv2d(width, 1, 1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits (B, h, w) of products of features (B, C_l, H_l, W_l); h and w are those of the first level."""
        shape = (levels[0].shape[2], levels[0].shape[3])
        stack = torch.cat([resized(level, shape) for level in levels], dim=1)
        features = self.second(self.first.joined(self.first.branch(stack), self.shortcut(levels, stack)))
        out: Tensor = self.head(self.context(features))
        return out[:, 0]

    def shortcut(self, levels: Sequence[Tensor], stack: Tensor) -> Tensor:
        """Return the shortcut (B, width, h, w) of the first block.

        Its 1x1 convolution runs on each level where the level is small, before the interpolation, which is the same
        because both are linear and the one knows no neighbours, the other no channels.
        """
        if isinstance(self.first.shortcut, nn.Identity):
            return stack
        shape = (stack.shape[2], stack.shape[3])
        kernels = torch.split(self.first.shortcut.get_parameter("0.weight"), self.channels, dim=1)
        mixed = [resized(F.conv2d(level, kernel), shape) for level, kernel in zip(levels, kernels, strict=True)]
        out: Tensor = self.first.shortcut.get_submodule("1")(torch.stack(mixed).sum(dim=0))
        return out

    def layer_scale(self) -> Tensor | None:
        """Return the largest factor of the calibration's branch, which tells whether it takes part; None without."""
        return self.context.scale.detach().abs().max() if isinstance(self.context, RectangularCalibration) else None


def resized(level: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate a level (B, C, H, W) to rows and columns, cells where they are."""
    return level if level.shape[2:] == shape else F.interpolate(level, shape, mode="bilinear")
