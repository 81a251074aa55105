"""docs/methods/robis.md#binarisation to the letter: a sweep of 64 thresholds for MEBin, each eroded and labelled anew.

Maps are float16 on the scale 0..255, as the released merge leaves them, and so is the arithmetic of step 2.
"""

from collections.abc import Sequence
from itertools import groupby

import cv2
import numpy as np
import numpy.typing as npt

Float16Array = npt.NDArray[np.float16]
UInt8Array = npt.NDArray[np.uint8]
SQUARE = np.ones((6, 6), np.uint8)
RATE = 4
SHORTEST = 4


def stretch(scores: npt.NDArray[np.float32], lowest: float, highest: float) -> Float16Array:
    """Carry a map to 0..255 with the range of its split."""
    return ((scores - lowest) / (highest - lowest + 1e-8) * 255.0).astype(np.float16)


def binary(scores: Float16Array, threshold: float) -> UInt8Array:
    """Return the eroded mask of what lies above a threshold."""
    return np.asarray(cv2.erode(np.where(scores > threshold, 255, 0).astype(np.uint8), SQUARE), np.uint8)


def mean_std_threshold(maps: Sequence[Float16Array]) -> float:
    """Return mean + 3 std over all pixels of all maps."""
    pixels = np.concatenate([one.ravel() for one in maps]).astype(np.float32) / np.float32(255)
    return float((pixels.mean() + 3.0 * pixels.std()) * 255.0)


def component_counts(scores: Float16Array, weakest: float, strongest: float) -> list[int]:
    """Count the components of the eroded mask at each of 64 thresholds."""
    spread = np.float16(strongest - weakest)
    relative = np.where(scores < weakest, np.float16(0), (scores - np.float16(weakest)) / spread * np.float16(255))
    return [
        cv2.connectedComponents(cv2.erode((relative > 255 - RATE * step).astype(np.uint8), SQUARE), connectivity=8)[0]
        - 1
        for step in range(64)
    ]


def mebin_threshold(scores: Float16Array, weakest: float, strongest: float) -> float:
    """Return the lowest threshold of the longest run of equal counts; 255 where no run is long enough."""
    if strongest <= weakest:
        return 255.0
    runs: list[tuple[int, int, int]] = []
    step = 0
    for count, members in groupby(component_counts(scores, weakest, strongest)):
        length = len(list(members))
        if count > 0 and length >= SHORTEST:
            runs.append((count, step, step + length - 1))
        step += length
    if not runs:
        return 255.0
    longest: dict[int, int] = {}
    for count, start, end in runs:
        longest[count] = max(longest.get(count, -1), end - start)
    chosen = max(longest, key=lambda count: longest[count])
    end = [end for count, start, end in runs if count == chosen and end - start == longest[chosen]][-1]
    return float(int((255 - RATE * end) * (strongest - weakest) / 255.0 + weakest))


def coarse_mask(scores: Float16Array, split_threshold: float, weakest: float, strongest: float) -> UInt8Array:
    """Return the union of both rules, 0 or 255."""
    return binary(scores, split_threshold) | binary(scores, mebin_threshold(scores, weakest, strongest))
