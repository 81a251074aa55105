"""Images that the report shows: worst and best by refined F1, or by peak score where the truth is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.manifests.evaluation import ImageScores
from seamark.report.run_files import CategoryFiles
from seamark.settings.report import ReportSettings


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

    split: str
    truth_known: bool
    """Whether defects have masks."""
    worst: tuple[Picture, ...]
    """Where the truth is not known: the highest peak scores."""
    best: tuple[Picture, ...]
    """Where the truth is not known: the lowest peak scores."""
    contact_sheet: Path
    images: int


def galleries(files: CategoryFiles, settings: ReportSettings) -> list[Gallery]:
    """Choose the images of every split of a category, in the order of the previews."""
    return [_gallery(files, split, settings) for split in files.previews]


def _gallery(files: CategoryFiles, split: str, settings: ReportSettings) -> Gallery:
    path, preview = files.previews[split]
    shown = {strip.id: path.parent / strip.file for strip in preview.strips}
    scores = {name: scores for name, scores in files.scores(split).items() if name in shown}
    captions = {name: _score_caption(image) for name, image in scores.items()}
    truth_known = bool(scores) and not any(image.left_out == "no mask" for image in scores.values())
    if truth_known:
        worst, best = _by_score(list(scores.values()), settings)
    else:
        peaks = {name: peak for name, peak in files.peaks(split).items() if name in shown}
        worst, best = _by_peak(peaks, settings)
        captions = {name: f"peak {peak:.4g}" for name, peak in peaks.items()} | captions
    return Gallery(
        split=split,
        truth_known=truth_known,
        worst=tuple(Picture(name, captions[name], shown[name]) for name in worst),
        best=tuple(Picture(name, captions[name], shown[name]) for name in best),
        contact_sheet=path.parent / preview.contact_sheet,
        images=len(shown),
    )


def _error_px(image: ImageScores) -> int:
    return (image.refined_false_positive_px or 0) + (image.refined_false_negative_px or 0)


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
    if image.left_out:
        return f"{label}, {image.left_out}, peak {image.peak:.4g}"
    f1 = "nothing to find, nothing found" if image.refined_f1 is None else f"F1 {image.refined_f1:.3f}"
    return (
        f"{label}, {f1}, peak {image.peak:.4g}, "
        f"{image.refined_false_positive_px:,} px too many, {image.refined_false_negative_px:,} px missed"
    )
