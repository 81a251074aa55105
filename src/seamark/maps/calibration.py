"""Exact statistics of anomaly scores, per image and pooled over a split, one map in memory at a time."""

import math
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from seamark.errors import DataError, ManifestError
from seamark.files.arrays import open_array
from seamark.files.atomic import file_digest
from seamark.files.images import Float32Array
from seamark.manifests.calibration import CalibrationManifest, ImageStatistics, SplitStatistics
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.maps.float16_scores import KEYS, Histogram, quantile, score_histogram
from seamark.maps.stored import load_map
from seamark.repair import repair_command
from seamark.settings.base import Split


def image_statistics(image_id: str, scores: Float32Array) -> ImageStatistics:
    """Return the statistics of one anomaly map, float32 (H, W), raw scores.

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
    )


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
        quantiles={f"{q:g}": quantile(histogram, q) for q in quantiles},
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
        return image_statistics(record.id, scores)

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


def check_same_source(manifests: Sequence[MapsManifest]) -> None:
    """Refuse, by a ManifestError, maps of different categories or detectors, or a split that comes twice."""
    sources = {(manifest.category, manifest.detector) for manifest in manifests}
    splits = [manifest.split for manifest in manifests]
    if len(sources) != 1 or len(set(splits)) != len(splits):
        raise ManifestError(
            f"maps of {sorted(sources)} for splits {splits}: expected one category, one detector and every split once; "
            "give the fused maps of one category only"
        )


def statistics_for(maps: MapsManifest, split: Split, calibration: CalibrationManifest, path: Path) -> SplitStatistics:
    """Return the statistics of a split, after checking that the calibration belongs to the maps at hand.

    Parameters
    ----------
    maps : MapsManifest
        Maps to threshold.
    split : Split
        Split whose statistics are wanted: that of the maps, or another one as a reference.
    calibration, path : CalibrationManifest, Path
        The statistics and where they were read.

    Returns
    -------
    SplitStatistics
        For the split of the maps, its images are theirs in the same order.

    Raises
    ------
    ManifestError
        If the calibration is of another category or detector, lacks the split or has other images.
    """
    remedy = f"rebuild it with: {repair_command(path)}"
    found, wanted = (calibration.category, calibration.detector), (maps.category, maps.detector)
    if found != wanted:
        raise ManifestError(
            f"{path}: calibrated on category {found[0]} and detector {found[1]}, "
            f"expected {wanted[0]} and {wanted[1]}; {remedy}"
        )
    try:
        statistics = calibration.of(split)
    except KeyError as error:
        raise ManifestError(f"{path}: no statistics of split {split}; {remedy}") from error
    ids = tuple(record.id for record in maps.maps)
    if split == maps.split and tuple(image.id for image in statistics.images) != ids:
        raise ManifestError(
            f"{path}: the {len(statistics.images)} calibrated images of split {split} "
            f"are not the {len(ids)} of the maps; {remedy}"
        )
    return statistics


def read_histogram(calibration: CalibrationManifest, folder: Path) -> dict[str, Histogram]:
    """Read the pixel counts per float16 score, int64 (65536,) in ascending order of score, of every split.

    Raises
    ------
    ManifestError
        If the file, which lies in the folder of the manifest, is missing or not the one that it describes.
    """
    path = folder / calibration.histogram
    remedy = f"rebuild it with: {repair_command(path)}"
    counts = open_array(path, np.int64, (len(calibration.splits), KEYS), "histogram", remedy)
    if file_digest(path) != calibration.histogram_sha256:
        raise ManifestError(f"{path}: not the histogram that its manifest describes, its content changed; {remedy}")
    return {split.split: row for split, row in zip(calibration.splits, counts, strict=True)}
