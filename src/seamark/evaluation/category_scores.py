"""Scores of one category against the known truth: per image, per light condition and per split."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from seamark.evaluation.bootstrap import image_draws, percentile_interval, resampled_masks, resampled_scores
from seamark.evaluation.image_counts import ImageCounts
from seamark.evaluation.images import TEST_SPLITS, EvaluatedImage
from seamark.evaluation.metrics import MaskCounts, ScoreCounts
from seamark.evaluation.regions import SIZE_EDGES_PX
from seamark.evaluation.summary import IMAGE_SCORES, INTERVALS, WHOLE_SPLIT
from seamark.evaluation.verdicts import verdict_scores
from seamark.files.images import Float64Array
from seamark.manifests.evaluation import (
    DefectRecall,
    EvaluationManifest,
    ImageScores,
    MaskScores,
    SeamScores,
    SubsetScores,
)
from seamark.settings.evaluate import EvaluateSettings


def evaluation(
    category: str,
    detector: str,
    settings: EvaluateSettings,
    items: Sequence[EvaluatedImage],
    per_image: Sequence[ImageCounts],
    *,
    seed: int,
) -> tuple[EvaluationManifest, Float64Array]:
    """Pool the counts of the images into the scores of each split and each of its light conditions.

    Parameters
    ----------
    category, detector : str
        What was evaluated.
    settings : EvaluateSettings
        Limits of the scores and number of resamples.
    items, per_image : sequences of EvaluatedImage and ImageCounts
        The images and their counts, in the same order.
    seed : int
        Seed of the resamples, 0 or more.

    Returns
    -------
    manifest : EvaluationManifest
        Undefined scores are None.
    resampled : ndarray of float64, shape (subsets, len(seamark.evaluation.summary.INTERVALS), resamples)
        Scores of every resample of every subset of the manifest; NaN where one is undefined.
    """
    pairs = list(zip(items, per_image, strict=True))
    subsets = list(_subsets(pairs, settings, seed))
    manifest = EvaluationManifest(
        category=category,
        detector=detector,
        **settings.model_dump(),
        subsets=tuple(subset for subset, _ in subsets),
        images=tuple(_image_scores(item, counts) for item, counts in pairs),
    )
    resampled = np.array([values for _, values in subsets], dtype=np.float64)
    return manifest, resampled.reshape(len(subsets), len(INTERVALS), settings.resamples)


def _subsets(
    pairs: Sequence[tuple[EvaluatedImage, ImageCounts]], settings: EvaluateSettings, seed: int
) -> Iterator[tuple[SubsetScores, Float64Array]]:
    for number, split in enumerate(TEST_SPLITS):
        of_split = [(item, counts) for item, counts in pairs if item.image.split == split]
        lights = sorted({item.image.light for item, _ in of_split})
        for place, light in enumerate([WHOLE_SPLIT, *lights] if of_split else []):
            of_light = [(item, counts) for item, counts in of_split if light in (item.image.light, WHOLE_SPLIT)]
            part = [counts for _, counts in of_light]
            resampled = _resampled(part, settings, (seed, number, place))
            left_out = sum(item.truth.left_out is not None for item, _ in of_light)
            facts = {"split": split, "light": light, "left_out_images": left_out, "intervals": _intervals(resampled)}
            facts["verdict"] = verdict_scores([(item.truth.bad, item.answer) for item, _ in of_light])
            yield _subset(facts, ImageCounts.pooled(part), settings), resampled


def _subset(facts: dict[str, Any], counts: ImageCounts, settings: EvaluateSettings) -> SubsetScores:
    scores = counts.scores
    border, inside = counts.jumps.means()
    return SubsetScores(
        **facts,
        images=scores.images,
        bad_images=scores.bad,
        **_map_scores(scores, settings),
        oracle_threshold=scores.oracle_threshold(),
        class_f1_floor=scores.class_f1_floor(),
        coarse=_mask_scores(counts.coarse),
        refined=_mask_scores(counts.refined),
        defects=_defect_recalls(counts),
        seams=SeamScores(border=border, inside=inside, ratio=counts.jumps.ratio()),
    )


def _map_scores(scores: ScoreCounts, settings: EvaluateSettings) -> dict[str, float | None]:
    return {
        "auc_pro": scores.auc_pro(settings.fpr_limit),
        "pixel_auroc": scores.pixel_auroc(),
        "pixel_ap": scores.pixel_ap(),
        "image_auroc": scores.image_auroc(),
        "iap": scores.iap(),
        "iap_at_recall": scores.iap_at(settings.iap_recall),
        "oracle_seg_f1": scores.oracle_seg_f1(),
    }


def _mask_scores(counts: MaskCounts) -> MaskScores:
    pixels = {field.name: getattr(counts, field.name) for field in fields(counts) if field.name.endswith("_px")}
    return MaskScores(
        seg_f1=counts.seg_f1(), class_f1=counts.class_f1(), flagged_normal_images=counts.false_positive_images, **pixels
    )


def _defect_recalls(counts: ImageCounts) -> tuple[DefectRecall, ...]:
    starts = (1, *SIZE_EDGES_PX)
    ends = (*(edge - 1 for edge in SIZE_EDGES_PX), None)
    columns = (counts.coarse_found.regions, counts.coarse_found.recalls(), counts.refined_found.recalls())
    return tuple(
        DefectRecall(minimum_px=start, maximum_px=end, defects=defects, coarse=coarse, refined=refined)
        for start, end, defects, coarse, refined in zip(starts, ends, *columns, strict=True)
    )


def _resampled(per_image: Sequence[ImageCounts], settings: EvaluateSettings, seed: Sequence[int]) -> Float64Array:
    """Every score of every resample of a set of images, shape (scores, resamples); NaN where undefined."""
    draws = image_draws(np.array([counts.scores.bad > 0 for counts in per_image]), settings.resamples, seed)
    single = sum(counts.scores.regions > 0 for counts in per_image) == 1
    if draws is None:
        return np.full((len(INTERVALS), settings.resamples), np.nan)
    resamples = zip(
        resampled_scores([counts.scores for counts in per_image], draws),
        resampled_masks([counts.coarse for counts in per_image], draws),
        resampled_masks([counts.refined for counts in per_image], draws),
        strict=True,
    )
    rows = [_all_scores(scores, coarse, refined, settings) for scores, coarse, refined in resamples]
    # A single image with defect pixels among several bad ones would stand for all that pixels say.
    names = IMAGE_SCORES if single else INTERVALS
    return np.array([[row[name] if name in names else None for row in rows] for name in INTERVALS], dtype=np.float64)


def _intervals(resampled: Float64Array) -> dict[str, tuple[float, float]]:
    """Return the interval of every score over the resamples that define it."""
    columns = {name: values[~np.isnan(values)] for name, values in zip(INTERVALS, resampled, strict=True)}
    return {name: percentile_interval(values) for name, values in columns.items() if values.size}


def _all_scores(
    scores: ScoreCounts, coarse: MaskCounts, refined: MaskCounts, settings: EvaluateSettings
) -> dict[str, float | None]:
    return _map_scores(scores, settings) | {
        "coarse_seg_f1": coarse.seg_f1(),
        "refined_seg_f1": refined.seg_f1(),
        "coarse_class_f1": coarse.class_f1(),
        "refined_class_f1": refined.class_f1(),
    }


def _image_scores(item: EvaluatedImage, counts: ImageCounts) -> ImageScores:
    image: dict[str, Any] = {name: getattr(item.image, name) for name in ("split", "id", "light")}
    image |= {"bad": item.truth.bad, "peak": counts.scores.peak(), "left_out": item.truth.left_out}
    if item.truth.left_out:
        return ImageScores(**image)
    return ImageScores(
        **image,
        defect_px=item.truth.defect_px,
        defects=counts.scores.regions,
        coarse_defects_found=sum(counts.coarse_found.found),
        refined_defects_found=sum(counts.refined_found.found),
        coarse_f1=counts.coarse.seg_f1(),
        refined_f1=counts.refined.seg_f1(),
        refined_false_positive_px=counts.refined.false_positive_px,
        refined_false_negative_px=counts.refined.false_negative_px,
    )
