"""Images that the report shows: worst and best by refined F1, or by peak score where the truth is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from seamark.manifests.evaluation import ImageScores
from seamark.report.run_files import CategoryFiles
from seamark.settings.report import ReportSettings

SHOTS = 3
"""Thumbnails at the top of the page."""


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


@dataclass(frozen=True)
class Shot:
    """One thumbnail at the top of the page."""

    category: str
    split: str
    id: str
    caption: str
    thumbnail: Path

    @property
    def address(self) -> str:
        """What names it to the viewer."""
        return "/".join(quote(part, safe="") for part in (self.category, self.split, self.id))


def worst_shots(categories: Mapping[str, CategoryFiles]) -> list[Shot]:
    """Choose the worst images of all categories, the worst first.

    Parameters
    ----------
    categories : mapping of str to CategoryFiles
        By name.

    Returns
    -------
    list of Shot
        At most ``SHOTS``, as in the strips: by refined F1, then by wrong pixels; only images with a wrong pixel. Where
        no truth is known of any, those of the test splits with the lowest p.
    """
    thumbnails = {
        (name, split, strip.id): path.parent / layer.file
        for name, files in categories.items()
        for split, (path, preview) in files.previews.items()
        for strip in preview.strips
        for layer in strip.layers
        if layer.name == "thumbnail"
    }
    scored = [
        ((name, split, image.id), image)
        for name, files in categories.items()
        for split in files.previews
        for image in files.scores(split).values()
    ]
    if scored:
        wrong = sorted((pair for pair in scored if _error_px(pair[1])), key=lambda pair: (*_badness(pair[1]), pair[0]))
        captions = {place: _score_caption(image) for place, image in wrong}
    else:
        judged = [
            ((name, split, image.id), image)
            for name, files in categories.items()
            for split, (_, manifest) in files.test_verdicts.items()
            for image in manifest.images
        ]
        judged.sort(key=lambda pair: (pair[1].p, -pair[1].score, pair[0]))
        captions = {place: f"{image.answer}, p {image.p:.4g}, peak {image.score:.4g}" for place, image in judged}
    shown = [(place, caption) for place, caption in captions.items() if place in thumbnails]
    return [Shot(*place, caption, thumbnails[place]) for place, caption in shown[:SHOTS]]


def _badness(image: ImageScores) -> tuple[float, int]:
    return image.refined_f1 or 0.0, -_error_px(image)


def _error_px(image: ImageScores) -> int:
    return (image.refined_false_positive_px or 0) + (image.refined_false_negative_px or 0)


def _by_score(images: Sequence[ImageScores], settings: ReportSettings) -> tuple[list[str], list[str]]:
    """Worst: lowest F1, then most wrong pixels. Best: defects with the highest F1. No image is in both."""
    wrong = [image for image in images if _error_px(image)]
    ranked = sorted(wrong, key=lambda image: (*_badness(image), image.id))
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
