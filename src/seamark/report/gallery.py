"""Which images the report shows: worst and best by refined F1, or by peak score where the truth is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.evaluation import EvaluationManifest, ImageScores
from seamark.manifests.preview import PreviewManifest
from seamark.settings.base import Split
from seamark.settings.report import ReportSettings

ImageKey = tuple[str, Split, str]
"""Category, split and id of an image."""


@dataclass(frozen=True)
class Picture:
    """One strip on the page."""

    id: str
    caption: str
    path: Path
    """The JPEG."""


@dataclass(frozen=True)
class Gallery:
    """The strips of one category and split."""

    category: str
    split: str
    truth_known: bool
    worst: tuple[Picture, ...]
    """Where the truth is not known: the highest peak scores."""
    best: tuple[Picture, ...]
    """Where the truth is not known: the lowest peak scores."""
    contact_sheet: Path
    images: int


def galleries(
    previews: Mapping[Path, PreviewManifest],
    evaluations: Sequence[EvaluationManifest],
    calibrations: Sequence[CalibrationManifest],
    settings: ReportSettings,
) -> tuple[Gallery, ...]:
    """Choose the images of every category and split.

    Parameters
    ----------
    previews : mapping of Path to PreviewManifest
        Manifests of the preview stage by their path.
    evaluations : sequence of EvaluationManifest
        Scores per image where the truth is known.
    calibrations : sequence of CalibrationManifest
        Peak scores of all images.
    settings : ReportSettings
        How many images.

    Returns
    -------
    tuple of Gallery
        In the order of the previews.
    """
    scored = {
        (evaluation.category, image.split, image.id): image for evaluation in evaluations for image in evaluation.images
    }
    peaks = {
        (calibration.category, split.split, image.id): image.maximum
        for calibration in calibrations
        for split in calibration.splits
        for image in split.images
    }
    return tuple(_gallery(path, preview, scored, peaks, settings) for path, preview in previews.items())


def _gallery(
    path: Path,
    preview: PreviewManifest,
    scored: Mapping[ImageKey, ImageScores],
    peaks: Mapping[ImageKey, float],
    settings: ReportSettings,
) -> Gallery:
    key = (preview.category, preview.split)
    scores = {strip.id: scored[*key, strip.id] for strip in preview.strips if (*key, strip.id) in scored}
    if scores:
        worst, best = _by_score(list(scores.values()), settings)
        captions = {image_id: _score_caption(image) for image_id, image in scores.items()}
    else:
        known = {strip.id: peaks[*key, strip.id] for strip in preview.strips if (*key, strip.id) in peaks}
        worst, best = _by_peak(known, settings)
        captions = {image_id: f"peak {peak:.4g}" for image_id, peak in known.items()}
    files = {strip.id: path.parent / strip.file for strip in preview.strips}
    return Gallery(
        category=preview.category,
        split=preview.split,
        truth_known=bool(scores),
        worst=tuple(Picture(image_id, captions[image_id], files[image_id]) for image_id in worst),
        best=tuple(Picture(image_id, captions[image_id], files[image_id]) for image_id in best),
        contact_sheet=path.parent / preview.contact_sheet,
        images=len(preview.strips),
    )


def _error_px(image: ImageScores) -> int:
    return image.refined_false_positive_px + image.refined_false_negative_px


def _by_score(images: Sequence[ImageScores], settings: ReportSettings) -> tuple[list[str], list[str]]:
    """Worst: lowest F1, then most wrong pixels. Best: defects with the highest F1. No image is in both."""
    wrong = [image for image in images if _error_px(image)]
    ranked = sorted(wrong, key=lambda image: (image.refined_f1 or 0.0, -_error_px(image), image.id))
    worst = [image.id for image in ranked[: settings.worst_images]]
    found = [image for image in images if image.bad and image.refined_f1 and image.id not in worst]
    found.sort(key=lambda image: (-(image.refined_f1 or 0.0), image.id))
    return worst, [image.id for image in found[: settings.best_images]]


def _by_peak(peaks: Mapping[str, float], settings: ReportSettings) -> tuple[list[str], list[str]]:
    ranked = sorted(peaks, key=lambda image_id: (-peaks[image_id], image_id))
    worst = ranked[: settings.worst_images]
    rest = ranked[len(worst) :]
    return worst, rest[::-1][: settings.best_images]


def _score_caption(image: ImageScores) -> str:
    label = "defect" if image.bad else "good"
    f1 = "nothing to find, nothing found" if image.refined_f1 is None else f"F1 {image.refined_f1:.3f}"
    return (
        f"{label}, {f1}, peak {image.peak:.4g}, "
        f"{image.refined_false_positive_px:,} px too many, {image.refined_false_negative_px:,} px missed"
    )
