"""SuperADD to the letter of docs/methods/superadd.md: all vectors in memory, whole distance matrices."""

import math

import cv2
import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch.nn.functional import interpolate


def axis(side, cell=16, tile=40, o=8):
    """Start of each tile of an axis, and which of its cells it keeps."""
    n = math.ceil((side // cell - tile) / (tile - 2 * o)) + 1
    starts = [(i * (side // cell - tile)) // max(1, n - 1) for i in range(n)]
    d = [0, *(starts[i] + tile - starts[i + 1] for i in range(n - 1)), 0]
    return starts, [range(math.ceil(d[i] / 2), tile - math.floor(d[i + 1] / 2)) for i in range(n)]


def token_grid(tiles, shape, **how):
    """Kept parts of the tiles (n, tile, tile, D) of a shrunken image, rows outer, side by side."""
    (_, rows), (_, columns) = (axis(side, **how) for side in shape)
    parts = iter(tiles)
    return np.vstack([np.hstack([next(parts)[np.ix_(y, x)] for x in columns]) for y in rows])


def bank(vectors, rounds, chances, rest, size, neighbours=100):
    """Numbers of the vectors that stay, given what is drawn: orders of candidates, and numbers of 0..1."""
    kept = []
    for candidates, r in zip(rounds, chances, strict=True):
        drawn = np.array([i for i in candidates if i not in set(kept)][: len(vectors) // len(rounds)])
        nearest = np.sort(cdist(vectors[drawn], vectors[drawn]), axis=1)[:, :neighbours]
        tau = nearest.mean() / 10
        while (stay := r < 1 / ((nearest < tau).sum(axis=1) + 1)).sum() > size // len(rounds):
            tau *= 1.1
        kept += drawn[stay].tolist()
    return {*kept, *[i for i in rest if i not in set(kept)][: size - len(kept)]}


def anomaly_map(grids, banks, height, width):
    """Mean over the layers of the distances of a grid (T_y, T_x, D) to its bank, at quarter size."""
    maps = []
    for g, b in zip(grids, banks, strict=True):
        distances = cdist(g.reshape(-1, g.shape[2]), b).min(axis=1).reshape(1, 1, *g.shape[:2]) / g.shape[2]
        maps.append(interpolate(torch.from_numpy(distances), (height // 4, width // 4), mode="bilinear"))
    return torch.stack(maps).mean(dim=0)[0, 0].numpy()


def mask(scores, t):
    above = cv2.copyMakeBorder((scores > t).astype(np.uint8), 27, 27, 27, 27, cv2.BORDER_CONSTANT, value=0)
    union = above.copy()
    for k in range(16):
        x, y = (round(26 * f(math.radians(180 * k / 16))) for f in (math.cos, math.sin))
        line = cv2.line(np.zeros((57, 57), np.uint8), (28 - x, 28 - y), (28 + x, 28 + y), 1, 2)
        union |= cv2.erode(cv2.dilate(above, cv2.dilate(line, np.ones((2, 2), np.uint8))), line)
    found = union[27:-27, 27:-27] * (scores > 0.8 * t)
    contours = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    filled = cv2.drawContours(np.zeros_like(found), contours, -1, 255, cv2.FILLED)
    return cv2.erode(filled, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
