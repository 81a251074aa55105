"""Defect probabilities from features of teacher and student: their products, ASPP, losses.

Sources: DeSTSeg and AURD (docs/methods/urd.md#segmentation-network).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.networks.reverse_distillation import convolution

DILATIONS = (6, 12, 18)
"""Cells between the taps of the pyramid's three branches."""


def level_products(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> list[Tensor]:
    """Multiply the features of teacher and student, each cell scaled to length one.

    Parameters
    ----------
    teacher, student : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Two pyramids.

    Returns
    -------
    list of Tensor, shape (B, C_l, H_l, W_l)
        The channels of a cell sum to its cosine.
    """
    pairs = zip(teacher, student, strict=True)
    return [F.normalize(one, dim=1) * F.normalize(other, dim=1) for one, other in pairs]


def resized(level: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate a level (B, C, H, W) to rows and columns, cells where they are."""
    return level if level.shape[2:] == shape else F.interpolate(level, shape, mode="bilinear")


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: the mean of the image and three dilated views, joined by a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), convolution(width, width, 1))
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            for dilation in DILATIONS
        )
        self.join = convolution(4 * width, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        pooled = self.pooled(features).expand_as(features)
        out: Tensor = self.join(torch.cat([pooled, *(branch(features) for branch in self.dilated)], dim=1))
        return out


def focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float | None = None) -> Tensor:
    """Return the focal loss.

    Parameters
    ----------
    logits, target : Tensor, shape (B, h, w)
        Before the sigmoid; 0 or 1.
    gamma : float
        Exponent; 0 gives the cross-entropy.
    alpha : float or None
        Weight of cells with target 1, that of the others is one minus it; None: all weigh 1.

    Returns
    -------
    Tensor, scalar
        Mean over all cells (docs/methods/urd.md#segmentation-losses, docs/methods/aand.md#amplification-losses).
    """
    log_right = F.logsigmoid((2.0 * target - 1.0) * logits)
    losses = -((1.0 - log_right.exp()) ** gamma) * log_right
    if alpha is not None:
        losses = losses * torch.where(target > 0, alpha, 1.0 - alpha)
    return losses.mean()


def absolute_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of probability and target (docs/methods/urd.md#segmentation-losses)."""
    return (torch.sigmoid(logits) - target).abs().mean()


def segmentation_losses(logits: Tensor, target: Tensor, gamma: float) -> dict[str, Tensor]:
    """Return focal and absolute loss of logits and target (B, h, w); their sum is minimised."""
    return {"focal": focal_loss(logits, target, gamma), "absolute": absolute_loss(logits, target)}
