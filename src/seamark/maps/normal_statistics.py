"""Score statistics of the normal images that thresholds come from."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.maps import MapsManifest
from seamark.maps.calibration import Calibrations, pooled_statistics
from seamark.maps.float16_scores import Histogram
from seamark.settings.base import PHOTOGRAPHED, Split
from seamark.settings.binarize import NORMAL_SPLITS, BinarizeSettings
from seamark.settings.light_variants import VALIDATION_VARIANTS
from seamark.tiles.light_variants import photograph_id


class Photograph(NamedTuple):
    """A photograph of a data set: ids are those of one split."""

    split: Split
    id: str


def normal_statistics(maps: MapsManifest, settings: BinarizeSettings, calibrations: Calibrations) -> SplitStatistics:
    """Return the statistics of the normal images that settings ask for, with the quantile that they ask for.

    They are those of one split, or of two pooled. Quantiles are exact for every share: they are taken from the
    histogram. Raises ManifestError if the calibrations are of another detector, lack a split, or have another histogram
    beside them.
    """
    splits = NORMAL_SPLITS[settings.normal]
    parts = [calibrations.statistics(maps, split) for split in splits]
    if len(parts) == 1 and not settings.quantile.enabled:
        return parts[0]
    histogram: Histogram = np.sum([calibrations.histogram(maps.category, split) for split in splits], axis=0)
    images = [image for part in parts for image in part.images]
    return pooled_statistics(splits[-1], images, histogram, (settings.quantile.q,))


def normal_peaks(
    maps: MapsManifest, settings: BinarizeSettings, calibrations: Calibrations
) -> list[tuple[Photograph, float]]:
    """Return the highest score of each normal image with its photograph; variants of it are images of their own.

    Raises ManifestError as :func:`normal_statistics`.
    """
    peaks = []
    for split in NORMAL_SPLITS[settings.normal]:
        for image in calibrations.statistics(maps, split).images:
            shown = photograph_id(image.id) if split == VALIDATION_VARIANTS else image.id
            peaks.append((Photograph(PHOTOGRAPHED.get(split, split), shown), image.maximum))
    return peaks


def normal_photographs(
    maps: MapsManifest, settings: BinarizeSettings, calibrations: Calibrations
) -> dict[Photograph, float]:
    """Return the highest score of each photograph that thresholds come from, over its variants if they count.

    Variants of one photograph are alike, so rates per image are counted per photograph; the highest of the variants
    is on the safe side for any single one. Raises ManifestError as :func:`normal_statistics`.
    """
    return highest_of(normal_peaks(maps, settings, calibrations))


def highest_of(peaks: Iterable[tuple[Photograph, float]]) -> dict[Photograph, float]:
    """Return the highest of the scores of each photograph."""
    highest: dict[Photograph, float] = {}
    for photograph, peak in peaks:
        highest[photograph] = max(peak, highest.get(photograph, -math.inf))
    return highest
