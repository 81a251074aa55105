"""Images that came out differently: the results of every run on each, and how much they changed."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.comparison.runs import ScoredRun, evaluated_splits
from seamark.files.atomic import atomic_folder
from seamark.files.tables import as_text
from seamark.manifests.evaluation import ImageScores
from seamark.settings.base import Split


@dataclass(frozen=True)
class ImageResult:
    """What one run made of one image."""

    scores: ImageScores
    false_positive_share: float | None
    """Pixels wrongly in the refined mask over all pixels of the image; None where scores of pixels leave it out."""

    def change(self, first: "ImageResult") -> float:
        """Return how much the result differs from that of the first run, 0..1.

        For an image with a defect, the difference of the refined F1; for a good one that of the false-positive share; 0
        for one that scores of pixels leave out.
        """
        return abs((self.measure or 0.0) - (first.measure or 0.0))

    @property
    def measure(self) -> float | None:
        """Refined F1 of an image with a defect, false-positive share of a good one; None where it is left out."""
        return self.scores.refined_f1 if self.scores.bad else self.false_positive_share


@dataclass(frozen=True)
class ComparedImage:
    """The results of all runs on one image."""

    category: str
    split: Split
    name: str
    light: str
    bad: bool
    results: tuple[ImageResult | None, ...]
    """One per run; None where a run has no scores for the split."""

    @property
    def id(self) -> str:
        """Category, split and id in one."""
        return f"{self.category}/{self.split}/{self.name}"

    @property
    def changes(self) -> tuple[float | None, ...]:
        """How much each run differs from the first; None where one of the two has no scores."""
        first = self.results[0]
        return tuple(None if result is None or first is None else result.change(first) for result in self.results)

    @property
    def change(self) -> float:
        """The largest change of any run."""
        return max(change or 0.0 for change in self.changes)

    @property
    def most_changed_run(self) -> int:
        """Place of the run with the largest change; the first of several."""
        return [change or 0.0 for change in self.changes].index(self.change)


def compared_images(runs: Sequence[ScoredRun]) -> list[ComparedImage]:
    """List every image that at least one run has scores for, by category and split, in the order of the evaluation."""
    return [image for category, split in evaluated_splits(runs) for image in _of_split(runs, category, split)]


def _of_split(runs: Sequence[ScoredRun], category: str, split: Split) -> list[ComparedImage]:
    known = [run.images(category, split) for run in runs]
    listed = next(images for images in known if images)
    return [
        ComparedImage(
            category=category,
            split=split,
            name=name,
            light=image.light,
            bad=image.bad,
            results=tuple(
                _result(run, category, images[name]) if images else None
                for run, images in zip(runs, known, strict=True)
            ),
        )
        for name, image in listed.items()
    ]


def _result(run: ScoredRun, category: str, scores: ImageScores) -> ImageResult:
    photograph = run.photographs[category][scores.split, scores.id]
    wrong = scores.refined_false_positive_px
    return ImageResult(scores, None if wrong is None else wrong / (photograph.width * photograph.height))


def most_changed(images: Sequence[ComparedImage], count: int) -> list[ComparedImage]:
    """Return those of the images that changed, compared with the first run: the largest change first, then by id."""
    changed = [image for image in images if image.change > 0.0]
    return sorted(changed, key=lambda image: (-image.change, image.id))[:count]


def write_run_pairs(folder: Path, images: Sequence[ComparedImage], runs: int) -> list[Path]:
    """Write the results of the first run and of each other one on every image, a CSV per run after the first."""
    names = [f"run_{number}.csv" for number in range(1, runs)]
    with atomic_folder(folder) as draft:
        for number, name in enumerate(names, start=1):
            _write_pairs(draft / name, images, number)
    return [folder / name for name in names]


def _write_pairs(target: Path, images: Sequence[ComparedImage], number: int) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        scores = ("refined_f1", "false_positive_share", "peak")
        ends = [f"{name}_{end}" for name in scores for end in ("first", "run")]
        writer.writerow(["category", "split", "image", "light", "bad", *ends])
        for image in images:
            first, other = image.results[0], image.results[number]
            if first is None or other is None:
                continue
            pairs = [
                (first.scores.refined_f1, other.scores.refined_f1),
                (first.false_positive_share, other.false_positive_share),
                (first.scores.peak, other.scores.peak),
            ]
            cells = ["" if value is None else repr(value) for pair in pairs for value in pair]
            names = map(as_text, (image.category, image.split, image.name, image.light))
            writer.writerow([*names, int(image.bad), *cells])
