"""Score statistics of the normal images that thresholds come from."""

import numpy as np

from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.maps import MapsManifest
from seamark.maps.calibration import Calibrations, pooled_statistics
from seamark.maps.float16_scores import Histogram
from seamark.settings.base import Split
from seamark.settings.binarize import POOLED, BinarizeSettings
from seamark.settings.crossfit import CROSSFIT_TRAIN


def normal_statistics(maps: MapsManifest, settings: BinarizeSettings, calibrations: Calibrations) -> SplitStatistics:
    """Return the statistics of the normal images that settings ask for, with the quantile that they ask for.

    They are those of one split, or of validation and cross-fitted training photographs pooled. Quantiles are exact for
    every share: they are taken from the histogram. Raises ManifestError if the calibrations are of another detector,
    lack a split, or have another histogram beside them.
    """
    splits: tuple[Split, ...]
    splits = ("validation", CROSSFIT_TRAIN) if settings.normal == POOLED else (settings.normal,)
    parts = [calibrations.statistics(maps, split) for split in splits]
    if len(parts) == 1 and not settings.quantile.enabled:
        return parts[0]
    histogram: Histogram = np.sum([calibrations.histogram(maps.category, split) for split in splits], axis=0)
    images = [image for part in parts for image in part.images]
    return pooled_statistics(splits[-1], images, histogram, (settings.quantile.q,))
