"""MEBin: the threshold at which the number of components stays constant the longest.

Source: RoBiS specification section E.2; a plain reference implementation for one image after the other. It differs
from the released code in that all arithmetic is float64 and that a map without a stable interval gets no threshold
instead of the number 255.
"""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from seamark.components import count_components
from seamark.images import Float32Array
from seamark.manifests.calibration import SplitStatistics
from seamark.settings.binarize import MebinSettings

SCALE = 255.0
"""Top of the scale that MEBin is defined on."""


@dataclass(frozen=True)
class StableInterval:
    """A run of thresholds with the same number of components.

    Attributes
    ----------
    start, end : int
        First and last step, both inclusive; step k has threshold ``255 - k * sample_rate``.
    count : int
        Components at each of these steps.
    """

    start: int
    end: int
    count: int

    @property
    def weight(self) -> int:
        """Length that intervals are compared by."""
        return self.end - self.start


def intervals_of(counts: list[int], min_interval: int) -> list[StableInterval]:
    """Split a count sequence into maximal constant runs without zero, at least ``min_interval`` steps long."""
    intervals = []
    start = 0
    for count, run in groupby(counts):
        length = len(list(run))
        if count and length >= min_interval:
            intervals.append(StableInterval(start, start + length - 1, count))
        start += length
    return intervals


def choose_interval(counts: list[int], min_interval: int) -> StableInterval | None:
    """Choose the interval that the threshold is taken from.

    The number of components with the longest run wins, on a tie the number that occurs first from the top; of its runs
    the longest wins, on a tie the last.

    Parameters
    ----------
    counts : list of int
        Components at each step, from the highest threshold to the lowest.
    min_interval : int
        Shortest run that counts, in steps.

    Returns
    -------
    StableInterval or None
        None when no run is long enough.
    """
    intervals = intervals_of(counts, min_interval)
    if not intervals:
        return None
    by_count: dict[int, list[StableInterval]] = {}
    for interval in intervals:
        by_count.setdefault(interval.count, []).append(interval)
    winners = max(by_count.values(), key=lambda runs: max(run.weight for run in runs))
    return max(reversed(winners), key=lambda run: run.weight)


def component_counts(eroded: npt.NDArray[np.float64], sample_rate: int) -> list[int]:
    """Count the 8-connected components above each sampled threshold.

    Parameters
    ----------
    eroded : ndarray of float64, shape (H, W)
        Eroded scores on the 0..255 scale.
    sample_rate : int
        Step between thresholds 255, 255 - rate, ... above 0.

    Returns
    -------
    list of int
        From the highest threshold to the lowest; 64 numbers for a rate of 4.
    """
    levels = range(int(SCALE), 0, -sample_rate)
    candidates = eroded > levels[-1]
    if not candidates.any():
        return [0] * len(levels)
    rows, columns = np.flatnonzero(candidates.any(axis=1)), np.flatnonzero(candidates.any(axis=0))
    window = eroded[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    peak = window.max()
    return [count_components(window > level) if level < peak else 0 for level in levels]


def scaled_threshold(
    eroded: npt.NDArray[np.float64], weakest: float, strongest: float, settings: MebinSettings
) -> float | None:
    """Find the MEBin threshold of one map on the 0..255 scale.

    Parameters
    ----------
    eroded : ndarray of float64, shape (H, W)
        Eroded map on the 0..255 scale.
    weakest, strongest : float
        Smallest and largest of the peaks of all maps of the split.
    settings : MebinSettings
        Sampling, shortest run, truncation.

    Returns
    -------
    float or None
        ``eroded > threshold`` is the mask; None when no number of components is stable, as in the map with the
        weakest peak and where all peaks are equal.
    """
    spread = float(strongest) - float(weakest)
    if spread <= 0.0:
        return None
    relative = np.where(eroded < weakest, 0.0, (eroded - weakest) / spread * SCALE)
    interval = choose_interval(component_counts(relative, settings.sample_rate), settings.min_interval)
    if interval is None:
        return None
    threshold = (SCALE - settings.sample_rate * interval.end) * spread / SCALE + weakest
    return float(np.trunc(threshold)) if settings.truncate else threshold


def mebin_threshold(eroded: Float32Array, split: SplitStatistics, settings: MebinSettings) -> float | None:
    """Find the MEBin threshold of one map in raw score units.

    The minimum and maximum of the split carry the raw scores to the 0..255 scale (RoBiS specification section C.10,
    step 5, in float64) and the threshold back.

    Parameters
    ----------
    eroded : ndarray of float32, shape (H, W)
        Raw scores at the size of the map after :func:`seamark.components.erode_scores`.
    split : SplitStatistics
        Range of the split and the peak of each of its maps.
    settings : MebinSettings
        Sampling, shortest run, truncation.

    Returns
    -------
    float or None
        Threshold on the eroded raw scores; None when there is none.
    """
    unit = (split.maximum - split.minimum + 1e-8) / SCALE
    peaks = [(image.maximum - split.minimum) / unit for image in split.images]
    scaled = (eroded.astype(np.float64) - split.minimum) / unit
    threshold = scaled_threshold(scaled, min(peaks), max(peaks), settings)
    return None if threshold is None else threshold * unit + split.minimum
