"""Scores of every bootstrap resample on disk, and the seed that lets runs draw the same images."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seamark.errors import ManifestError
from seamark.evaluation.summary import INTERVALS
from seamark.files.arrays import open_array
from seamark.files.atomic import atomic_write, file_digest
from seamark.manifests.evaluation import EvaluationManifest, ResampledScores
from seamark.repair import repair_command

Float64Array = npt.NDArray[np.float64]

DECIMALS = 6
"""Digits that are kept, so that the order in which a matrix product adds region weights cannot show."""


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
