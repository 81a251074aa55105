"""Exact statistics of anomaly scores, per image and pooled over a split, one map in memory at a time."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from seamark.errors import DataError, ManifestError
from seamark.files.arrays import open_array
from seamark.files.atomic import file_digest
from seamark.files.images import Float32Array
from seamark.manifests.base import read_manifest
from seamark.manifests.calibration import CalibrationManifest, ImageStatistics, SplitStatistics
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.maps.float16_scores import KEYS, Histogram, quantile, score_histogram
from seamark.maps.stored import load_map
from seamark.repair import repair_command
from seamark.settings.base import Split
from seamark.settings.calibrate import IMAGE_QUANTILES


def image_statistics(image_id: str, scores: Float32Array, histogram: Histogram) -> ImageStatistics:
    """Return the statistics of one anomaly map, float32 (H, W), raw scores, which has this histogram.

    Mean and population standard deviation come from two passes of float64 sums, so a large offset costs no digits.
    """
    mean = float(np.sum(scores, dtype=np.float64)) / scores.size
    deviations = np.subtract(scores, mean, dtype=np.float64)
    variance = float(np.sum(np.square(deviations, out=deviations))) / scores.size
    return ImageStatistics(
        id=image_id,
        pixels=scores.size,
        minimum=float(scores.min()),
        maximum=float(scores.max()),
        mean=mean,
        std=math.sqrt(variance),
        quantiles=_quantiles(histogram, IMAGE_QUANTILES),
    )


def _quantiles(histogram: Histogram, shares: Sequence[float]) -> dict[str, float]:
    return {f"{q:g}": quantile(histogram, q) for q in shares}


def pooled_moments(images: Sequence[ImageStatistics]) -> tuple[float, float]:
    """Return mean and population standard deviation of the pixels of several maps, at least one, pooled.

    Correctly rounded sums make them independent of the order of the images.
    """
    pixels = sum(image.pixels for image in images)
    mean = math.fsum(image.mean * image.pixels for image in images) / pixels
    squares = math.fsum(image.pixels * (image.std**2 + (image.mean - mean) ** 2) for image in images)
    return mean, math.sqrt(squares / pixels)


def pooled_statistics(
    split: Split, images: Sequence[ImageStatistics], histogram: Histogram, quantiles: Sequence[float]
) -> SplitStatistics:
    """Return the statistics of all pixels of several maps, at least one, which have this histogram together."""
    mean, std = pooled_moments(images)
    return SplitStatistics(
        split=split,
        pixels=sum(image.pixels for image in images),
        minimum=min(image.minimum for image in images),
        maximum=max(image.maximum for image in images),
        mean=mean,
        std=std,
        quantiles=_quantiles(histogram, quantiles),
        images=tuple(images),
    )


class SplitCalibration:
    """Collects the scores of one split, map by map and from any thread; DataError for a manifest without maps."""

    def __init__(self, manifest_path: Path, manifest: MapsManifest) -> None:
        if not manifest.maps:
            raise DataError(
                f"{manifest_path}: no anomaly maps, so there is nothing to calibrate; add images to the split"
            )
        self._manifest_path = manifest_path
        self._manifest = manifest
        self._lock = Lock()
        self.histogram: Histogram = np.zeros(KEYS, dtype=np.int64)

    def add(self, record: MapRecord) -> ImageStatistics:
        """Read one map, add it to the histogram and return its statistics.

        Raises
        ------
        ManifestError
            If the map is not the one that the manifest describes.
        DataError
            If a score does not fit into float16.
        """
        scores = load_map(self._manifest_path, record)
        counts = score_histogram(scores)
        with self._lock:
            self.histogram += counts
        return image_statistics(record.id, scores, counts)

    def statistics(self, images: Sequence[ImageStatistics], quantiles: Sequence[float]) -> SplitStatistics:
        """Return the statistics of the split once all maps are added.

        Parameters
        ----------
        images : sequence of ImageStatistics
            What :meth:`add` returned, in the order of the manifest.
        quantiles : sequence of float
            Shares of the pixels, each 0..1.
        """
        return pooled_statistics(self._manifest.split, images, self.histogram, quantiles)


class Calibrations:
    """The statistics of several splits, of whatever categories.

    Parameters
    ----------
    paths : iterable of Path
        Manifests of the calibrate stage.

    Raises
    ------
    ManifestError
        If one is missing or damaged.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        read = [(path, read_manifest(path, CalibrationManifest)) for path in paths]
        self._found = {(manifest.category, manifest.split): (path, manifest) for path, manifest in read}

    def statistics(self, maps: MapsManifest, split: Split) -> SplitStatistics:
        """Return the statistics of a split, after checking that they belong to the maps at hand.

        Parameters
        ----------
        maps : MapsManifest
            Maps to threshold.
        split : Split
            Split whose statistics are wanted: that of the maps, or another one as a reference.

        Returns
        -------
        SplitStatistics
            For the split of the maps, its images are theirs in the same order.

        Raises
        ------
        ManifestError
            If the split was not calibrated, or on maps of another detector or on other images.
        """
        path, calibration = self._of(maps.category, split)
        remedy = f"rebuild it with: {repair_command(path)}"
        if calibration.detector != maps.detector:
            raise ManifestError(
                f"{path}: calibrated on detector {calibration.detector}, expected {maps.detector}; {remedy}"
            )
        ids, images = tuple(record.id for record in maps.maps), calibration.statistics.images
        if split == maps.split and tuple(image.id for image in images) != ids:
            raise ManifestError(
                f"{path}: the {len(images)} calibrated images of split {split} "
                f"are not the {len(ids)} of the maps; {remedy}"
            )
        return calibration.statistics

    def histogram(self, category: str, split: Split) -> Histogram:
        """Read the pixel counts per float16 score of a split, int64 (65536,) in ascending order of score.

        Raises
        ------
        ManifestError
            If the file, which lies in the folder of the manifest, is missing or not the one that it describes.
        """
        return read_histogram(*self._of(category, split))

    def path(self, category: str, split: Split) -> Path:
        """Return where the manifest of a split lies."""
        return self._of(category, split)[0]

    def _of(self, category: str, split: Split) -> tuple[Path, CalibrationManifest]:
        if (category, split) not in self._found:
            known = ", ".join(str(path) for path, _ in self._found.values()) or "none"
            raise ManifestError(
                f"no statistics of {category} {split} among the calibrations {known}; run calibrate for it"
            )
        return self._found[category, split]


def read_histogram(path: Path, calibration: CalibrationManifest) -> Histogram:
    """Read the pixel counts per float16 score that a calibration has beside it, see :meth:`Calibrations.histogram`."""
    file = path.parent / calibration.histogram
    remedy = f"rebuild it with: {repair_command(file)}"
    counts = open_array(file, np.int64, (KEYS,), "histogram", remedy)
    if file_digest(file) != calibration.histogram_sha256:
        raise ManifestError(f"{file}: not the histogram that its manifest describes, its content changed; {remedy}")
    return counts
