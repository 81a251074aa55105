"""Score statistics of the normal images that thresholds come from."""

from pathlib import Path

import numpy as np

from seamark.manifests.calibration import CalibrationManifest, SplitStatistics
from seamark.manifests.maps import MapsManifest
from seamark.maps.calibration import pooled_statistics, read_histogram, statistics_for
from seamark.maps.float16_scores import Histogram
from seamark.settings.base import Split
from seamark.settings.binarize import POOLED, BinarizeSettings
from seamark.settings.crossfit import CROSSFIT_TRAIN


def normal_statistics(
    maps: MapsManifest, settings: BinarizeSettings, calibration: CalibrationManifest, path: Path
) -> SplitStatistics:
    """Return the statistics of the normal images that settings ask for, with the quantile that they ask for.

    They are those of one split, or of validation and cross-fitted training photographs pooled. Quantiles are exact for
    every share: they are taken from the histogram. Raises ManifestError if the calibration, read from ``path``, is of
    another category or detector, lacks a split, or has another histogram beside it.
    """
    splits: tuple[Split, ...]
    splits = ("validation", CROSSFIT_TRAIN) if settings.normal == POOLED else (settings.normal,)
    parts = [statistics_for(maps, split, calibration, path) for split in splits]
    if len(parts) == 1 and not settings.quantile.enabled:
        return parts[0]
    histograms = read_histogram(calibration, path.parent)
    histogram: Histogram = np.sum([histograms[split] for split in splits], axis=0)
    images = [image for part in parts for image in part.images]
    return pooled_statistics(splits[-1], images, histogram, (settings.quantile.q,))
