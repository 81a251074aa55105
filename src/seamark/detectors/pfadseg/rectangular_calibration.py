"""Rectangular self-calibration: attention along rows and columns reshapes a map before an MLP.

Source: Ni et al., "Context-guided spatial feature reconstruction", ECCV 2024 (PFADSeg specification, sections 4.7 and
9.10).
"""

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

BAND = 11
"""Cells of the strip convolutions."""
EXPANSION = 2
"""Channels inside the MLP per channel."""


class RectangularAttention(nn.Module):
    """Rectangular self-calibration attention over a depthwise convolution.

    Parameters
    ----------
    channels : int
        Channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.along_row = nn.Conv2d(channels, channels, (1, BAND), padding=(0, BAND // 2), groups=channels)
        self.norm = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.along_column = nn.Conv2d(channels, channels, (BAND, 1), padding=(BAND // 2, 0), groups=channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        out: Tensor = self.attention(features) * self.local(features)
        return out

    def attention(self, features: Tensor) -> Tensor:
        """Return the attention (B, C, H, W) within 0..1.

        The first strip convolution sees the sum of a mean per row and a mean per column, so it is that of the columns'
        means plus the rows' means times that of ones (PFADSeg specification section 9.10).
        """
        rows, columns = features.mean(dim=3, keepdim=True), features.mean(dim=2, keepdim=True)
        ones = self._strip(torch.ones_like(columns[:1]))
        strips = rows * ones + self._strip(columns) + self.along_row.bias[:, None, None]  # type: ignore[index]  # it has one
        out: Tensor = self.along_column(self.norm(strips)).sigmoid()
        return out

    def _strip(self, features: Tensor) -> Tensor:
        """Run the first strip convolution without its bias."""
        row = self.along_row
        return F.conv2d(features, row.weight, padding=(0, BAND // 2), groups=row.groups)


class RectangularCalibration(nn.Module):
    """Rectangular self-calibration module: attention, norm and MLP, added to what came in.

    Parameters
    ----------
    channels : int
        Channels C.
    layer_scale : float
        Initial factor of what is added, learned per channel.
    """

    def __init__(self, channels: int, layer_scale: float = 1.0) -> None:
        super().__init__()
        self.attention = RectangularAttention(channels)
        self.mlp = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, EXPANSION * channels, 1),
            nn.GELU(),
            nn.Conv2d(EXPANSION * channels, channels, 1),
        )
        self.scale = nn.Parameter(torch.full((channels, 1, 1), layer_scale))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        out: Tensor = features + self.scale * self.mlp(self.attention(features))
        return out
