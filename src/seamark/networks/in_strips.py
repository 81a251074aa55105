"""Blocks of convolutions that take their input a few rows at a time."""

from typing import cast

import torch
from torch import Tensor, nn

from seamark.networks.onednn import in_one_pass

STRIP_BYTES = 6 << 20
"""Memory of the widest features of a strip: they stay in the processor's cache, and their memory is used again."""


class InStrips(nn.Module):
    """A block that is no longer trained; on the CPU its widest features exist for a strip of rows at a time.

    Bits are those of the block on all rows at once.

    Parameters
    ----------
    block : Module
        Maps features (B, C, H, W) to (B, C', H / stride, W'), every row from those at most ``reach`` rows away.
    stride : int
        Rows of the input per row of the output.
    reach : int
        A multiple of the stride.
    channels : int
        Most features per cell of the input's grid inside the block.
    """

    def __init__(self, block: nn.Module, stride: int, reach: int, channels: int) -> None:
        super().__init__()
        self.block, self.stride, self.reach, self.channels = block, stride, reach, channels

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W) as the block does."""
        height, width = features.shape[2:]
        fitting = STRIP_BYTES // (self.channels * width * features.element_size())
        rows = max(fitting, 8 * self.reach) // self.stride * self.stride
        if rows >= height or height % self.stride or not in_one_pass(features):
            return cast(Tensor, self.block(features))
        strips = []
        for start in range(0, height, rows):
            above = min(self.reach, start)
            strip = self.block(features[:, :, start - above : start + rows + self.reach])
            strips.append(strip[:, :, above // self.stride :][:, :, : rows // self.stride])
        return torch.cat(strips, dim=2)
