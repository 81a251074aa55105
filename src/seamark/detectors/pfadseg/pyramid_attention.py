"""Parallel convolutions that are weighted per image by what a pyramid of their means shows (PCAR of PFADSeg).

Sources: PFADSeg (sections 4.3 and 9.2 of its specification); the recalibration is that of Yu et al., "MSPANet", 2024.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

BRANCHES = 3
REDUCTION = 16
"""Channels per number inside the recalibration."""
CELLS_TO_MERGE = 256
"""From this many cells on, merging kernels is faster than running the convolutions one by one."""


class PyramidRecalibration(nn.Module):
    """Spatial pyramid recalibration: weights of channels from their mean and the means of their four quadrants.

    Parameters
    ----------
    channels : int
        Channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = max(channels // REDUCTION, 1)
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
        if self.norm is None and even and height * width >= CELLS_TO_MERGE:
            return self.merged(features)
        return self.parallel(features)

    def parallel(self, features: Tensor) -> Tensor:
        """Run the convolutions, then weigh and sum what they give; for every size."""
        stacked = F.conv2d(features, self.kernels, padding=1)
        stacked = stacked if self.norm is None else self.norm(stacked)
        height, width = features.shape[2:]
        branches = stacked.reshape(-1, BRANCHES, self.channels, height, width)
        quadrants = F.adaptive_avg_pool2d(stacked, 2).reshape(-1, BRANCHES, self.channels, 4)
        weights = self._weights(branches.mean(dim=(3, 4)), quadrants)
        out: Tensor = (branches * weights[..., None, None]).sum(dim=1)
        return out

    def merged(self, features: Tensor) -> Tensor:
        """Weigh and sum the kernels, then run one convolution per image; for even sides and without norms.

        PFADSeg specification section 9.2.
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
