"""Scores rounded to float16 and what that cost, all counted while the bits are at hand."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamark.maps.float16_scores import KEYS
from seamark.submission import rounding_kernels as kernels

PAGES = 1 << 13
"""Pages of float32 patterns that are marked at a time: 64 MiB, more than all but contrived maps need."""

NEGATIVE_ZERO = 0x8000
"""Bits of the float16 -0, and the page of the float32 -0."""


@dataclass(frozen=True)
class RoundedScores:
    """A map of scores rounded to float16; -0 counts as +0 in all numbers.

    Parameters
    ----------
    scores : ndarray of float16, shape (H, W)
        Rounded to the nearest, to the even one of two.
    distinct_before, distinct_after : int
        Distinct scores.
    underflow_px : int
        Pixels whose score was not 0 and became 0.
    """

    scores: npt.NDArray[np.float16]
    distinct_before: int
    distinct_after: int
    underflow_px: int


def round_scores(scores: npt.NDArray[np.float32]) -> RoundedScores:
    """Round scores to float16 and count what is lost.

    Parameters
    ----------
    scores : ndarray of float32, shape (H, W)
        Scores between -65504 and 65504.

    Returns
    -------
    RoundedScores
        The same bits that ``scores.astype(numpy.float16)`` gives, and the counts.
    """
    patterns = np.ascontiguousarray(scores).ravel().view(np.uint32)
    rounded = np.empty(patterns.size, np.uint16)
    pixels, pages = np.zeros(KEYS, np.int64), np.zeros(KEYS, np.int64)
    zeros = kernels.round_and_count(patterns, rounded, pixels, pages)
    pixels[0] += pixels[NEGATIVE_ZERO]
    pixels[NEGATIVE_ZERO] = 0
    return RoundedScores(
        scores=rounded.view(np.float16).reshape(scores.shape),
        distinct_before=_distinct(patterns, np.flatnonzero(pages)),
        distinct_after=int(np.count_nonzero(pixels)),
        underflow_px=int(pixels[0]) - zeros,
    )


def _distinct(patterns: kernels.UInt32Array, pages: npt.NDArray[np.intp]) -> int:
    pages = np.union1d(pages, [0]) if NEGATIVE_ZERO in pages else pages
    distinct = 0
    for start in range(0, pages.size, PAGES):
        chosen = pages[start : start + PAGES]
        slots = np.full(KEYS, -1, np.int32)
        slots[chosen] = np.arange(chosen.size)
        seen = np.zeros(chosen.size * kernels.PAGE_WORDS, np.uint64)
        distinct += kernels.count_distinct(patterns, slots, seen)
    return distinct


def count_patterns(scores: npt.NDArray[np.float16]) -> npt.NDArray[np.int64]:
    """Count how often each bit pattern occurs, NaN and infinity included.

    Parameters
    ----------
    scores : ndarray of float16, any shape
        Contiguous.

    Returns
    -------
    ndarray of int64, shape (65536,)
        Pixels by pattern.
    """
    pixels = np.zeros(KEYS, np.int64)
    kernels.count_patterns(scores.ravel().view(np.uint16), pixels)
    return pixels
