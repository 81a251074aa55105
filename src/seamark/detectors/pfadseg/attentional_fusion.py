"""Attentional feature fusion: a residual sum whose two terms are weighted by what is in them.

Source: Dai et al., "Attentional feature fusion", WACV 2021 (PFADSeg specification, section 4.4).
"""

from typing import cast

from torch import Tensor, nn

REDUCTION = 4
"""Channels per channel inside the attention."""


def _attention(channels: int) -> list[nn.Module]:
    inside = max(channels // REDUCTION, 1)
    return [
        nn.Conv2d(channels, inside, 1),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.Conv2d(inside, channels, 1),
        nn.BatchNorm2d(channels),
    ]


class AttentionalFusion(nn.Module):
    """Weighs branch and shortcut of a residual block against each other, per cell and channel.

    Parameters
    ----------
    channels : int
        Channels of both.
    gain : float
        Factor of the weighted mean. With 2 and equal weights it is the plain sum.
    starts_even : bool
        Whether both terms start with equal weights everywhere. Otherwise the norms scatter the weights of a batch by
        about 1.4 before the sigmoid, those behind the pooling even where all its images are alike.
    """

    def __init__(self, channels: int, gain: float = 2.0, *, starts_even: bool = False) -> None:
        super().__init__()
        self.gain = gain
        self.local = nn.Sequential(*_attention(channels))
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_attention(channels))
        if starts_even:
            for attention in (self.local, self.pooled):
                nn.init.zeros_(cast("nn.BatchNorm2d", attention[-1]).weight)

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """Fuse two maps (B, C, H, W) to one; in training B must be at least 2, for the norms behind the pooling."""
        both = branch + shortcut
        weight = (self.local(both) + self.pooled(both)).sigmoid()
        out: Tensor = self.gain * (branch * weight + shortcut * (1.0 - weight))
        return out
