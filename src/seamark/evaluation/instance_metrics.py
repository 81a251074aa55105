"""Instance average precision (IAP) from counts per distinct score.

Source: docs/methods/mvtec_ad2.md#instance-average-precision.

An instance is a defect region; its score is the largest threshold at which more than half of its pixels are positive.
At the score of an instance, recall counts instances and precision counts pixels.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from seamark.files.images import Float64Array, IntegerArray


@dataclass(frozen=True)
class InstanceCurve:
    """Interpolated precision over recall, one point per distinct instance score.

    Parameters
    ----------
    precision : ndarray of float64, shape (m,)
        Best precision of "at least this score is defective" over this and all lower instance scores; ascending.
    instances : ndarray of integer, shape (m,)
        Instances with that score.
    """

    precision: Float64Array
    instances: IntegerArray

    @classmethod
    def of(cls, hits: IntegerArray, alarms: IntegerArray, instances: IntegerArray) -> "InstanceCurve":
        """Take the precision at every instance score; without a point where there is no instance.

        Parameters
        ----------
        hits, alarms : ndarray of integer, shape (n,)
            Defect and good pixels of all images with at least each distinct score, scores ascending. Defect pixels are
            those of the truth, so scores may be zero or negative.
        instances : ndarray of integer, shape (n,)
            Instances with that score.
        """
        scored = np.flatnonzero(instances)
        found = hits[scored]
        return cls(np.maximum.accumulate(found / (found + alarms[scored])), instances[scored])

    def average(self) -> float | None:
        """Return the mean precision over all instances (IAP), in 0..1; None without an instance."""
        if not self.instances.size:
            return None
        return float(np.dot(self.precision, self.instances)) / int(self.instances.sum())

    def at(self, recall: float) -> float | None:
        """Return the precision, 0..1, at the smallest recall of instances, in (0, 1], of at least ``recall`` (IAP@k).

        The recall is the decimal number that it is written as: 0.07 of 100 instances are 7. None without an instance.
        """
        if not self.instances.size:
            return None
        total = int(self.instances.sum())
        missed = total - math.ceil(Fraction(str(recall)) * total)
        return float(self.precision[np.searchsorted(np.cumsum(self.instances), missed, side="right")])
