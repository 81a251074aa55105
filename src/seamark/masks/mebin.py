"""MEBin: the threshold at which the number of components stays constant the longest.

Source: docs/methods/robis.md#mebin and docs/methods/robis.md#counting-in-one-pass. It differs from the released code in
that all arithmetic is float64 and that a map without a stable interval gets no threshold instead of the number 255.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
import numpy.typing as npt

from seamark.files.images import Float32Array
from seamark.manifests.calibration import SplitStatistics
from seamark.masks.component_tree import component_counts, first_steps
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


@dataclass(frozen=True)
class PeakScale:
    """The scale 0..255 that thresholds are sampled on: from the weakest to the strongest peak of a split.

    Attributes
    ----------
    weakest, strongest : float
        Smallest and largest of the peaks of all maps of the split, on the scale of the released maps.
    origin, unit : float
        Raw score at 0, and raw scores per unit, of the scale of the released maps.
    """

    weakest: float
    strongest: float
    origin: float = 0.0
    unit: float = 1.0

    @classmethod
    def of(cls, split: SplitStatistics, settings: MebinSettings) -> "PeakScale":
        """Take the scale of a split.

        Raw scores are brought to the scale of the released maps by the range of the split
        (docs/methods/robis.md#merging-as-released, step 3, in float64).
        """
        robis = settings.scores == "robis"
        origin = 0.0 if robis else split.minimum
        unit = 1.0 if robis else (split.maximum - split.minimum + 1e-8) / SCALE
        peaks = [(image.maximum - origin) / unit for image in split.images]
        return cls(min(peaks), max(peaks), origin, unit)

    @property
    def spread(self) -> float:
        """Distance of the two peaks; 0 when all maps have the same."""
        return self.strongest - self.weakest

    def levels_of(self, scores: Float32Array) -> npt.NDArray[np.float64]:
        """Bring raw scores to 0..255; what lies below the weakest peak becomes 0."""
        robis = (scores.astype(np.float64) - self.origin) / self.unit
        return np.where(robis < self.weakest, 0.0, (robis - self.weakest) / self.spread * SCALE)

    def score_at(self, level: float, *, truncate: bool) -> float:
        """Bring a level of 0..255 back to raw scores, on request by way of an integer of the released scale."""
        robis = level * self.spread / SCALE + self.weakest
        return (float(np.trunc(robis)) if truncate else robis) * self.unit + self.origin


@lru_cache(maxsize=64)
def entry_scores(scale: PeakScale, sample_rate: int) -> Float32Array:
    """Find the smallest raw score above each sampled threshold.

    The search runs over the float32 numbers in order, so that ``scores >= entry_scores(...)[k]`` is ``levels > s_k``
    with the levels in float64, bit by bit, without a float64 copy of the map.

    Parameters
    ----------
    scale : PeakScale
        Scale with a positive spread.
    sample_rate : int
        Step between the thresholds 255, 255 - rate, ... above 0.

    Returns
    -------
    ndarray of float32, shape (n,)
        From the highest threshold to the lowest, infinite above the largest number; 64 numbers for a rate of 4.
    """
    thresholds = np.arange(int(SCALE), 0, -sample_rate, dtype=np.float64)
    above = np.full(thresholds.size, _in_order(np.float32(np.inf)))
    below = np.full(thresholds.size, _in_order(np.finfo(np.float32).min))
    while (above - below).max() > 1:
        middle = (above + below) // 2
        exceeds = scale.levels_of(_from_order(middle)) > thresholds
        above, below = np.where(exceeds, middle, above), np.where(exceeds, below, middle)
    return _from_order(above)


def _in_order(score: np.float32) -> int:
    """Return the number of a float32 in ascending order."""
    bits = int(score.view(np.int32))
    return bits if bits >= 0 else bits ^ 0x7FFFFFFF


def _from_order(numbers: npt.NDArray[np.int64]) -> Float32Array:
    bits = np.where(numbers >= 0, numbers, numbers ^ 0x7FFFFFFF)
    return bits.astype(np.int32).view(np.float32)


def stable_threshold(scores: Float32Array, scale: PeakScale, settings: MebinSettings) -> float | None:
    """Find the MEBin threshold of one map.

    Takes 5 bytes a pixel beside the map. A map whose eroded peak lies below what a run of ``min_interval`` steps
    needs is not counted at all.

    Parameters
    ----------
    scores : ndarray of float32, shape (H, W)
        Raw scores, not eroded.
    scale : PeakScale
        Scale of the split.
    settings : MebinSettings
        Sampling, shortest run, erosion, truncation.

    Returns
    -------
    float or None
        Threshold on the eroded raw scores, to be exceeded; None when no number of components is stable, as in the map
        with the weakest peak and where all peaks are equal.
    """
    if scale.spread <= 0.0:
        return None
    entries = entry_scores(scale, settings.sample_rate)
    steps = first_steps(scores, entries, settings.erode_px)
    if int(steps.min()) + settings.min_interval > entries.size:
        return None
    interval = choose_interval(component_counts(steps, entries.size), settings.min_interval)
    if interval is None:
        return None
    return scale.score_at(SCALE - settings.sample_rate * interval.end, truncate=settings.truncate)


def mebin_threshold(scores: Float32Array, split: SplitStatistics, settings: MebinSettings) -> float | None:
    """Find the MEBin threshold of one map of a split in raw score units; see :func:`stable_threshold`.

    Parameters
    ----------
    scores : ndarray of float32, shape (H, W)
        Raw scores at the size of the map, not eroded.
    split : SplitStatistics
        Range of the split and the peak of each of its maps.
    settings : MebinSettings
        Scale of the scores, sampling, shortest run, erosion, truncation.

    Returns
    -------
    float or None
        Threshold on the eroded raw scores, to be exceeded; None when there is none.
    """
    return stable_threshold(scores, PeakScale.of(split, settings), settings)
