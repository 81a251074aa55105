"""Floors of defects: the lower scores down to which components reach around what the thresholds found."""

from collections.abc import Collection

import numpy as np

from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.masks import ThresholdRecord
from seamark.masks.thresholds import ImageContext
from seamark.settings.binarize import BinarizeSettings, ClosingSettings, ExtentSettings


def growing_threshold(
    thresholds: tuple[ThresholdRecord, ...], context: ImageContext, settings: BinarizeSettings
) -> ThresholdRecord | None:
    """Return the lower threshold down to which components grow around what the rules found.

    Parameters
    ----------
    thresholds : tuple of ThresholdRecord
        Those of the rules.
    context : ImageContext
        Statistics, with the score that heights are counted from.
    settings : BinarizeSettings
        ``grow_share``, 1 for none.

    Returns
    -------
    ThresholdRecord or None
        A share of the height of the lowest threshold; None without growth, or where no rule found a threshold above
        the validation mean.
    """
    lowest, base = lowest_threshold(thresholds), context.base
    if settings.grow_share == 1.0 or lowest is None or lowest.value is None or lowest.value <= base:
        return None
    value = base + settings.grow_share * (lowest.value - base)
    return ThresholdRecord(rule="grow", value=value, sees_test_images=lowest.sees_test_images, normal=lowest.normal)


def closing_floor(lowest: ThresholdRecord, settings: ClosingSettings) -> ThresholdRecord:
    """Return the score that no pixel of a closed mask lies below, a share of the lowest threshold of the rules.

    Source: docs/methods/superadd.md#mask. A threshold below 0 is its own floor.
    """
    value = min(lowest.value or 0.0, settings.floor_share * (lowest.value or 0.0))
    return ThresholdRecord(rule="closing", value=value, sees_test_images=lowest.sees_test_images, normal=lowest.normal)


def lowest_threshold(thresholds: Collection[ThresholdRecord]) -> ThresholdRecord | None:
    """Return the record with the lowest value, None if no rule found a threshold."""
    found = [one for one in thresholds if one.value is not None]
    return min(found, key=lambda one: one.value or 0.0, default=None)


def extent_floor(lowest: ThresholdRecord, normal: SplitStatistics, settings: ExtentSettings) -> ThresholdRecord:
    """Return the score that no defect reaches below, however far its own shape would.

    Parameters
    ----------
    lowest : ThresholdRecord
        The lowest threshold of the rules.
    normal : SplitStatistics
        Statistics of the normal images that thresholds come from.
    settings : ExtentSettings
        The quantile.

    Returns
    -------
    ThresholdRecord
        Median over the images of their quantiles, or the lowest threshold if that is lower.
    """
    value = min(lowest.value or 0.0, median_quantile(normal, settings.floor_quantile))
    return ThresholdRecord(rule="extent", value=value, sees_test_images=lowest.sees_test_images, normal=lowest.normal)


def median_quantile(normal: SplitStatistics, share: float) -> float:
    """Return the median over the images of a quantile of their scores, one of ``IMAGE_QUANTILES``."""
    return float(np.median([image.quantiles[f"{share:g}"] for image in normal.images]))
