"""Attention of PFADSeg: parallel recalibrated convolutions, attentional fusion, rectangular self-calibration.

Sources: PFADSeg (docs/methods/pfadseg.md#attention-block); Yu et al., "MSPANet", 2024, for the
recalibration by a pyramid of means; Dai et al., "Attentional feature fusion", WACV 2021, for a residual sum whose two
terms are weighted by what is in them; Ni et al., "Context-guided spatial feature reconstruction", ECCV 2024, for
attention along rows and columns that reshapes a map before an MLP.
"""

from functools import lru_cache
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.networks.plain_form import in_plain_form
from seamark.networks.reverse_distillation import convolution, initialise_for_relu
from seamark.settings.pfadseg import AttentionSettings

FUSION_REDUCTION = 4
"""Channels per channel inside the attentional fusion."""
BRANCHES = 3
RECALIBRATION_REDUCTION = 16
"""Channels per number inside the recalibration."""
CELLS_TO_MERGE = 256
"""From this many cells on, merging kernels is faster than running the convolutions one by one."""
BAND = 11
"""Cells of the strip convolutions."""
EXPANSION = 2
"""Channels inside the MLP per channel."""


class PyramidRecalibration(nn.Module):
    """Spatial pyramid recalibration: weights of channels from their mean and the means of their four quadrants."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = max(channels // RECALIBRATION_REDUCTION, 1)
        self.squeeze = nn.Linear(5 * channels, inside)
        self.excite = nn.Linear(inside, channels)

    def forward(self, means: Tensor, quadrants: Tensor) -> Tensor:
        """Return weights (..., C) within 0..1 of means (..., C) and quadrants (..., C, 4), these in row-major order."""
        pooled = torch.cat([means, quadrants.flatten(-2)], dim=-1)
        out: Tensor = self.excite(torch.relu(self.squeeze(pooled))).sigmoid()
        return out


class ParallelRecalibration(nn.Module):
    """Parallel convolutional attention recalibration: three 3x3 convolutions, weighted per image and summed.

    Where it is exact and pays (even sides, many cells, no norm between), the three kernels are summed instead of the
    three results: the weights need only means over quadrants of what the convolutions give, and these are linear in
    the input.

    Parameters
    ----------
    channels : int
        Channels C before and after.
    shared : bool
        Whether the three share one recalibration.
    norm : bool
        Whether each convolution is followed by a batch norm.
    """

    def __init__(self, channels: int, *, shared: bool = True, norm: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.kernels = nn.Parameter(torch.empty(BRANCHES * channels, channels, 3, 3))
        for kernel in self.kernels.detach().chunk(BRANCHES):
            nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(BRANCHES * channels) if norm else None
        self.recalibrations = nn.ModuleList(PyramidRecalibration(channels) for _ in range(1 if shared else BRANCHES))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        height, width = features.shape[2:]
        even = height % 2 == 0 and width % 2 == 0
        if self.norm is None and even and height * width >= CELLS_TO_MERGE and not in_plain_form():
            return self.merged(features)
        return self.parallel(features)

    def parallel(self, features: Tensor) -> Tensor:
        """Run the convolutions, then weigh and sum what they give; for every size."""
        stacked = F.conv2d(features, self.kernels, padding=1)
        stacked = stacked if self.norm is None else self.norm(stacked)
        branches = stacked.unflatten(1, (BRANCHES, self.channels))
        quadrants = F.adaptive_avg_pool2d(stacked, 2).reshape(-1, BRANCHES, self.channels, 4)
        weights = self._weights(branches.mean(dim=(3, 4)), quadrants)
        out: Tensor = (branches * weights[..., None, None]).sum(dim=1)
        return out

    def merged(self, features: Tensor) -> Tensor:
        """Weigh and sum the kernels, then run one convolution per image; for even sides and without norms.

        docs/methods/pfadseg.md#parallel-recalibration.
        """
        count, channels, height, width = features.shape
        quadrants = torch.matmul(self.kernels.flatten(1), shifted_quadrants(features))
        quadrants = quadrants.reshape(count, BRANCHES, channels, 4)
        weights = self._weights(quadrants.mean(dim=-1), quadrants)
        branches = self.kernels.view(BRANCHES, channels, channels, 3, 3)
        kernels = torch.einsum("nkc,kcfij->ncfij", weights, branches)
        out = F.conv2d(
            features.reshape(1, count * channels, height, width), kernels.flatten(0, 1), padding=1, groups=count
        )
        return out.view(count, channels, height, width)

    def _weights(self, means: Tensor, quadrants: Tensor) -> Tensor:
        """Return the weights (B, 3, C) of means (B, 3, C) and quadrants (B, 3, C, 4); they sum to 1 over the three."""
        if len(self.recalibrations) == 1:
            scores = self.recalibrations[0](means, quadrants)
        else:
            per_branch = zip(self.recalibrations, means.unbind(1), quadrants.unbind(1), strict=True)
            scores = torch.stack([recalibration(*pooled) for recalibration, *pooled in per_branch], dim=1)
        weights: Tensor = scores.softmax(dim=1)
        return weights


def shifted_quadrants(features: Tensor) -> Tensor:
    """Return the means over quadrants of a map that is shifted to each place of a 3x3 kernel, zeros coming in.

    Parameters
    ----------
    features : Tensor, shape (B, C, H, W)
        H and W are even.

    Returns
    -------
    Tensor of at least float32, shape (B, 9 * C, 4)
        In the order of a flattened kernel (C, 3, 3); quadrants in row-major order.
    """
    height, width = features.shape[2:]
    with torch.autocast(features.device.type, enabled=False):
        exact = features if features.dtype == torch.float64 else features.float()
        rows, columns = shifted_halves(height).to(exact), shifted_halves(width).to(exact)
        means = rows @ (exact @ columns.T)
    # B, C, half and shift of the rows, half and shift of the columns
    parts = means.reshape(*means.shape[:2], 2, 3, 2, 3).permute(0, 1, 3, 5, 2, 4)
    return parts.reshape(len(means), -1, 4)


@lru_cache(maxsize=32)
def shifted_halves(side: int) -> Tensor:
    """Return the operator that takes means over both halves of an axis, shifted by -1, 0 and 1; float64 (6, side)."""
    half = side // 2
    whole = torch.zeros(2, 3, side + 2, dtype=torch.float64, device="cpu")
    for place in range(2):
        for shift in range(3):
            whole[place, shift, place * half + shift : (place + 1) * half + shift] = 1.0 / half
    return whole[:, :, 1:-1].flatten(0, 1)


def _attention(channels: int) -> list[nn.Module]:
    inside = max(channels // FUSION_REDUCTION, 1)
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
    docs/methods/pfadseg.md#attention-block.
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
        initialise_for_relu(self)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        branch, shortcut = self.branch(features), self.shortcut(features)
        out = branch + shortcut if self.fusion is None else self.fusion(branch, shortcut)
        return out if self.signed else torch.relu(out)


def _fusion(channels: int, settings: AttentionSettings) -> AttentionalFusion | None:
    if not settings.aff:
        return None
    return AttentionalFusion(channels, settings.aff_gain, starts_even=settings.aff_starts_even)


class RectangularAttention(nn.Module):
    """Rectangular self-calibration attention over a depthwise convolution."""

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
        means plus the rows' means times that of ones (docs/methods/pfadseg.md#rectangular-calibration).
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

    ``layer_scale`` is the initial factor of what is added, learned per channel.
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
