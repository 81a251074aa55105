"""Counts above a threshold for a few thousand thresholds, from which all curves over thresholds follow exactly.

A curve of all distinct scores would have up to 63,488 points. A point is a score that occurs, and its counts are those
of all pixels, so leaving others out makes a curve coarser but never wrong.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seamark.errors import ManifestError
from seamark.evaluation.image_counts import ImageCounts
from seamark.evaluation.images import TEST_SPLITS, EvaluatedImage
from seamark.evaluation.metrics import ScoreCounts
from seamark.files.atomic import atomic_write
from seamark.files.images import Float64Array, Int64Array
from seamark.maps.float16_scores import key_scores
from seamark.repair import repair_command
from seamark.settings.base import Split

BINS = 80
"""Bins of a histogram; a point lies at each of their edges, so that their counts are exact."""

LINEAR_POINTS = 500
RECALLS = np.linspace(0.0, 1.0, 300)
FALSE_POSITIVE_RATES = np.concatenate((np.geomspace(1e-7, 1e-3, 100), np.linspace(0.001, 0.1, 300), RECALLS))
COLUMNS = ("split", "threshold", "good_px", "defect_px", "overlap")


@dataclass(frozen=True)
class ThresholdCurve:
    """What is found at each of some thresholds.

    Parameters
    ----------
    thresholds : ndarray of float64, shape (n,)
        Scores that occur, ascending, in raw score units; the lowest and the highest score are among them.
    good_px, defect_px : ndarray of int64, shape (n,)
        Good and defect pixels whose score is at least the threshold.
    overlap : ndarray of float64, shape (n,)
        Mean over the defect regions of the share of their pixels that is found, 0..1; 0 without a region.
    """

    thresholds: Float64Array
    good_px: Int64Array
    defect_px: Int64Array
    overlap: Float64Array

    @property
    def has_defects(self) -> bool:
        """Whether a pixel is defective; precision, recall and F1 mean nothing otherwise."""
        return bool(self.defect_px[0])

    @property
    def recall(self) -> Float64Array:
        """Share of the defect pixels that are found, 0..1."""
        return np.asarray(self.defect_px / max(1, int(self.defect_px[0])), dtype=np.float64)

    @property
    def precision(self) -> Float64Array:
        """Share of the found pixels that are defective, 0..1."""
        return np.asarray(self.defect_px / (self.defect_px + self.good_px), dtype=np.float64)

    @property
    def seg_f1(self) -> Float64Array:
        """F1 of all pixels pooled, 0..1."""
        return np.asarray(2 * self.defect_px / (self.defect_px + self.good_px + int(self.defect_px[0])), np.float64)

    @property
    def false_positive_rate(self) -> Float64Array:
        """Share of the good pixels that are found, 0..1."""
        return np.asarray(self.good_px / max(1, int(self.good_px[0])), dtype=np.float64)

    def edges(self) -> Float64Array:
        """Return equally spaced edges of bins from the lowest to the highest score, shape (81,)."""
        return _edges(float(self.thresholds[0]), float(self.thresholds[-1]))

    def shares(self, counts: Int64Array) -> Float64Array:
        """Return the share of ``good_px`` or ``defect_px`` in each bin, shape (80,); the last bin is closed."""
        above = counts[np.searchsorted(self.thresholds, self.edges()[:-1])]
        return np.asarray(-np.diff(above, append=0) / max(1, int(counts[0])), dtype=np.float64)


def _edges(low: float, high: float) -> Float64Array:
    return np.linspace(low, high, BINS + 1)


def threshold_curve(counts: ScoreCounts) -> ThresholdCurve:
    """Thin the counts of all distinct scores of at least one image to at most 1,600 points.

    They are spread evenly over the scores, the recall and the false-positive rate, where low rates get more; the
    threshold of the best SegF1 is among them.
    """
    scores = key_scores()[counts.keys].astype(np.float64)
    good, defect = (np.cumsum(part[::-1], dtype=np.int64)[::-1] for part in (counts.negatives, counts.positives))
    overlap = np.cumsum(counts.region_weight[::-1])[::-1] / max(1, counts.regions)
    edges = _edges(float(scores[0]), float(scores[-1]))
    linear = np.concatenate((edges, np.linspace(scores[0], scores[-1], LINEAR_POINTS)))
    chosen = [np.searchsorted(scores, linear), _positions(defect, RECALLS), _positions(good, FALSE_POSITIVE_RATES)]
    f1 = defect / (defect + good + defect[0])
    kept = np.unique(np.concatenate([*chosen, [0, scores.size - 1, scores.size - 1 - int(f1[::-1].argmax())]]))
    return ThresholdCurve(scores[kept], good[kept], defect[kept], np.minimum(overlap[kept], 1.0))


def _positions(above: Int64Array, shares: Float64Array) -> Int64Array:
    """Positions of the highest scores that at least these shares of the pixels reach."""
    wanted = np.ceil(shares * int(above[0]))
    return np.maximum(above.size - 1 - np.searchsorted(above[::-1], wanted), 0).astype(np.int64)


def split_curves(items: Sequence[EvaluatedImage], per_image: Sequence[ImageCounts]) -> dict[Split, ThresholdCurve]:
    """Return the curve of every split, its images pooled whose pixels have a truth; none of a split without one.

    Items and counts are in the same order.
    """
    known = [pair for pair in zip(items, per_image, strict=True) if not pair[0].truth.left_out]
    parts = {split: [counts.scores for item, counts in known if item.image.split == split] for split in TEST_SPLITS}
    return {split: threshold_curve(ScoreCounts.pooled(part)) for split, part in parts.items() if part}


def write_curves(path: Path, curves: Mapping[Split, ThresholdCurve]) -> None:
    """Write curves as CSV: split, threshold in raw score units, pixels that reach it, mean overlap of the regions.

    Numbers are written so that reading gives the same ones.
    """
    with atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for split, curve in curves.items():
            columns = (curve.thresholds, curve.good_px, curve.defect_px, curve.overlap)
            table.writerows((split, *row) for row in zip(*(column.tolist() for column in columns), strict=True))


def read_curves(path: Path) -> dict[str, ThresholdCurve]:
    """Read what :func:`write_curves` wrote, by split; raises ManifestError if the file is missing or damaged."""
    remedy = f"rebuild it with: {repair_command(path)}"
    by_split: dict[str, list[list[str]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            header, *rows = csv.reader(stream)
        for split, *numbers in rows:
            by_split.setdefault(split, []).append(numbers)
        curves = {split: _curve(numbers) for split, numbers in by_split.items()}
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: cannot read the curves ({error}); {remedy}") from error
    if tuple(header) != COLUMNS:
        raise ManifestError(f"{path}: expected the columns {', '.join(COLUMNS)}, found {header}; {remedy}")
    return curves


def _curve(rows: Sequence[Sequence[str]]) -> ThresholdCurve:
    thresholds, good, defect, overlap = zip(*rows, strict=True)
    return ThresholdCurve(
        np.array(thresholds, dtype=np.float64),
        np.array([int(count) for count in good], dtype=np.int64),
        np.array([int(count) for count in defect], dtype=np.int64),
        np.array(overlap, dtype=np.float64),
    )
