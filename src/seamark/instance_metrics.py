"""Instance average precision (IAP) from counts per distinct score (URD and PFADSeg specification section 5).

An instance is a defect region; its score is the largest threshold at which more than half of its pixels are positive.
At the score of an instance, recall counts instances and precision counts pixels.
"""

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


def interpolated_precision(negatives: Int64Array, positives: Int64Array, instances: Int64Array) -> Float64Array:
    """Return the best precision that any instance score up to each score gives.

    Parameters
    ----------
    negatives, positives : ndarray of int64, shape (n,)
        Good and defect pixels per distinct score, scores ascending.
    instances : ndarray of int64, shape (n,)
        Instances with that score.

    Returns
    -------
    ndarray of float64, shape (n,)
        Precision of "at least this score is defective", over the scores that an instance has, as a running maximum;
        0 below the first of them. Defect pixels are counted by the truth, so scores may be zero or negative.
    """
    hits = np.cumsum(positives[::-1])[::-1]
    alarms = np.cumsum(negatives[::-1])[::-1]
    precision = np.where(instances > 0, hits / np.maximum(hits + alarms, 1), 0.0)
    return np.maximum.accumulate(precision)


def instance_average_precision(negatives: Int64Array, positives: Int64Array, instances: Int64Array) -> float | None:
    """Return the mean over all instances of the interpolated precision at their score.

    Parameters
    ----------
    negatives, positives, instances : ndarray of int64, shape (n,)
        As for :func:`interpolated_precision`.

    Returns
    -------
    float or None
        In 0..1; None without an instance.
    """
    total = int(instances.sum())
    if total == 0:
        return None
    return float(np.dot(interpolated_precision(negatives, positives, instances), instances)) / total


def instance_precision_at(
    negatives: Int64Array, positives: Int64Array, instances: Int64Array, recall: float
) -> float | None:
    """Return the interpolated precision at the smallest recall of instances that is at least ``recall`` (IAP@k).

    Parameters
    ----------
    negatives, positives, instances : ndarray of int64, shape (n,)
        As for :func:`interpolated_precision`.
    recall : float
        In (0, 1], taken as the decimal number that it is written as: 0.07 of 100 instances are 7.

    Returns
    -------
    float or None
        In 0..1; None without an instance.
    """
    total = int(instances.sum())
    if total == 0:
        return None
    missed = total - math.ceil(Fraction(str(recall)) * total)
    score = int(np.searchsorted(np.cumsum(instances), missed, side="right"))
    return float(interpolated_precision(negatives, positives, instances)[score])
