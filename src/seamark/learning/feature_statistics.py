"""Mean and standard deviation of features, for the teacher of EfficientAD and for what it is distilled from."""

from collections.abc import Iterable

import torch
from torch import Tensor

SMALLEST_STD = 1e-6
"""Standard deviations of features are at least this share of the largest one."""
SMALLEST_LARGEST_STD = 1e-12


def feature_statistics(maps: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each feature over all cells of all maps.

    Parameters
    ----------
    maps : iterable of Tensor, shape (B, C, h, w)
        Features.

    Returns
    -------
    tuple of Tensor
        Float32 (C,) each; the population's standard deviation, at least a millionth of the largest one, so that a
        feature that never changes divides by no zero. Sums are float64, in one pass.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for features in maps:
        cells = features.double().transpose(0, 1).flatten(1)
        count += cells.shape[1]
        total = cells.sum(dim=1) + total.to(cells)
        squares = cells.square().sum(dim=1) + squares.to(cells)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0.0).sqrt()
    return mean.float(), std.clamp(min=max(float(std.max()) * SMALLEST_STD, SMALLEST_LARGEST_STD)).float()
