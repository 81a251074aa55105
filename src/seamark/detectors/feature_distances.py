"""Distances between two pyramids of features: per cell, per image, and as one map at the size of the input."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.backbones.table import PYRAMID_STRIDES

TRUNCATE = 4.0
"""Radius of the Gaussian kernel in standard deviations."""


def cell_distances(first: Sequence[Tensor], second: Sequence[Tensor]) -> list[Tensor]:
    """Return 1 - cosine of each cell of each level.

    Parameters
    ----------
    first, second : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Two pyramids.

    Returns
    -------
    list of Tensor, shape (B, H_l, W_l)
        0..2 (docs/methods/urd.md#cosine-distances).
    """
    return [1.0 - F.cosine_similarity(one, other, dim=1) for one, other in zip(first, second, strict=True)]


def anomaly_map(distances: Sequence[Tensor], operators: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Bring the distances of all levels to one map.

    Parameters
    ----------
    distances : sequence of Tensor, shape (B, H_l, W_l)
        One per level.
    operators : sequence of pairs of Tensor, shapes (h, H_l) and (w, W_l)
        What :func:`map_operator` gives for rows and for columns.

    Returns
    -------
    Tensor, shape (B, h, w)
        Sum over the levels.
    """
    maps = [rows @ level @ columns.T for level, (rows, columns) in zip(distances, operators, strict=True)]
    return torch.stack(maps).sum(dim=0)


@lru_cache(maxsize=64)
def map_operator(cells: int, input_px: int, sigma_px: float, cell_px: int, *, align_corners: bool) -> Tensor:
    """Return one axis of the way from a level to the map: interpolate to the input, smooth, average over cells.

    All three are linear and separable, so two small matrices do what two passes over an image at full size would
    (docs/methods/urd.md#score-map).

    Parameters
    ----------
    cells : int
        Cells of the level.
    input_px : int
        Side of the input in px.
    sigma_px : float
        Standard deviation of the Gaussian in px of the input; its kernel ends at 4 sigma, and at the border the edge
        pixels are mirrored and repeated. 0 for none.
    cell_px : int
        Side of a cell of the map in px of the input.
    align_corners : bool
        Whether the centres of the outermost cells lie on the outermost pixels, instead of where the cells are.

    Returns
    -------
    Tensor of float32, shape (input_px / cell_px, cells)
        Rows sum to 1.
    """
    identity = torch.eye(cells, dtype=torch.float64).unsqueeze(0)
    operator = F.interpolate(identity, input_px, mode="linear", align_corners=align_corners)[0].T.numpy()
    if sigma_px > 0.0:
        radius = int(TRUNCATE * sigma_px + 0.5)
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
        taps /= taps.sum()
        padded = np.pad(operator, ((radius, radius), (0, 0)), mode="symmetric")
        operator = sum(tap * padded[start : start + input_px] for start, tap in enumerate(taps))
    averaged = operator.reshape(input_px // cell_px, cell_px, cells).mean(axis=1)
    return torch.from_numpy(np.ascontiguousarray(averaged, dtype=np.float32))


class DistanceMap(nn.Module):
    """Brings distances of levels at strides 4, 8 and 16 to one smoothed map at stride 4 (:func:`map_operator`)."""

    def __init__(self, tile_shape: tuple[int, int], sigma_px: float, *, align_corners: bool) -> None:
        super().__init__()
        for level, stride in enumerate(PYRAMID_STRIDES):
            for axis, side in zip(("rows", "columns"), tile_shape, strict=True):
                operator = map_operator(side // stride, side, sigma_px, PYRAMID_STRIDES[0], align_corners=align_corners)
                self.register_buffer(f"{axis}_{level}", operator.clone(), persistent=False)

    def forward(self, distances: Sequence[Tensor]) -> Tensor:
        """Return the map (B, H / 4, W / 4) of the distances (B, H_l, W_l) of each level."""
        operators = [
            (self.get_buffer(f"rows_{level}"), self.get_buffer(f"columns_{level}"))
            for level in range(len(PYRAMID_STRIDES))
        ]
        return anomaly_map(distances, operators)
