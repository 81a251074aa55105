"""Thresholds of anomaly maps: whose scores a rule looks at, which value it gives, what it promises of normal images.

Promises hold for one rule alone and for images like the normal ones that it saw; a union of several rules flags what
any of them flags. They are about coarse masks: erosion and the area filter can only flag fewer images.

Source: docs/methods/robis.md#mean-and-standard-deviation (mean + k std); the other rules are given where they stand.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from seamark.errors import DataError
from seamark.files.images import Float32Array
from seamark.manifests.calibration import ImageStatistics, SplitStatistics
from seamark.manifests.masks import ThresholdRecord
from seamark.maps.float16_scores import MAX_SCORE
from seamark.maps.normal_statistics import Photograph
from seamark.masks.extreme_values import evt_threshold
from seamark.masks.mebin import mebin_threshold
from seamark.settings.binarize import (
    BinarizeSettings,
    ConformalSettings,
    MeanStdSettings,
    PeaksSettings,
    QuantileSettings,
)

MAD_OF_NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True)
class ImageContext:
    """What the thresholds of one image may be derived from.

    Attributes
    ----------
    normal, split : SplitStatistics
        Statistics of the normal images that thresholds come from, and of the image's own split.
    base : float
        Mean score of the validation photographs, from which growth and trimming count heights.
    photographs : mapping of Photograph to float
        Highest score of each photograph that thresholds come from, as ``normal_photographs`` gives them.
    image : ImageStatistics
        Statistics of the image's own map.
    """

    normal: SplitStatistics
    split: SplitStatistics
    image: ImageStatistics
    base: float
    photographs: Mapping[Photograph, float]

    @property
    def is_test(self) -> bool:
        """Whether the image belongs to a test split."""
        return self.split.split.startswith("test")


def mean_std_threshold(context: ImageContext, settings: MeanStdSettings) -> ThresholdRecord:
    """Return mean + k population standard deviations over the pixels in scope.

    Source: docs/methods/robis.md#mean-and-standard-deviation.

    Parameters
    ----------
    context : ImageContext
        Statistics to choose from.
    settings : MeanStdSettings
        k and the scope.

    Returns
    -------
    ThresholdRecord
        Threshold in raw score units; ``sees_test_images`` unless the scope or the image is validation. It promises
        nothing, because scores have no known distribution.

    Examples
    --------
    >>> context.normal.mean, context.normal.std  # of an ImageContext
    (1.0, 0.5)
    >>> mean_std_threshold(context, MeanStdSettings(k=3.0)).value
    2.5
    """
    scopes = {"validation": context.normal, "split": context.split, "image": context.image}
    statistics = scopes[settings.scope]
    return ThresholdRecord(
        rule="mean_std",
        value=statistics.mean + settings.k * statistics.std,
        sees_test_images=settings.sees_test_images and context.is_test,
    )


def quantile_threshold(normal: SplitStatistics, settings: QuantileSettings) -> ThresholdRecord:
    """Return the score that at most a share of the normal pixels exceeds.

    Parameters
    ----------
    normal : SplitStatistics
        Statistics of normal images with this quantile among them.
    settings : QuantileSettings
        The quantile.

    Returns
    -------
    ThresholdRecord
        Half a float16 step above the quantile, because quantiles are those of scores rounded to float16: whatever
        lies above it was rounded to something higher; then multiplied by the factor. It promises a share of pixels,
        none of images, and nothing where the factor makes it lower.

    Examples
    --------
    >>> normal.quantiles  # of SplitStatistics
    {'0.999': 2.0}
    >>> quantile_threshold(normal, QuantileSettings(q=0.999)).value
    2.0009765625
    """
    low = np.float16(normal.quantiles[f"{settings.q:g}"])
    high = float(np.nextafter(low, np.float16(np.inf)))
    value = (float(low) + high) / 2.0 if high <= MAX_SCORE else MAX_SCORE
    return ThresholdRecord(
        rule="quantile",
        value=settings.factor * value,
        sees_test_images=False,
        promised_pixel_rate=1.0 - settings.q if settings.factor * value >= value else None,
    )


def conformal_threshold(peaks: Collection[float], settings: ConformalSettings) -> ThresholdRecord:
    """Return the score that the peak of a further normal image exceeds with a probability of at most alpha.

    Parameters
    ----------
    peaks : collection of float
        Highest scores of n normal photographs that the model which scored them was not trained with.
    settings : ConformalSettings
        alpha.

    Returns
    -------
    ThresholdRecord
        The k-th lowest peak, ``k = ceil((n + 1) * (1 - alpha))``. Holds for every n and every distribution of scores,
        on average over the choice of normal images, if they and the further one could have come in any order. Where
        models of folds scored the normal images and another one scores the further one, that is so only if models
        score alike what they have not seen.

    Raises
    ------
    DataError
        If n is below what alpha needs.

    Notes
    -----
    Split conformal prediction: Papadopoulos et al., Inductive confidence machines for regression, ECML 2002. On models
    of folds: Barber et al., Predictive inference with the jackknife+, Annals of Statistics 49 (2021).

    Examples
    --------
    >>> conformal_threshold([1.2, 1.0, 1.4, 1.1], ConformalSettings(alpha=0.4)).value
    1.2
    """
    count = len(peaks)
    if refusal := settings.refusal(count):
        raise DataError(refusal)
    return ThresholdRecord(
        rule="conformal",
        value=sorted(peaks)[settings.rank(count) - 1],
        sees_test_images=False,
        promised_image_rate=settings.alpha,
    )


def robust_fence(scores: Collection[float], k: float) -> float:
    """Return median + k * 1.4826 * MAD of at least one score: up to half of them can be anything without moving it far.

    Source: Rousseeuw and Croux, Alternatives to the median absolute deviation, Journal of the American Statistical
    Association 88 (1993), section 1.

    Examples
    --------
    >>> robust_fence([1.0, 2.0, 3.0, 4.0, 100.0], k=3.0)
    7.4478
    """
    middle = float(np.median(list(scores)))
    return middle + k * MAD_OF_NORMAL * float(np.median([abs(score - middle) for score in scores]))


def peaks_threshold(normal: SplitStatistics, settings: PeaksSettings) -> ThresholdRecord:
    """Return a quantile of the highest scores of the normal images, without those whose own one is odd.

    Odd is what lies more than k robust standard deviations (1.4826 times the median absolute deviation) above the
    median.

    Parameters
    ----------
    normal : SplitStatistics
        Statistics of normal images; every variant counts as an image.
    settings : PeaksSettings
        k and the share.

    Returns
    -------
    ThresholdRecord
        It promises nothing: what is left out could have been a rare normal image.

    Examples
    --------
    >>> [image.maximum for image in normal.images]  # of SplitStatistics
    [2.0, 2.25, 2.5, 2.75, 9.0]
    >>> peaks_threshold(normal, PeaksSettings(k=4.0, q=1.0)).value
    2.75
    """
    peaks = [image.maximum for image in normal.images]
    fence = robust_fence(peaks, settings.k)
    value = float(np.quantile([peak for peak in peaks if peak <= fence], settings.q))
    return ThresholdRecord(rule="peaks", value=value, sees_test_images=False)


def find_thresholds(
    scores: Float32Array, context: ImageContext, settings: BinarizeSettings
) -> tuple[ThresholdRecord, ...]:
    """Return the threshold of each enabled rule.

    Parameters
    ----------
    scores : ndarray of float32, shape (h, w)
        Raw scores of the image.
    context : ImageContext
        Statistics for the thresholds.
    settings : BinarizeSettings
        The rules.

    Returns
    -------
    tuple of ThresholdRecord
        In raw score units.

    Raises
    ------
    DataError
        If the normal images do not suffice for a rule.

    Examples
    --------
    >>> rules = BinarizeSettings(conformal=ConformalSettings(enabled=True, alpha=0.4))
    >>> [(one.rule, one.value) for one in find_thresholds(scores, context, rules)]
    [('mean_std', 2.5), ('conformal', 2.75)]
    """
    return tuple(
        threshold.model_copy(update={"normal": settings.normal}) if _from_normal(threshold, settings) else threshold
        for threshold in _thresholds(scores, context, settings)
    )


def _from_normal(threshold: ThresholdRecord, settings: BinarizeSettings) -> bool:
    if threshold.rule == "mean_std":
        return settings.mean_std.scope == "validation"
    return threshold.rule != "mebin"


def _thresholds(scores: Float32Array, context: ImageContext, settings: BinarizeSettings) -> Iterator[ThresholdRecord]:
    if settings.mean_std.enabled:
        yield mean_std_threshold(context, settings.mean_std)
    if settings.quantile.enabled:
        yield quantile_threshold(context.normal, settings.quantile)
    if settings.evt.enabled:
        yield evt_threshold(context.photographs.values(), settings.evt)
    if settings.conformal.enabled:
        yield conformal_threshold(context.photographs.values(), settings.conformal)
    if settings.peaks.enabled:
        yield peaks_threshold(context.normal, settings.peaks)
    if settings.mebin.enabled:
        value = mebin_threshold(scores, context.split, settings.mebin)
        yield ThresholdRecord(
            rule="mebin", value=value, sees_test_images=settings.mebin.sees_test_images and context.is_test
        )
