"""Score statistics of the normal images that thresholds come from."""

from pathlib import Path

import numpy as np

from seamark.manifests.calibration import CalibrationManifest, SplitStatistics
from seamark.manifests.maps import MapsManifest
from seamark.maps.calibration import pooled_statistics, read_histogram, statistics_for
from seamark.maps.float16_scores import Histogram
from seamark.settings.binarize import POOLED, BinarizeSettings
from seamark.settings.crossfit import CROSSFIT_TRAIN


def normal_statistics(
    maps: MapsManifest, settings: BinarizeSettings, calibration: CalibrationManifest, path: Path
) -> SplitStatistics:
    """Return the statistics of the normal images that settings ask for.

    They are those of one split, or of validation and cross-fitted training photographs pooled. Raises ManifestError if
    the calibration, read from ``path``, is of another category or detector, or lacks a split.
    """
    if settings.normal != POOLED:
        return statistics_for(maps, settings.normal, calibration, path)
    parts = [statistics_for(maps, split, calibration, path) for split in ("validation", CROSSFIT_TRAIN)]
    histograms = read_histogram(calibration, path.parent)
    histogram: Histogram = np.sum([histograms[part.split] for part in parts], axis=0)
    images = [image for part in parts for image in part.images]
    return pooled_statistics(CROSSFIT_TRAIN, images, histogram, (settings.quantile.q,))
