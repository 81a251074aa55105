"""Residual blocks of PFADSeg: parallel recalibrated convolutions and attentional fusion, each with its plain form."""

import torch
from torch import Tensor, nn

from seamark.detectors.pfadseg.attentional_fusion import AttentionalFusion
from seamark.detectors.pfadseg.pyramid_attention import ParallelRecalibration
from seamark.networks.reverse_distillation import convolution
from seamark.settings.pfadseg import AttentionSettings


class AttentionBlock(nn.Module):
    """A residual block of two convolutions; without attention it is that of a ResNet.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    settings : AttentionSettings
        Which parts have attention.
    stride : int
        Step of the first convolution in cells.
    signed : bool
        Whether the sum is left without ReLU.

    Notes
    -----
    PFADSeg specification section 4.2.
    """

    def __init__(
        self, inputs: int, outputs: int, settings: AttentionSettings, stride: int = 1, *, signed: bool = False
    ) -> None:
        super().__init__()
        second = (
            ParallelRecalibration(outputs, shared=settings.spr_shared, norm=settings.branch_bn)
            if settings.pcar
            else nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        )
        self.branch = nn.Sequential(convolution(inputs, outputs, 3, stride), second, nn.BatchNorm2d(outputs))
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride, relu=False)
        self.fusion = _fusion(outputs, settings)
        self.signed = signed
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        branch, shortcut = self.branch(features), self.shortcut(features)
        out = branch + shortcut if self.fusion is None else self.fusion(branch, shortcut)
        return out if self.signed else torch.relu(out)


def _fusion(channels: int, settings: AttentionSettings) -> AttentionalFusion | None:
    if not settings.aff:
        return None
    return AttentionalFusion(channels, settings.aff_gain, starts_even=settings.aff_starts_even)
