"""Compiled loops over the bit patterns of scores; importing this module imports numba."""

import numpy as np
import numpy.typing as npt

from seamark.compiled_loops import compiled, inlined

UInt16Array = npt.NDArray[np.uint16]
UInt32Array = npt.NDArray[np.uint32]
UInt64Array = npt.NDArray[np.uint64]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

BLOCK_PX = 1024
SMALLEST_NORMAL = 113
"""Exponent field of the float32 2**-14, the smallest float16 whose leading 1 is not stored."""
PAGE_WORDS = 1 << 10
"""64-bit words with one bit for each of the 65,536 float32 patterns that share their upper half."""


@inlined
def round_block(patterns: UInt32Array, rounded: UInt16Array) -> None:
    """Round float32 to the nearest float16, to the even one of two; both are bit patterns.

    A float16 drops the lowest 13 bits and moves the exponent by 112; each halving below 2**-14 one more.
    """
    for column in range(patterns.size):
        magnitude = patterns[column] & np.uint32(0x7FFFFFFF)
        exponent = magnitude >> np.uint32(23)
        normal = exponent >= np.uint32(SMALLEST_NORMAL)
        dropped = np.uint32(13) if normal else min(np.uint32(126) - exponent, np.uint32(25))
        kept = magnitude - np.uint32(112 << 23) if normal else magnitude & np.uint32(0x7FFFFF) | np.uint32(1 << 23)
        almost_half = (np.uint32(1) << (dropped - np.uint32(1))) - np.uint32(1)
        bits = (kept + almost_half + ((kept >> dropped) & np.uint32(1))) >> dropped
        rounded[column] = bits | ((patterns[column] >> np.uint32(16)) & np.uint32(0x8000))


@compiled
def round_and_count(patterns: UInt32Array, rounded: UInt16Array, pixels: Int64Array, pages: Int64Array) -> int:
    """Round scores to float16 and count patterns before and after.

    Parameters
    ----------
    patterns : ndarray of uint32, shape (n,)
        Bits of float32 scores of magnitude 65504 at most.
    rounded : ndarray of uint16, shape (n,)
        Receives the bits of the float16 scores.
    pixels : ndarray of int64, shape (65536,)
        Zeros; receives how often each pattern occurs after rounding.
    pages : ndarray of int64, shape (65536,)
        Zeros; receives how often each upper half of a pattern occurs before rounding.

    Returns
    -------
    int
        Scores that are 0 before rounding.
    """
    zeros = 0
    for start in range(0, patterns.size, BLOCK_PX):
        block, target = patterns[start : start + BLOCK_PX], rounded[start : start + BLOCK_PX]
        round_block(block, target)
        for column in range(block.size):
            pixels[target[column]] += 1
            pages[block[column] >> np.uint32(16)] += 1
            zeros += int(block[column] & np.uint32(0x7FFFFFFF) == 0)
    return zeros


@compiled
def count_patterns(patterns: UInt16Array, pixels: Int64Array) -> None:
    """Add to ``pixels``, shape (65536,), how often each 16-bit pattern occurs."""
    for column in range(patterns.size):
        pixels[patterns[column]] += 1


@compiled
def count_distinct(patterns: UInt32Array, slots: Int32Array, seen: UInt64Array) -> int:
    """Count the distinct patterns of some pages.

    Parameters
    ----------
    patterns : ndarray of uint32, shape (n,)
        Bits of float32 scores; the pattern of -0 counts as that of +0.
    slots : ndarray of int32, shape (65536,)
        Number of each page, which is the upper half of a pattern, in ``seen``; -1 for pages that do not count.
    seen : ndarray of uint64, shape (pages * PAGE_WORDS,)
        Zeros; receives a bit for every pattern.

    Returns
    -------
    int
        Distinct patterns.
    """
    distinct = 0
    for column in range(patterns.size):
        pattern = patterns[column]
        pattern = np.uint32(0) if pattern == np.uint32(1 << 31) else pattern
        slot = slots[pattern >> np.uint32(16)]
        if slot >= 0:
            word = slot * PAGE_WORDS + ((pattern >> np.uint32(6)) & np.uint32(PAGE_WORDS - 1))
            bit = np.uint64(1) << np.uint64(pattern & np.uint32(63))
            distinct += int(seen[word] & bit == 0)
            seen[word] |= bit
    return distinct
