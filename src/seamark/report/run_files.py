"""The files of a finished run, and what their manifests say about each category."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from seamark.evaluation.images import TEST_SPLITS
from seamark.manifests.base import AnyManifest, read_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.evaluation import EvaluationManifest, ImageScores
from seamark.manifests.index import IndexManifest
from seamark.manifests.inventory import InventoryManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.preview import PreviewManifest
from seamark.manifests.verdict import VerdictManifest
from seamark.maps.calibration import read_histogram
from seamark.maps.float16_scores import Histogram
from seamark.report.cost import RunCost, read_costs
from seamark.report.thresholds import ThresholdRow, WarningRow, threshold_rows, warning_rows

OfCategory = TypeVar(
    "OfCategory",
    CalibrationManifest,
    EvaluationManifest,
    IndexManifest,
    MasksManifest,
    PreviewManifest,
    VerdictManifest,
)


@dataclass(frozen=True)
class CategoryFiles:
    """The manifests of one category that its gallery is made of, each with its path.

    Parameters
    ----------
    inventory : tuple of Path and InventoryManifest
        Of the category.
    evaluation : tuple of Path and EvaluationManifest, optional
        None when nothing was scored.
    index, calibration, previews, coarse, refined, verdicts : mapping of str to tuple of Path and manifest
        By split.
    """

    inventory: tuple[Path, InventoryManifest]
    index: Mapping[str, tuple[Path, IndexManifest]]
    calibration: Mapping[str, tuple[Path, CalibrationManifest]]
    evaluation: tuple[Path, EvaluationManifest] | None
    previews: Mapping[str, tuple[Path, PreviewManifest]]
    coarse: Mapping[str, tuple[Path, MasksManifest]]
    refined: Mapping[str, tuple[Path, MasksManifest]]
    verdicts: Mapping[str, tuple[Path, VerdictManifest]]

    @property
    def category(self) -> str:
        """Name of the category."""
        return self.inventory[1].category

    @property
    def script(self) -> str:
        """File with the data of the gallery, relative to the page's folder."""
        return f"gallery/images/{self.category}.js"

    @cached_property
    def test_verdicts(self) -> dict[str, tuple[Path, VerdictManifest]]:
        """Verdicts on the test splits in the gallery, by split."""
        return {
            split: found for split, found in self.verdicts.items() if split in self.previews and split in TEST_SPLITS
        }

    @cached_property
    def verdict_bases(self) -> list[tuple[list[str], VerdictManifest]]:
        """What the test splits were judged by, which overrides may set apart: splits, and the manifest of the first."""
        found: dict[object, tuple[list[str], VerdictManifest]] = {}
        for split, (_, manifest) in self.test_verdicts.items():
            basis = (manifest.normal, manifest.normal_scores, manifest.bad, manifest.look)
            found.setdefault(basis, ([], manifest))[0].append(split)
        return list(found.values())

    @cached_property
    def images(self) -> int:
        """Number of images in the gallery."""
        return sum(len(manifest.strips) for _, manifest in self.previews.values())

    @cached_property
    def lights(self) -> list[str]:
        """Light conditions of the images in the gallery."""
        return sorted({image.light for split in self.previews for image in self.index[split][1].images})

    @cached_property
    def scored(self) -> bool:
        """Whether the truth of an image in the gallery is known."""
        return any(self.scores(split) for split in self.previews)

    @cached_property
    def left_out(self) -> list[ImageScores]:
        """Images that scores of pixels and defects leave out."""
        return [image for image in (self.evaluation[1].images if self.evaluation else ()) if image.left_out]

    def scores(self, split: str) -> dict[str, ImageScores]:
        """Return the scores of the images of a split by id; empty where the truth is not known."""
        images = self.evaluation[1].images if self.evaluation else ()
        return {image.id: image for image in images if image.split == split}

    def peaks(self, split: str) -> dict[str, float]:
        """Return the highest score of each image of a split by id."""
        return {image.id: image.maximum for image in self.calibration[split][1].statistics.images}


@dataclass(frozen=True)
class ReportFiles:
    """The files that the page is made of.

    Parameters
    ----------
    inventory, index, fit, calibration, coarse, refined, verdicts, evaluation, preview : tuple of Path
        Manifests; refined masks are those of the verdict stage.
    curves : tuple of Path
        Threshold curves (CSV), in the order of the evaluations.
    check : Path, optional
        Report of the submission check; None when the run has no private split.
    summary : Path
        The table of all scores.
    verdict_table : Path
        The table of all verdicts.
    run_folder : Path
        Folder below which the provenance files lie.
    """

    inventory: tuple[Path, ...]
    index: tuple[Path, ...]
    fit: tuple[Path, ...]
    calibration: tuple[Path, ...]
    coarse: tuple[Path, ...]
    refined: tuple[Path, ...]
    verdicts: tuple[Path, ...]
    evaluation: tuple[Path, ...]
    preview: tuple[Path, ...]
    curves: tuple[Path, ...]
    check: Path | None
    summary: Path
    verdict_table: Path
    run_folder: Path

    @cached_property
    def evaluations(self) -> dict[Path, EvaluationManifest]:
        """Manifests of the evaluate stage by path."""
        return _read_all(self.evaluation, EvaluationManifest)

    @cached_property
    def models(self) -> dict[Path, ModelManifest]:
        """Manifests of the train stage by path."""
        return _read_all(self.fit, ModelManifest)

    @cached_property
    def masks(self) -> dict[Path, MasksManifest]:
        """Masks of the binarize and verdict stages by path."""
        return _read_all((*self.coarse, *self.refined), MasksManifest)

    @cached_property
    def judged(self) -> dict[Path, VerdictManifest]:
        """Verdicts of the verdict stage by path."""
        return _read_all(self.verdicts, VerdictManifest)

    @cached_property
    def histograms(self) -> dict[str, dict[str, Histogram]]:
        """Pixels per float16 score, by category and split."""
        return {
            category: {split: read_histogram(*found) for split, found in files.calibration.items()}
            for category, files in self.categories.items()
        }

    @cached_property
    def thresholds(self) -> tuple[ThresholdRow, ...]:
        """Thresholds of all coarse masks."""
        validation = {name: splits["validation"] for name, splits in self.histograms.items() if "validation" in splits}
        return threshold_rows({path: self.masks[path] for path in self.coarse}, validation)

    @cached_property
    def threshold_warnings(self) -> tuple[WarningRow, ...]:
        """Warnings of all coarse masks."""
        return warning_rows({path: self.masks[path] for path in self.coarse}, self.previews)

    @cached_property
    def previews(self) -> dict[Path, PreviewManifest]:
        """Manifests of the preview stage by path."""
        return _read_all(self.preview, PreviewManifest)

    @cached_property
    def cost(self) -> RunCost:
        """What the run cost so far."""
        shown = (self.inventory, self.index, self.fit, self.calibration, self.coarse, self.refined, self.verdicts)
        ends = (self.evaluation, self.preview, (self.check,) if self.check else ())
        return read_costs(self.run_folder, (path for paths in (*shown, *ends) for path in paths))

    @cached_property
    def categories(self) -> dict[str, CategoryFiles]:
        """What the gallery of each category is made of, by category."""
        calibrations = _read_all(self.calibration, CalibrationManifest)
        indexes = _read_all(self.index, IndexManifest)
        return {
            inventory.category: CategoryFiles(
                inventory=(path, inventory),
                index={pair[1].split: pair for pair in _of_category(indexes, inventory.category)},
                calibration={pair[1].split: pair for pair in _of_category(calibrations, inventory.category)},
                evaluation=next(iter(_of_category(self.evaluations, inventory.category)), None),
                previews={pair[1].split: pair for pair in _of_category(self.previews, inventory.category)},
                coarse=self._masks(inventory.category, "coarse"),
                refined=self._masks(inventory.category, "judged"),
                verdicts={pair[1].split: pair for pair in _of_category(self.judged, inventory.category)},
            )
            for path, inventory in _read_all(self.inventory, InventoryManifest).items()
        }

    def _masks(self, category: str, stage: str) -> dict[str, tuple[Path, MasksManifest]]:
        return {pair[1].split: pair for pair in _of_category(self.masks, category) if pair[1].stage == stage}


def _read_all(paths: Sequence[Path], kind: type[AnyManifest]) -> dict[Path, AnyManifest]:
    return {path: read_manifest(path, kind) for path in paths}


def _of_category(manifests: Mapping[Path, OfCategory], category: str) -> list[tuple[Path, OfCategory]]:
    return [pair for pair in manifests.items() if pair[1].category == category]
