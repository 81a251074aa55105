"""A threshold from the distribution of extreme values that the highest scores of normal photographs have.

Source: Fisher and Tippett, Limiting forms of the frequency distribution of the largest or smallest member of a sample,
Mathematical Proceedings of the Cambridge Philosophical Society 24 (1928).
"""

import math
from collections.abc import Collection

import numpy as np

from seamark.errors import DataError
from seamark.files.images import Float32Array
from seamark.manifests.masks import ThresholdRecord
from seamark.settings.binarize import EvtSettings

EULER_GAMMA = 0.5772156649015329
"""Mean of the standard Gumbel distribution."""


def gumbel_fit(peaks: Float32Array | list[float]) -> tuple[float, float]:
    """Fit a Gumbel distribution to maxima by its first two L-moments.

    Parameters
    ----------
    peaks : sequence of float, shape (n,)
        Maxima of equal blocks, n >= 2.

    Returns
    -------
    location, scale : float
        ``scale`` is l2 / ln 2 and ``location`` l1 - gamma * scale, with l1 the mean, l2 half the mean difference of
        two of the maxima (unbiased) and gamma Euler's constant.

    Raises
    ------
    DataError
        If there are fewer than two maxima, or all are equal.

    Notes
    -----
    Hosking, L-moments, Journal of the Royal Statistical Society B 52 (1990), table 1.

    Examples
    --------
    >>> location, scale = gumbel_fit([1.0, 3.0])
    >>> round(location, 3), round(scale, 3)
    (1.167, 1.443)
    """
    ordered = np.sort(np.asarray(peaks, np.float64))
    count = ordered.size
    if count < 2 or ordered[0] == ordered[-1]:
        raise DataError(
            f"an extreme-value fit needs normal images with at least two different peaks, found {count} image(s) with "
            f"{np.unique(ordered).size} peak(s); add validation images, or use binarize.mean_std"
        )
    first = math.fsum(ordered) / count
    second = 2.0 * math.fsum(ordered * np.arange(count)) / (count * (count - 1)) - first
    scale = second / math.log(2.0)
    return first - EULER_GAMMA * scale, scale


def evt_threshold(peaks: Collection[float], settings: EvtSettings) -> ThresholdRecord:
    """Return the score that the peak of a normal image exceeds at a given rate, if peaks follow a Gumbel distribution.

    Parameters
    ----------
    peaks : collection of float
        Highest scores of normal photographs, at least two different ones.
    settings : EvtSettings
        The rate.

    Returns
    -------
    ThresholdRecord
        ``location - scale * ln(-ln(1 - image_rate))`` of the fitted distribution.

    Raises
    ------
    DataError
        If the peaks do not suffice for a fit.

    Examples
    --------
    >>> threshold = evt_threshold([1.0, 1.4, 1.1, 1.3], EvtSettings(image_rate=0.05))
    >>> round(threshold.value, 2), threshold.promised_image_rate
    (1.6, 0.05)
    """
    location, scale = gumbel_fit(list(peaks))
    return ThresholdRecord(
        rule="evt",
        value=location - scale * math.log(-math.log1p(-settings.image_rate)),
        sees_test_images=False,
        promised_image_rate=settings.image_rate,
    )
