"""Losses of EfficientAD with collaborative discrepancy optimisation, and which cells a synthetic anomaly touches.

Sources: Batzner et al., WACV 2024 (hard, autoencoder and penalty losses); Cao et al., "Collaborative discrepancy
optimization for reliable image anomaly localization", IEEE TII 2023 (docs/methods/efficientad.md#noise-patches and
docs/methods/efficientad.md#losses).
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seamark.files.images import BoolArray
from seamark.networks.pdn import CENTRE, STRIDE, cell_count
from seamark.settings.teacher import FIELD_PX

NORMAL, ABNORMAL, IGNORED = 0, 1, 2
"""Labels of cells."""
SMALLEST_NORM = 1e-12
SMALLEST_DISTANCE = 1e-6
"""Distances below this do not raise the weight of an abnormal cell any further."""
SMALLEST_MEAN = 1e-12

Ring = Literal["ignored", "normal"]


def hard_loss(teacher: Tensor, student: Tensor, share: float) -> Tensor:
    """Return the mean of the largest squared differences of each image, averaged over images.

    Parameters
    ----------
    teacher, student : Tensor of float32, shape (B, C, h, w)
        Normalised features of the teacher and their prediction.
    share : float
        Quantile from which on differences count, 0..1; 0 is the mean of all.

    Returns
    -------
    Tensor
        Scalar. Of N differences the largest N - ceil(share (N - 1)) count, which are those at or above the quantile.
    """
    differences = (teacher - student).square().flatten(1)
    if share == 0.0:
        return differences.mean()
    number = differences.shape[1]
    kept = number - math.ceil(share * (number - 1))
    return differences.topk(kept, dim=1, sorted=False).values.mean()


def direction_distances(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the squared distance of unit vectors (B, h, w), 0..4, of features (B, C, h, w)."""
    teacher, student = (functional.normalize(features, dim=1, eps=SMALLEST_NORM) for features in (teacher, student))
    return (teacher - student).square().sum(dim=1)


def collaborative_loss(distances: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Return how far normal cells are apart less how far abnormal ones are, odd ones of both weighing more.

    Parameters
    ----------
    distances : Tensor of float32
        Distance of teacher and student in each cell of the batch.
    labels : Tensor of int, same shape
        NORMAL, ABNORMAL or IGNORED.
    gamma : float
        Exponent of the weights: (d / mean)^gamma for normal cells, (mean / d)^gamma for abnormal ones.

    Returns
    -------
    Tensor
        Scalar; 0 where no cell counts. The weights take no gradient, so the absolute values of the gradient sum to 1.

    Notes
    -----
    docs/methods/efficientad.md#losses. parity: the released CDO multiplies by the number of images; the thesis that
    brings it to EfficientAD does not, and neither does this.
    """
    normal, abnormal = distances[labels == NORMAL], distances[labels == ABNORMAL]
    with torch.no_grad():
        normal_mean, abnormal_mean = (_mean(part) for part in (normal, abnormal))
        normal_weights = (normal / normal_mean).pow(gamma)
        abnormal_weights = (abnormal_mean / abnormal.clamp(min=SMALLEST_DISTANCE)).pow(gamma)
        total = (normal_weights.sum() + abnormal_weights.sum()).clamp(min=SMALLEST_MEAN)
    return ((normal_weights * normal).sum() - (abnormal_weights * abnormal).sum()) / total


def _mean(distances: Tensor) -> Tensor:
    if not distances.numel():
        return distances.new_ones(())
    return distances.mean().clamp(min=SMALLEST_MEAN)


@dataclass(frozen=True)
class TouchedCells:
    """What a synthetic anomaly on a tile does to the cells of a PDN without padding."""

    labels: NDArray[np.int64]
    """(h, w) of NORMAL, ABNORMAL, IGNORED."""
    windows: tuple[tuple[int, int, int, int], ...]
    """First row and the one after the last, columns likewise, of blocks that hold every cell that sees the anomaly."""


def touched_cells(mask: BoolArray, ring: Ring) -> TouchedCells:
    """Find the cells that a synthetic anomaly touches.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Where the tile was changed.
    ring : {"ignored", "normal"}
        What cells are that see the anomaly although their middle is not in it.

    Returns
    -------
    TouchedCells
        A cell is abnormal if pixel (4 i + 16, 4 j + 16) is; it sees the anomaly if any of its 33 x 33 px does.

    Notes
    -----
    parity: resizing the mask to the grid, as for networks whose cells cover the whole tile, would misplace it by up to
    16 px at the border, because the cells of a PDN without padding do not.
    """
    rows, columns = (cell_count(side) for side in mask.shape)
    abnormal = mask[CENTRE::STRIDE, CENTRE::STRIDE][:rows, :columns]
    seen = functional.max_pool2d(torch.from_numpy(mask)[None].float(), FIELD_PX, STRIDE)[0].numpy() > 0.0
    labels = np.full((rows, columns), NORMAL, dtype=np.int64)
    if ring == "ignored":
        labels[seen] = IGNORED
    labels[abnormal] = ABNORMAL
    _, _, boxes, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8), connectivity=8)
    windows = [(top, top + height, left, left + width) for left, top, width, height, _ in boxes[1:].tolist()]
    return TouchedCells(labels, tuple(windows))


def window_pixels(window: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of pixels that a block of cells sees."""
    top, bottom, left, right = window
    return slice(STRIDE * top, STRIDE * (bottom - 1) + FIELD_PX), slice(STRIDE * left, STRIDE * (right - 1) + FIELD_PX)
