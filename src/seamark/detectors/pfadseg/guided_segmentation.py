"""The segmentation network of PFADSeg and DeSTSeg: where teacher and student disagree, level by level, to defects.

Source: PFADSeg specification, section 4.6.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seamark.detectors.pfadseg.attention import AttentionBlock, RectangularCalibration
from seamark.networks.reverse_distillation import convolution
from seamark.networks.segmentation_network import AtrousPyramid, resized
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
        self.first = AttentionBlock(sum(channels), width, settings)
        self.second = AttentionBlock(width, width, settings)
        self.context = RectangularCalibration(width, settings.layer_scale) if settings.rcm else AtrousPyramid(width)
        self.head = nn.Sequential(convolution(width, width, 3), nn.Conv2d(width, 1, 1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits (B, h, w) of products of features (B, C_l, H_l, W_l); h and w are those of the first level."""
        shape = (levels[0].shape[2], levels[0].shape[3])
        stack = torch.cat([resized(level, shape) for level in levels], dim=1)
        out: Tensor = self.head(self.context(self.second(self.first(stack))))
        return out[:, 0]

    def layer_scale(self) -> Tensor | None:
        """Return the largest factor of the calibration's branch, which tells whether it takes part; None without."""
        return self.context.scale.detach().abs().max() if isinstance(self.context, RectangularCalibration) else None
