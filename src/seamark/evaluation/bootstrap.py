"""Bootstrap over images: counts of resampled sets of images, and percentile intervals of what is computed from them.

A resample draws as many good and as many bad images, with replacement, as there are, so every score that is defined
for the images is defined for each resample; only scores of pixels may not be, where some bad images have no mask.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seamark.errors import ManifestError
from seamark.evaluation.metrics import MaskCounts, ScoreCounts
from seamark.evaluation.summary import INTERVALS
from seamark.files.arrays import open_array
from seamark.files.atomic import atomic_write, file_digest
from seamark.files.images import BoolArray, Float64Array, Int64Array
from seamark.manifests.evaluation import EvaluationManifest, ResampledScores
from seamark.maps.float16_scores import KEYS
from seamark.repair import repair_command

DECIMALS = 6
"""Digits that are kept, so that the order in which a matrix product adds region weights cannot show."""
CONFIDENCE = 0.95
"""Share of the resamples within an interval."""

_RESAMPLES_AT_ONCE = 50
_SCORES_AT_ONCE = 4096
"""Bounds of what is held in memory beside the counts of each image: resamples, and scores of all images."""


def image_draws(bad: BoolArray, resamples: int, seed: Sequence[int]) -> Int64Array | None:
    """Draw how often each image is part of each resample; good and bad images are drawn apart.

    Parameters
    ----------
    bad : ndarray of bool, shape (n,)
        Whether each image has a defect.
    resamples : int
        Number of resamples.
    seed : sequence of int
        Seed of the draws, each 0 or more.

    Returns
    -------
    ndarray of int64, shape (resamples, n), or None
        Rows sum to n. None where nothing varies or one image stands for all of its kind: without resamples, without
        images, with a single good or a single bad one.
    """
    kinds = [np.flatnonzero(bad), np.flatnonzero(~bad)]
    if not resamples or not bad.size or any(kind.size == 1 for kind in kinds):
        return None
    generator = np.random.default_rng(list(seed))
    draws = np.zeros((resamples, bad.size), dtype=np.int64)
    for kind in kinds:
        if kind.size:
            draws[:, kind] = generator.multinomial(kind.size, np.full(kind.size, 1.0 / kind.size), size=resamples)
    return draws


def resampled_masks(parts: Sequence[MaskCounts], draws: Int64Array) -> Iterator[MaskCounts]:
    """Pool the counts of masks as often as each image is drawn: one MaskCounts per row of int64 (resamples, n)."""
    counts = np.array([astuple(part) for part in parts], dtype=np.int64)
    for row in (draws @ counts).tolist():
        yield MaskCounts(*row)


def resampled_scores(parts: Sequence[ScoreCounts], draws: Int64Array) -> Iterator[ScoreCounts]:
    """Pool the counts of scores as often as each image is drawn.

    Parameters
    ----------
    parts : sequence of ScoreCounts, length n
        Counts of each image, at least one.
    draws : ndarray of int64, shape (resamples, n)
        How often each image is drawn.

    Yields
    ------
    ScoreCounts
        One per resample, with the same scores as pooled images. Neighbouring scores that only good pixels have, and
        that are no image's largest, stand together as one: no score depends on their order.
    """
    keys = np.unique(np.concatenate([part.keys for part in parts]))
    groups = _groups(keys, parts)
    merged = [_merged(part, groups[np.searchsorted(keys, part.keys)]) for part in parts]
    peaks = np.array([places[-1] for places, _ in merged])
    bad = np.array([part.bad > 0 for part in parts])
    regions = draws @ np.array([part.regions for part in parts], dtype=np.int64)
    size = int(groups[-1]) + 1
    shared_keys = keys[np.flatnonzero(np.diff(groups, append=size))]
    for first in range(0, len(draws), _RESAMPLES_AT_ONCE):
        block = draws[first : first + _RESAMPLES_AT_ONCE]
        totals = _totals(merged, block, size)
        for row, (negatives, positives, weight, instances) in enumerate(totals.transpose(1, 0, 2)):
            yield ScoreCounts(
                shared_keys,
                negatives.astype(np.int64),
                positives.astype(np.int64),
                weight,
                _images_per_key(peaks, block[row] * ~bad, size),
                _images_per_key(peaks, block[row] * bad, size),
                instances.astype(np.int64),
                int(regions[first + row]),
            )


def _groups(keys: npt.NDArray[np.uint16], parts: Sequence[ScoreCounts]) -> Int64Array:
    """Give every key a number in order; neighbours that no defect pixel and no peak has share theirs."""
    marked = np.zeros(KEYS, dtype=np.bool_)
    for part in parts:
        marked[part.keys[part.positives > 0]] = True
        marked[part.keys[-1]] = True
    alone = marked[keys]
    starts = alone.copy()
    starts[1:] |= alone[:-1]
    starts[0] = True
    return np.cumsum(starts) - 1


def _merged(part: ScoreCounts, groups: Int64Array) -> tuple[Int64Array, Float64Array]:
    """Return the groups of an image, shape (m,), and their counts and region weight, shape (4, m)."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    counts = np.array((part.negatives, part.positives, part.region_weight, part.instances), dtype=np.float64)
    return groups[starts], np.add.reduceat(counts, starts, axis=1)


def _totals(merged: Sequence[tuple[Int64Array, Float64Array]], draws: Int64Array, size: int) -> Float64Array:
    """Return good and defect pixels, region weight and instances, shape (4, resamples, size); integers are exact."""
    totals = np.empty((4, len(draws), size))
    weights = draws.astype(np.float64)
    for start in range(0, size, _SCORES_AT_ONCE):
        stop = min(start + _SCORES_AT_ONCE, size)
        images = np.zeros((4, len(merged), stop - start))
        for row, (places, counts) in enumerate(merged):
            inside = slice(*np.searchsorted(places, (start, stop)))
            images[:, row, places[inside] - start] = counts[:, inside]
        np.matmul(weights, images, out=totals[:, :, start:stop])
    return totals


def _images_per_key(peaks: npt.NDArray[np.intp], images: Int64Array, size: int) -> Int64Array:
    return np.bincount(peaks, images, size).astype(np.int64)


def percentile_interval(values: npt.ArrayLike) -> tuple[float, float]:
    """Return the interval that holds the middle share :data:`CONFIDENCE` of at least one resampled value.

    Its ends are interpolated linearly between the resamples and rounded to six decimals, so that the order in which a
    matrix product adds region weights cannot show.
    """
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(np.asarray(values, dtype=np.float64), (tail, 1.0 - tail)).tolist()
    return round(low, DECIMALS), round(high, DECIMALS)


def draw_seed(category: str) -> int:
    """Return the seed of a category's resamples, 0..2**31-1.

    It depends on the category alone, not on the seed of the run: runs are compared over the same resampled images, and
    categories are resampled independently of each other.
    """
    return int.from_bytes(hashlib.sha256(category.encode()).digest()[:4], "big") >> 1


def save_resamples(target: Path, resampled: Float64Array, seed: int) -> ResampledScores | None:
    """Write the scores of every resample beside an evaluation manifest, which is written afterwards.

    Parameters
    ----------
    target : Path
        The manifest.
    resampled : ndarray of float64, shape (subsets, len(seamark.evaluation.summary.INTERVALS), resamples)
        NaN where a score is undefined.
    seed : int
        Seed of the draws.

    Returns
    -------
    ResampledScores or None
        Entry for the manifest; None, and no file, without resamples.
    """
    path = target.with_suffix(".npy")
    if not resampled.size:
        path.unlink(missing_ok=True)
        return None
    with atomic_write(path) as draft, draft.open("wb") as stream:
        np.save(stream, np.round(resampled, DECIMALS))
    return ResampledScores(file=path.name, sha256=file_digest(path), scores=INTERVALS, seed=seed)


def load_resamples(path: Path, manifest: EvaluationManifest) -> Float64Array | None:
    """Read the scores of every resample that an evaluation manifest describes.

    Returns
    -------
    ndarray of float64, shape (subsets, scores, resamples), or None
        None if the manifest has none.

    Raises
    ------
    ManifestError
        If the file is missing or not the one that the manifest describes.
    """
    record = manifest.resampled
    if record is None:
        return None
    file = path.parent / record.file
    rebuild = f"rebuild it with: {repair_command(path)}"
    expected = (len(manifest.subsets), len(record.scores), manifest.resamples)
    resampled: Float64Array = open_array(file, np.float64, expected, "resampled scores", rebuild)
    if file_digest(file) != record.sha256:
        raise ManifestError(f"{file}: not the array that {path.name} describes; {rebuild}")
    return resampled
