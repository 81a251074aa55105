"""Scores of one category against the known truth: per image, per light condition and per split.

Maps smaller than their image are enlarged bilinearly with pixel centres at half-integers, then rounded to float16, as
the submission stores them; truth and masks are never resized (MVTec AD 2 specification sections 3.1 to 3.4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seamark.errors import DataError, ManifestError
from seamark.evaluated_images import TEST_SPLITS, EvaluatedImage
from seamark.images import read_mask
from seamark.manifests.evaluation import EvaluationManifest, ImageScores, MaskScores, SubsetScores
from seamark.metrics import MaskCounts, ScoreCounts
from seamark.settings.base import Split
from seamark.stored_maps import load_map

WHOLE_SPLIT = "all"
"""Stands for all light conditions."""


@dataclass(frozen=True)
class Outcome:
    """What one image, or several pooled, add to the scores."""

    scores: ScoreCounts
    coarse: MaskCounts
    refined: MaskCounts

    @classmethod
    def pooled(cls, parts: Sequence["Outcome"]) -> "Outcome":
        """Add up the counts of several images, in the order given."""
        scores = ScoreCounts.pooled(part.scores for part in parts)
        coarse, refined = (reduce(add, (getattr(part, name) for part in parts)) for name in ("coarse", "refined"))
        return cls(scores, coarse, refined)


def native_map(anomaly_map: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Enlarge a map to the size of its image, bilinearly with pixel centres at half-integers.

    Parameters
    ----------
    anomaly_map : ndarray of float32, shape (h, w)
        Not larger than the image.
    height, width : int
        Size of the image, px.

    Returns
    -------
    ndarray of float32, shape (height, width)
        The map itself if it already has that size.

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


def evaluate_image(item: EvaluatedImage) -> Outcome:
    """Count one image.

    Parameters
    ----------
    item : EvaluatedImage
        Its files.

    Returns
    -------
    Outcome
        Counts that add up over images.

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
    anomaly_map = native_map(load_map(item.maps, item.anomaly_map), height, width)
    try:
        scores = ScoreCounts.of(anomaly_map, truth)
    except DataError as error:
        raise DataError(f"{item.maps.parent / item.anomaly_map.file}: {error}") from error
    return Outcome(scores, MaskCounts.of(coarse, truth), MaskCounts.of(refined, truth))


def _read_truth(item: EvaluatedImage) -> npt.NDArray[np.bool_]:
    shape = (item.image.height, item.image.width)
    if item.truth is None:
        return np.zeros(shape, dtype=np.bool_)
    truth = read_mask(item.truth)
    if truth.shape != shape:
        raise DataError(
            f"{item.truth}: the truth mask is {truth.shape[1]} x {truth.shape[0]} px, but its image "
            f"{item.photograph} is {shape[1]} x {shape[0]} px; they must be equal: replace one of them"
        )
    if int(np.count_nonzero(truth)) != item.defect_px:
        raise ManifestError(
            f"{item.truth}: the truth mask has changed since it was read ({item.defect_px} defect px then); "
            "rebuild the truth manifest"
        )
    return truth


def _read_predicted(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    try:
        mask = read_mask(path)
    except DataError as error:
        raise ManifestError(f"{error}; rebuild the stage that wrote it") from error
    if mask.shape != shape:
        raise ManifestError(
            f"{path}: mask of shape {mask.shape}, its image has {shape}; rebuild the stage that wrote it"
        )
    return mask


def evaluation(
    category: str, detector: str, fpr_limit: float, items: Sequence[EvaluatedImage], outcomes: Sequence[Outcome]
) -> EvaluationManifest:
    """Pool the counts of the images into the scores of each split and each of its light conditions.

    Parameters
    ----------
    category, detector : str
        What was evaluated.
    fpr_limit : float
        False-positive rate up to which AucPro is integrated, in (0, 1].
    items : sequence of EvaluatedImage
        The images.
    outcomes : sequence of Outcome
        Their counts, in the same order.

    Returns
    -------
    EvaluationManifest
        Undefined scores are None.
    """
    pairs = list(zip(items, outcomes, strict=True))
    return EvaluationManifest(
        category=category,
        detector=detector,
        fpr_limit=fpr_limit,
        subsets=tuple(_subsets(pairs, fpr_limit)),
        images=tuple(_image_scores(item, outcome) for item, outcome in pairs),
    )


def _subsets(pairs: Sequence[tuple[EvaluatedImage, Outcome]], fpr_limit: float) -> Iterator[SubsetScores]:
    for split in TEST_SPLITS:
        outcomes = [(item.image.light, outcome) for item, outcome in pairs if item.image.split == split]
        if not outcomes:
            continue
        yield _subset(split, WHOLE_SPLIT, Outcome.pooled([outcome for _, outcome in outcomes]), fpr_limit)
        for light in sorted({light for light, _ in outcomes}):
            part = Outcome.pooled([outcome for name, outcome in outcomes if name == light])
            yield _subset(split, light, part, fpr_limit)


def _subset(split: Split, light: str, outcome: Outcome, fpr_limit: float) -> SubsetScores:
    scores = outcome.scores
    return SubsetScores(
        split=split,
        light=light,
        images=scores.images,
        bad_images=scores.bad,
        auc_pro=scores.auc_pro(fpr_limit),
        pixel_auroc=scores.pixel_auroc(),
        image_auroc=scores.image_auroc(),
        class_f1_floor=scores.class_f1_floor(),
        coarse=_mask_scores(outcome.coarse),
        refined=_mask_scores(outcome.refined),
    )


def _mask_scores(counts: MaskCounts) -> MaskScores:
    pixels = {field.name: getattr(counts, field.name) for field in fields(counts) if field.name.endswith("_px")}
    return MaskScores(seg_f1=counts.seg_f1(), class_f1=counts.class_f1(), **pixels)


def _image_scores(item: EvaluatedImage, outcome: Outcome) -> ImageScores:
    return ImageScores(
        split=item.image.split,
        id=item.image.id,
        light=item.image.light,
        bad=outcome.scores.bad > 0,
        defect_px=item.defect_px,
        peak=outcome.scores.peak(),
        coarse_f1=outcome.coarse.seg_f1(),
        refined_f1=outcome.refined.seg_f1(),
        refined_false_positive_px=outcome.refined.false_positive_px,
        refined_false_negative_px=outcome.refined.false_negative_px,
    )
