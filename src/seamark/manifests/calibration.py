"""Manifest of the calibrate stage."""

from seamark.manifests.base import Inside, Manifest, Record
from seamark.settings.base import Split


class ScoreStatistics(Record):
    """Exact statistics of pixel scores."""

    pixels: int
    minimum: float
    maximum: float
    mean: float
    std: float
    """Population standard deviation."""


class ImageStatistics(ScoreStatistics):
    """Statistics of one anomaly map."""

    id: Inside
    quantiles: dict[str, float]
    """As those of a split, at ``seamark.settings.calibrate.IMAGE_QUANTILES``."""


class SplitStatistics(ScoreStatistics):
    """Statistics of all anomaly maps of a split pooled, and of each map."""

    split: Split
    quantiles: dict[str, float]
    """Score at each quantile, of the scores rounded to float16; the key is the quantile as text."""
    images: tuple[ImageStatistics, ...]


class CalibrationManifest(Manifest):
    """What thresholds of one category are derived from: the scores of one of its splits."""

    category: Inside
    detector: str
    split: Split
    histogram: Inside
    """Name of the .npy file beside the manifest: int64 (65536,), pixels per float16 score, ascending."""
    histogram_sha256: str
    statistics: SplitStatistics
