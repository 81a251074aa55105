"""Scores rounded to float16 as 65,536 ordered keys: exact histograms and quantiles that add up over images.

The benchmark takes float16 maps, so a split has at most 63,488 distinct finite scores and one integer histogram holds
all that ranks and quantiles need (docs/methods/mvtec_ad2.md#counting-scores).
"""

import numpy as np
import numpy.typing as npt

from seamark.errors import DataError

KEYS = 1 << 16
"""Number of 16-bit keys."""

MAX_SCORE = 65504.0
"""Largest finite float16."""

Histogram = npt.NDArray[np.int64]


def _key_of_bits() -> npt.NDArray[np.uint16]:
    bits = np.arange(KEYS, dtype=np.uint16)
    keys = np.where(bits & 0x8000, ~bits, bits | 0x8000).astype(np.uint16, copy=False)
    keys[0x8000] = keys[0]
    return keys


_KEY_OF_BITS = _key_of_bits()
"""Key of each 16-bit pattern of a float16."""


def score_keys(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round scores to float16 and map them to 16-bit keys of the same order.

    A non-negative score gets its bits with the top bit set, a negative one 0xFFFF minus its bits; -0 counts as +0.

    Parameters
    ----------
    scores : ndarray of float32, any shape
        Finite scores between -65504 and 65504.

    Returns
    -------
    ndarray of uint16, same shape
        ``a < b`` after rounding exactly where ``key(a) < key(b)``.

    Raises
    ------
    DataError
        If a score is not finite or does not fit into float16.
    """
    return _KEY_OF_BITS[_rounded_bits(scores)]


def _rounded_bits(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Bits of the scores rounded to float16; refuses those that are not finite or do not fit."""
    # Comparing the two ends instead of all magnitudes needs no copy; NaN makes either comparison fail.
    if scores.size and not (scores.max() <= MAX_SCORE and scores.min() >= -MAX_SCORE):
        raise _refusal(scores)
    return scores.astype(np.float16).view(np.uint16)


def _refusal(scores: npt.NDArray[np.float32]) -> DataError:
    strange = int(np.count_nonzero(~np.isfinite(scores)))
    if strange:
        return DataError(f"the anomaly map has {strange} non-finite scores; rebuild the stage that wrote it")
    return DataError(
        f"the anomaly map has a score of magnitude {float(np.abs(scores).max()):g}, more than {MAX_SCORE:g}, "
        "the largest float16; scale the maps down"
    )


def key_scores() -> npt.NDArray[np.float32]:
    """Return the score that each key stands for, float32 (65536,), non-decreasing; NaN for keys of no finite score.

    Key 0x7FFF, that of -0, is never used and reads 0.
    """
    keys = np.arange(KEYS, dtype=np.uint16)
    bits = np.where(keys & 0x8000, keys & 0x7FFF, ~keys).astype(np.uint16)
    halves = bits.view(np.float16)
    finite = np.isfinite(halves)
    scores = np.full(KEYS, np.nan, dtype=np.float32)
    scores[finite] = halves[finite] + np.float16(0.0)
    return scores


def score_histogram(scores: npt.NDArray[np.float32]) -> Histogram:
    """Count the pixels of each key, int64 (65536,), in ascending order of score; scores are as for :func:`score_keys`.

    Histograms of several maps add up to that of the pooled pixels. Raises DataError as :func:`score_keys`.
    """
    counts: Histogram = np.zeros(KEYS, dtype=np.int64)
    np.add.at(counts, _KEY_OF_BITS, np.bincount(_rounded_bits(scores).ravel(), minlength=KEYS))
    return counts


def quantile(histogram: Histogram, q: float) -> float:
    """Return the smallest score, rounded to float16, that at least the share ``q`` of the pixels does not exceed.

    It is always a score that occurs (the inverse of the empirical distribution function, without interpolation).

    Parameters
    ----------
    histogram : ndarray of int64, shape (65536,)
        Pixels per key, at least one in all.
    q : float
        Share of the pixels, 0..1; 0 gives the minimum and 1 the maximum.

    Raises
    ------
    DataError
        If the histogram is empty or ``q`` lies outside 0..1.
    """
    cumulative = np.cumsum(histogram)
    pixels = int(cumulative[-1])
    if pixels == 0 or not 0.0 <= q <= 1.0:
        raise DataError(f"no quantile {q} of {pixels} pixels; it needs at least one pixel and a share within 0..1")
    rank = max(1, int(np.ceil(q * pixels)))
    return float(key_scores()[int(np.searchsorted(cumulative, rank))])
