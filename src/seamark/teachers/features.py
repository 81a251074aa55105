"""The features of PatchCore as one fixed linear map of a backbone's levels: the target of the distillation.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022
(docs/methods/efficientad.md#distillation). PatchCore gathers 3 x 3 cells of each level, averages their entries down to
1024 numbers, brings all levels to one grid, and averages them down once more. All of it is linear and works on each
cell alike, so per level it is one convolution of 3 x 3 on the level's own grid, before it is resized.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

PATCH = 3
"""Side of the neighbourhood in cells."""
ENTRIES = 1024
"""Numbers that each level is averaged down to."""


def adaptive_average(inputs: int, outputs: int) -> NDArray[np.float64]:
    """Return the matrix (outputs, inputs) of adaptive average pooling: row i covers from i n / m to (i + 1) n / m."""
    matrix = np.zeros((outputs, inputs))
    for row in range(outputs):
        start, end = row * inputs // outputs, -(-(row + 1) * inputs // outputs)
        matrix[row, start:end] = 1.0 / (end - start)
    return matrix


class PatchCoreFeatures(nn.Module):
    """Turns the levels of a backbone into one map."""

    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.channels, self.levels = channels, len(widths)
        last = adaptive_average(ENTRIES * len(widths), channels)
        for level, width in enumerate(widths):
            part = last[:, ENTRIES * level : ENTRIES * (level + 1)]
            rows = np.flatnonzero(part.any(axis=1))
            kernels = part[rows] @ adaptive_average(width * PATCH**2, ENTRIES)
            weight = torch.from_numpy(kernels.reshape(len(rows), width, PATCH, PATCH)).float()
            self.register_buffer(f"weight_{level}", weight, persistent=False)
            self.register_buffer(f"rows_{level}", torch.from_numpy(rows), persistent=False)

    def forward(self, levels: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return features (B, C, *grid) of levels (B, C_k, H_k, W_k)."""
        result = levels[0].new_zeros(len(levels[0]), self.channels, *grid)
        for number, level in enumerate(levels):
            part = functional.conv2d(level, self.get_buffer(f"weight_{number}"), padding=PATCH // 2)
            if part.shape[2:] != grid:
                part = functional.interpolate(part, grid, mode="bilinear")
            result.index_add_(1, self.get_buffer(f"rows_{number}"), part)
        return result
