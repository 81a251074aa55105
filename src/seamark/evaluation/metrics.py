"""Exact metrics of anomaly maps and masks from counts that add up over images.

All ranking metrics work on the scores rounded to float16, which is what the benchmark receives. Every state is a set of
counts per distinct score, so images can be counted in any order, in parts and on several cores, and the parts added
(docs/methods/mvtec_ad2.md#counting-scores). All counts are integers and exact; only the region weights 1/size are
floats, so AucPro depends on the order of the images by less than 1e-12 and everything else not at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seamark.errors import DataError
from seamark.evaluation.instance_metrics import InstanceCurve
from seamark.evaluation.regions import Regions, require_same_shape
from seamark.files.images import BoolArray, Float32Array, Float64Array, IntegerArray
from seamark.maps.float16_scores import KEYS, key_scores, score_keys

_EXACT_PAIRS = 1 << 62
"""So many pairs, counted twice, still fit into 64 bits."""


def f1_score(true_positive: int, false_positive: int, false_negative: int) -> float | None:
    """Return 2 TP / (2 TP + FP + FN), or None when nothing is positive in either truth or prediction.

    Examples
    --------
    >>> f1_score(true_positive=3, false_positive=1, false_negative=1), f1_score(0, 0, 0)
    (0.75, None)
    """
    total = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / total if total else None


@dataclass(frozen=True)
class MaskCounts:
    """Agreement of predicted masks with the truth, in pixels and in images, as counts that add up over images.

    An image counts as anomalous when any of its pixels is foreground.

    Examples
    --------
    >>> truth, mask = np.zeros((2, 4, 6), dtype=bool)
    >>> truth[1:3, 1:3] = mask[1:3, 2:4] = True
    >>> good = np.zeros((4, 6), dtype=bool)
    >>> counts = MaskCounts.of(mask, truth) + MaskCounts.of(good, good)
    >>> counts.seg_f1(), counts.class_f1()
    (0.5, 1.0)
    """

    true_positive_px: int = 0
    false_positive_px: int = 0
    false_negative_px: int = 0
    true_positive_images: int = 0
    false_positive_images: int = 0
    false_negative_images: int = 0

    @classmethod
    def of(cls, prediction: BoolArray, truth: BoolArray) -> "MaskCounts":
        """Count one image from masks that are True where defective, bool (H, W); DataError if their shapes differ."""
        require_same_shape(prediction, truth, "predicted mask")
        hit = int(np.count_nonzero(prediction & truth))
        predicted, defective = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
        flagged, bad = predicted > 0, defective > 0
        return cls(
            hit,
            predicted - hit,
            defective - hit,
            int(flagged and bad),
            int(flagged and not bad),
            int(bad and not flagged),
        )

    def __add__(self, other: "MaskCounts") -> "MaskCounts":
        """Pool the images of both."""
        return MaskCounts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def of_label(self, *, bad: bool) -> "MaskCounts":
        """Return the counts of one image, without its pixels, for another label; it must be counted as good."""
        flagged = self.false_positive_images > 0
        return MaskCounts(0, 0, 0, int(flagged and bad), int(flagged and not bad), int(bad and not flagged))

    def seg_f1(self) -> float | None:
        """Return the F1 of all pixels pooled, good images included.

        None when nothing is positive, and when no bad image has a truth of its pixels.
        """
        bad_images = self.true_positive_images + self.false_negative_images
        if bad_images and not self.true_positive_px + self.false_negative_px:
            return None
        return f1_score(self.true_positive_px, self.false_positive_px, self.false_negative_px)

    def class_f1(self) -> float | None:
        """Return the F1 over images, derived from the masks as the server does; None when nothing is positive."""
        return f1_score(self.true_positive_images, self.false_positive_images, self.false_negative_images)


@dataclass(frozen=True)
class ScoreCounts:
    """How often each distinct score occurs on good pixels, defect pixels and images; adds up over images.

    An image whose pixels have no truth counts by its largest score alone.

    Parameters
    ----------
    keys : ndarray of uint16, shape (n,)
        Distinct scores in ascending order, as keys of :func:`seamark.maps.float16_scores.score_keys`; at most 63,488.
    negatives, positives : ndarray of int64, shape (n,)
        Good and defect pixels with that score.
    region_weight : ndarray of float64, shape (n,)
        Sum over the defect pixels with that score of 1 / size of their region in px; regions are 8-connected.
    good_images, bad_images : ndarray of int64, shape (n,)
        Images whose largest score it is, good and bad.
    instances : ndarray of int64, shape (n,)
        Defect regions whose instance score it is: more than half of their pixels reach it, but no higher score.
    regions : int
        Defect regions of all images.

    Examples
    --------
    >>> truth = np.zeros((4, 6), dtype=bool)
    >>> truth[1:3, 1:3] = True
    >>> scores = np.where(truth, 0.75, 0.25).astype(np.float32)
    >>> bad = ScoreCounts.of(scores, truth)
    >>> good = ScoreCounts.of(np.full((4, 6), 0.5, np.float32), np.zeros((4, 6), dtype=bool))
    >>> counts = ScoreCounts.pooled([bad, good])
    >>> counts.images, counts.auc_pro(0.05), counts.pixel_ap(), counts.image_auroc(), counts.oracle_threshold()
    (2, 1.0, 1.0, 1.0, 0.75)
    """

    keys: npt.NDArray[np.uint16]
    negatives: IntegerArray
    positives: IntegerArray
    region_weight: Float64Array
    good_images: IntegerArray
    bad_images: IntegerArray
    instances: IntegerArray
    regions: int

    @classmethod
    def of(cls, anomaly_map: Float32Array, truth: BoolArray, regions: Regions | None = None) -> "ScoreCounts":
        """Count one image.

        Parameters
        ----------
        anomaly_map : ndarray of float32, shape (H, W)
            Finite scores within the range of float16, higher is more anomalous.
        truth : ndarray of bool, shape (H, W)
            True where defective.
        regions : Regions, optional
            Those of the truth, where they are known already.

        Raises
        ------
        DataError
            If the shapes differ, the map is empty, or a score is not finite or does not fit into float16.
        """
        require_same_shape(anomaly_map, truth, "anomaly map")
        regions = Regions.of(truth) if regions is None else regions
        keys = score_keys(anomaly_map)
        defect_keys = keys[truth]
        pixels = np.bincount(keys.ravel(), minlength=KEYS)
        positives = np.bincount(defect_keys, minlength=KEYS)
        weight = np.bincount(defect_keys, regions.pixel_weights(), KEYS).astype(np.float64, copy=False)
        instances = np.bincount(regions.majority_keys(defect_keys), minlength=KEYS)
        used = np.flatnonzero(pixels)
        peak = (used == used[-1]).astype(np.int64)
        return cls(
            keys=used.astype(np.uint16),
            negatives=(pixels - positives)[used],
            positives=positives[used],
            region_weight=weight[used],
            good_images=peak * int(regions.count == 0),
            bad_images=peak * int(regions.count > 0),
            instances=instances[used],
            regions=regions.count,
        )

    def of_label(self, *, bad: bool) -> "ScoreCounts":
        """Return the counts of one image, without its pixels and defects, for a label: its largest score alone."""
        none, one = np.zeros(1, np.uint8), np.ones(1, np.uint8)
        good_images, bad_images = (none, one) if bad else (one, none)
        return ScoreCounts(self.keys[-1:], none, none, np.zeros(1), good_images, bad_images, none, 0)

    @classmethod
    def pooled(cls, parts: Iterable["ScoreCounts"]) -> "ScoreCounts":
        """Add up any number of counts, in the order given; none give the counts of no image."""
        integers = np.zeros((5, KEYS), dtype=np.int64)
        weight = np.zeros(KEYS)
        regions = 0
        for part in parts:
            counts = (part.negatives, part.positives, part.good_images, part.bad_images, part.instances)
            integers[:, part.keys] += counts
            weight[part.keys] += part.region_weight
            regions += part.regions
        used = np.flatnonzero(integers[:4].any(axis=0))
        negatives, positives, good, bad, instances = integers[:, used]
        return cls(used.astype(np.uint16), negatives, positives, weight[used], good, bad, instances, regions)

    def __add__(self, other: "ScoreCounts") -> "ScoreCounts":
        """Pool the images of both."""
        return ScoreCounts.pooled((self, other))

    def compact(self) -> "ScoreCounts":
        """Return the same counts in the narrowest integers that hold them, for keeping those of many images."""
        return replace(
            self,
            negatives=_narrowed(self.negatives),
            positives=_narrowed(self.positives),
            good_images=_narrowed(self.good_images),
            bad_images=_narrowed(self.bad_images),
            instances=_narrowed(self.instances),
        )

    @cached_property
    def _hits(self) -> IntegerArray:
        """Defect pixels with at least each score, scores descending."""
        return np.cumsum(self.positives[::-1])

    @cached_property
    def _alarms(self) -> IntegerArray:
        """Good pixels with at least each score, scores descending."""
        return np.cumsum(self.negatives[::-1])

    @cached_property
    def _f1_curve(self) -> Float64Array:
        """F1 over all pixels with each score as threshold, scores descending; there must be a defect pixel."""
        return 2 * self._hits / (int(self.positives.sum()) + self._hits + self._alarms)

    @cached_property
    def _instance_curve(self) -> InstanceCurve:
        return InstanceCurve.of(self._hits[::-1], self._alarms[::-1], self.instances)

    @property
    def images(self) -> int:
        """Number of images counted."""
        return int(self.good_images.sum() + self.bad_images.sum())

    @property
    def bad(self) -> int:
        """Number of bad images."""
        return int(self.bad_images.sum())

    def peak(self) -> float:
        """Return the largest score, rounded to float16; DataError if no image has been counted."""
        if not self.keys.size:
            raise DataError("no largest score: no image has been counted")
        return float(key_scores()[self.keys[-1]])

    def auc_pro(self, fpr_limit: float) -> float | None:
        """Return the area under the per-region overlap up to a false-positive rate, divided by that limit, 0..1.

        The limit is in (0, 1]; the benchmark uses 0.05. None without a defect region or without a good pixel
        (docs/methods/mvtec_ad2.md#aucpro).
        """
        good_px = int(self.negatives.sum())
        if self.regions == 0 or good_px == 0:
            return None
        false_positive_rate = self._alarms / good_px
        overlap = np.minimum(np.cumsum(self.region_weight[::-1]) / self.regions, 1.0)
        rates = np.concatenate(([0.0], false_positive_rate, [1.0]))
        return _area_up_to(rates, np.concatenate(([0.0], overlap, [1.0])), fpr_limit) / fpr_limit

    def pixel_auroc(self) -> float | None:
        """Return the area under the ROC curve over all pixels, ties counted half; None when one class has no pixel."""
        return _auroc(self.negatives, self.positives)

    def pixel_ap(self) -> float | None:
        """Return the average precision over all pixels, step-wise, without interpolation; None without a defect pixel.

        The precision at every distinct score is weighted by the recall that it adds.
        """
        total = int(self.positives.sum())
        if total == 0:
            return None
        precision = self._hits / np.maximum(self._hits + self._alarms, 1)
        return float(np.dot(precision, self.positives[::-1])) / total

    def oracle_seg_f1(self) -> float | None:
        """Return the best SegF1 that one threshold could reach with the truth at hand; None without a defect pixel.

        Pixels whose score is at least the threshold count as defective, good images included.
        """
        return float(self._f1_curve.max()) if self.positives.any() else None

    def oracle_threshold(self) -> float | None:
        """Return the threshold of the oracle SegF1 in raw score units, the highest of equal ones."""
        return float(key_scores()[self.keys[::-1][self._f1_curve.argmax()]]) if self.positives.any() else None

    def iap(self) -> float | None:
        """Return the instance average precision; None without a defect region."""
        return self._instance_curve.average()

    def iap_at(self, recall: float) -> float | None:
        """Return the interpolated precision at a recall of instances, in (0, 1]; None without a defect region."""
        return self._instance_curve.at(recall)

    def image_auroc(self) -> float | None:
        """Return the area under the ROC curve over images scored by their maximum; None when one class has no image."""
        return _auroc(self.good_images, self.bad_images)

    def class_f1_floor(self) -> float | None:
        """Return the ClassF1 of calling every image anomalous; None without an image."""
        return f1_score(self.bad, self.images - self.bad, 0)


def _narrowed(counts: IntegerArray) -> IntegerArray:
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _area_up_to(x: Float64Array, y: Float64Array, limit: float) -> float:
    """Integrate by trapezoids from 0 to ``limit``, cutting the last one by linear interpolation; ``x`` ends at 1."""
    inside = int(np.searchsorted(x, limit, side="right"))
    area = float(np.sum(np.diff(x[:inside]) * (y[1:inside] + y[: inside - 1]) / 2.0))
    start = float(x[inside - 1])
    if start < limit:
        slope = float((y[inside] - y[inside - 1]) / (x[inside] - start))
        area += (limit - start) * (float(y[inside - 1]) + slope * (limit - start) / 2.0)
    return area


def _auroc(negatives: IntegerArray, positives: IntegerArray) -> float | None:
    """Return the exact share of (negative, positive) pairs that are ordered rightly, ties counted half."""
    pairs = int(negatives.sum()) * int(positives.sum())
    if pairs == 0:
        return None
    doubled_below = 2 * np.cumsum(negatives) - negatives
    if pairs < _EXACT_PAIRS:
        return int(np.dot(positives, doubled_below)) / (2 * pairs)
    # Two gigapixels can reach more pairs than 64 bits hold; Python's integers do not overflow.
    return sum(map(int.__mul__, positives.tolist(), doubled_below.tolist())) / (2 * pairs)
