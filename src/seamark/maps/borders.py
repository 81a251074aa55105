"""Levelling what the scores of normal images rise towards the border of the picture.

Beyond the border a network sees nothing, or the picture mirrored, and models have seen few cells that lie there: scores
of defect-free images rise by a fifth to a half within an eighth of the picture's shorter side. How much a detector's
rise is told by its validation maps, as a table over the distances to the nearest vertical and to the nearest horizontal
border, because corners are not what their sides add up to.

Source: own; a wider mirrored margin was measured beside it (benchmarks/README.md#border_profilepy).
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from seamark.files.images import Float32Array, Float64Array

BANDS = 16
"""Bands of distance between the border and the reach."""
STRIP_ROWS = 256
"""Rows whose rise is in memory."""
REACH = 0.125
"""How far the rise is looked for, as a share of the picture's shorter side."""


def border_excess(scores: Float32Array) -> Float64Array:
    """Return what a map, float32 (h, w), has more towards its borders than in its middle.

    Returns
    -------
    ndarray of float64, shape (BANDS + 1, BANDS + 1)
        Mean score by the bands of the distances to the nearest horizontal and vertical border, taken alike, the last
        band beyond the reach, minus the mean where both are. In units of the score.
    """
    shorter, (height, width) = min(scores.shape), scores.shape
    quarters = [
        scores[::down, ::across][: (height + 1) // 2, : (width + 1) // 2] for down in (1, -1) for across in (1, -1)
    ]
    means: Float64Array = np.mean(quarters, axis=0, dtype=np.float64)
    starts = np.round(np.arange(BANDS + 1) * shorter * REACH / BANDS).astype(np.int64)
    for _ in range(2):
        sizes = np.diff(starts, append=len(means)).clip(min=1)  # a band narrower than a pixel has the next one's
        means = (np.add.reduceat(means, starts) / sizes[:, np.newaxis]).T
    return np.asarray((means + means.T) / 2.0 - means[-1, -1])


def expected_rise(excesses: Sequence[Float64Array]) -> Float32Array:
    """Return the rise that is expected of a normal image, float32 (BANDS + 1, BANDS + 1), 0 or more, 0 in the middle.

    It is the median of what :func:`border_excess` gives for each validation map, at least one, so no odd one sets it.
    """
    return np.median(excesses, axis=0).clip(min=0.0).astype(np.float32)


def _bands(length: int, shorter: int) -> sparse.csr_array:
    """(length, BANDS + 1): linear between the middles of the two nearest bands, each row summing to 1."""
    pixels = np.arange(length)
    distance = (np.minimum(pixels, pixels[::-1]) + 0.5) / (shorter * REACH)
    band = np.clip(distance * BANDS - 0.5, 0.0, BANDS)
    lower = np.minimum(band.astype(np.int64), BANDS - 1)
    share = (band - lower).astype(np.float32)
    entries = (np.concatenate([1.0 - share, share]), (np.tile(pixels, 2), np.concatenate([lower, lower + 1])))
    return sparse.csr_array(entries, shape=(length, BANDS + 1))


def levelled(scores: Float32Array, rise: Float32Array) -> Float32Array:
    """Return a map, float32 (h, w) of any size, without the rise that is expected where its pixels lie."""
    shorter, (height, width) = min(scores.shape), scores.shape
    across = np.ascontiguousarray((_bands(width, shorter) @ np.ascontiguousarray(rise.T)).T)
    down, flat = _bands(height, shorter), np.empty(scores.shape, np.float32)
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        flat[rows] = scores[rows] - down[rows] @ across
    return flat
