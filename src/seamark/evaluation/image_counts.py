"""Counts of one image against its truth, which add up over images.

Maps smaller than their image are enlarged bilinearly with pixel centres at half-integers, then rounded to float16, as
the submission stores them; truth and masks are never resized (docs/methods/mvtec_ad2.md#counting-scores).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seamark.data.truth_masks import read_truth
from seamark.errors import DataError, ManifestError
from seamark.evaluation.images import EvaluatedImage
from seamark.evaluation.metrics import MaskCounts, ScoreCounts
from seamark.evaluation.regions import FoundRegions, Regions
from seamark.evaluation.seams import ScoreJumps
from seamark.files.image_checks import MAX_PIXELS
from seamark.files.images import read_mask
from seamark.manifests.ranking import QuantileFit
from seamark.maps.quantile_fit import ranked_map
from seamark.maps.stored import load_map
from seamark.repair import owner_command
from seamark.settings.grid import GridSettings


@dataclass(frozen=True)
class ImageCounts:
    """What one image, or several pooled, add to the scores."""

    scores: ScoreCounts
    coarse: MaskCounts
    refined: MaskCounts
    coarse_found: FoundRegions
    refined_found: FoundRegions
    jumps: ScoreJumps

    @classmethod
    def pooled(cls, parts: Sequence["ImageCounts"]) -> "ImageCounts":
        """Add up the counts of several images, in the order given."""

        def total(name: str) -> Any:
            return reduce(add, (getattr(part, name) for part in parts))

        return cls(
            ScoreCounts.pooled(part.scores for part in parts),
            *map(total, ("coarse", "refined", "coarse_found", "refined_found", "jumps")),
        )

    def of_label(self, *, bad: bool) -> "ImageCounts":
        """Keep of one image whose pixels have no truth what its label is enough for; it must be counted as good."""
        coarse, refined = (counts.of_label(bad=bad) for counts in (self.coarse, self.refined))
        return replace(self, scores=self.scores.of_label(bad=bad), coarse=coarse, refined=refined)


def native_map(anomaly_map: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Enlarge a map, float32 (h, w), to the size of its image, bilinearly with pixel centres at half-integers.

    Raises
    ------
    ManifestError
        If the map is larger than the image.
    """
    if anomaly_map.shape == (height, width):
        return anomaly_map
    if anomaly_map.shape[0] > height or anomaly_map.shape[1] > width:
        raise ManifestError(
            f"the anomaly map is {anomaly_map.shape[1]} x {anomaly_map.shape[0]} px, larger than its image of "
            f"{width} x {height} px; rebuild the maps"
        )
    enlarged = cv2.resize(anomaly_map, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged.astype(np.float32, copy=False)


def evaluate_image(item: EvaluatedImage, grids: Sequence[GridSettings], fit: QuantileFit | None = None) -> ImageCounts:
    """Count one image.

    Parameters
    ----------
    item : EvaluatedImage
        Its files.
    grids : sequence of GridSettings
        How the detectors behind the map cut the image, for the check of seams.
    fit : QuantileFit, optional
        What the map is fitted to before it is ranked. Seams are looked for in the map as it is stored.

    Raises
    ------
    DataError
        If truth and photograph differ in size, or a score does not fit into float16.
    ManifestError
        If a map or mask is missing or damaged, or the truth changed since it was read.
    """
    height, width = item.image.height, item.image.width
    truth = _read_truth(item)
    coarse, refined = (_read_predicted(path, truth.shape) for path in (item.coarse, item.refined))
    stored = load_map(item.maps, item.anomaly_map)
    regions = Regions.of(truth)
    try:
        ranked = native_map(ranked_map(stored, fit), height, width)
        scores = ScoreCounts.of(ranked, truth, regions).compact()
    except DataError as error:
        raise DataError(f"{item.maps.parent / item.anomaly_map.file}: {error}") from error
    counts = ImageCounts(
        scores,
        MaskCounts.of(coarse, truth),
        MaskCounts.of(refined, truth),
        FoundRegions.of(coarse, truth, regions),
        FoundRegions.of(refined, truth, regions),
        ScoreJumps.of(stored, (height, width), grids),
    )
    return counts.of_label(bad=item.truth.bad) if item.truth.left_out else counts


def _read_truth(item: EvaluatedImage) -> npt.NDArray[np.bool_]:
    """Read the truth of the pixels; without a defect where there is none."""
    shape = (item.image.height, item.image.width)
    if item.truth_file is None or item.truth.left_out:
        return np.zeros(shape, dtype=np.bool_)
    truth = read_truth(item.truth_file, max(MAX_PIXELS, math.prod(shape)), labels=item.truth.labels)
    if truth.shape != shape:
        raise DataError(
            f"{item.truth_file}: the truth mask is {truth.shape[1]} x {truth.shape[0]} px, but its image "
            f"{item.photograph} is {shape[1]} x {shape[0]} px; they must be equal: replace one of them"
        )
    if int(np.count_nonzero(truth)) != item.truth.defect_px:
        raise ManifestError(
            f"{item.truth_file}: the truth mask has changed since it was read ({item.truth.defect_px} defect px then); "
            "rebuild the truth manifest"
        )
    return truth


def _read_predicted(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    try:
        mask = read_mask(path, max(MAX_PIXELS, math.prod(shape)))
    except DataError as error:
        raise ManifestError(f"{error}; or rebuild it with: {owner_command(path)}") from error
    if mask.shape != shape:
        raise ManifestError(
            f"{path}: mask of shape {mask.shape}, its image has {shape}; rebuild it with: {owner_command(path)}"
        )
    return mask
