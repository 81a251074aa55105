"""Score statistics of the normal images that thresholds come from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seamark.manifests.calibration import CalibrationManifest, SplitStatistics
from seamark.manifests.maps import MapsManifest
from seamark.maps.calibration import pooled_moments, read_histogram, statistics_for
from seamark.maps.float16_scores import Histogram, quantile
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
    return pooled(parts, [histograms[part.split] for part in parts], (settings.quantile.q,))


def pooled(
    parts: Sequence[SplitStatistics], histograms: Sequence[Histogram], quantiles: Sequence[float]
) -> SplitStatistics:
    """Return what the statistics of all images of several splits together would be.

    Parameters
    ----------
    parts : sequence of SplitStatistics
        One per split.
    histograms : sequence of ndarray of int64, shape (65536,)
        Their pixels per float16 score.
    quantiles : sequence of float
        Shares of the pixels, each 0..1.

    Returns
    -------
    SplitStatistics
        Under the name of the last split.
    """
    images = tuple(image for part in parts for image in part.images)
    mean, std = pooled_moments(images)
    histogram: Histogram = np.sum(histograms, axis=0)
    return SplitStatistics(
        split=parts[-1].split,
        pixels=sum(part.pixels for part in parts),
        minimum=min(part.minimum for part in parts),
        maximum=max(part.maximum for part in parts),
        mean=mean,
        std=std,
        quantiles={f"{q:g}": quantile(histogram, q) for q in quantiles},
        images=images,
    )
