"""The page itself: gathers what the manifests say, relates every number to its file, and fills the template."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seamark.evaluation.summary import SummaryRow, summary_rows
from seamark.manifests.base import AnyManifest, read_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.preview import LayerName, PreviewManifest
from seamark.manifests.submission import CheckReport
from seamark.maps.calibration import read_histogram
from seamark.maps.float16_scores import Histogram
from seamark.preview.layers import COLOURS
from seamark.report.charts import score_chart, training_chart
from seamark.report.cost import RunCost, read_costs
from seamark.report.curve_charts import PageFigures
from seamark.report.false_alarms import false_alarm_rows
from seamark.report.gallery import galleries
from seamark.report.links import relative_link, relative_path
from seamark.report.thresholds import threshold_markers, threshold_rows
from seamark.report.viewer import CategoryFiles
from seamark.settings.report import ReportSettings

LISTS = ("index", "fit", "calibration", "coarse", "refined", "preview", "evaluation")
"""Names of the lists of manifests, in the order of the flow."""

LAYERS: dict[LayerName, str] = {
    "photograph": "Photograph",
    "map": "Anomaly map",
    "coarse": "Coarse mask",
    "refined": "Refined mask",
    "truth": "Truth",
}
"""Layers of the viewer from the lowest to the highest, with their titles."""

RANDOM = "random"
"""Backbone digest of weights that were never trained."""


@dataclass(frozen=True)
class ReportFiles:
    """The files that the page is made of.

    Parameters
    ----------
    index, fit, calibration, coarse, refined, evaluation, preview : tuple of Path
        Manifests.
    curves : tuple of Path
        Threshold curves (CSV), in the order of the evaluations.
    check : Path, optional
        Report of the submission check; None when the run has no private split.
    summary : Path
        The table of all scores.
    run_folder : Path
        Folder below which the provenance files lie.
    """

    index: tuple[Path, ...]
    fit: tuple[Path, ...]
    calibration: tuple[Path, ...]
    coarse: tuple[Path, ...]
    refined: tuple[Path, ...]
    evaluation: tuple[Path, ...]
    preview: tuple[Path, ...]
    curves: tuple[Path, ...]
    check: Path | None
    summary: Path
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
    def calibrations(self) -> dict[Path, CalibrationManifest]:
        """Manifests of the calibrate stage by path."""
        return _read_all(self.calibration, CalibrationManifest)

    @cached_property
    def previews(self) -> dict[Path, PreviewManifest]:
        """Manifests of the preview stage by path."""
        return _read_all(self.preview, PreviewManifest)

    @cached_property
    def masks(self) -> dict[Path, MasksManifest]:
        """Manifests of the binarize and refine stages by path."""
        return _read_all((*self.coarse, *self.refined), MasksManifest)

    @cached_property
    def categories(self) -> dict[str, CategoryFiles]:
        """What the gallery of each category is made of, by category."""
        return {
            manifest.category: self._of_category(path, manifest)
            for path, manifest in _read_all(self.index, IndexManifest).items()
        }

    def _of_category(self, path: Path, index: IndexManifest) -> CategoryFiles:
        category = index.category
        masks = [(path, masks) for path, masks in self.masks.items() if masks.category == category]
        return CategoryFiles(
            index=(path, index),
            calibration=next(pair for pair in self.calibrations.items() if pair[1].category == category),
            evaluation=next((pair for pair in self.evaluations.items() if pair[1].category == category), None),
            previews={
                preview.split: (path, preview)
                for path, preview in self.previews.items()
                if preview.category == category
            },
            coarse={masks.split: (path, masks) for path, masks in masks if masks.stage == "coarse"},
            refined={masks.split: (path, masks) for path, masks in masks if masks.stage == "refined"},
        )


def _read_all(paths: Sequence[Path], kind: type[AnyManifest]) -> dict[Path, AnyManifest]:
    return {path: read_manifest(path, kind) for path in paths}


@dataclass(frozen=True)
class MetricGroup:
    """The rows of one category and the file they come from."""

    category: str
    rows: tuple[SummaryRow, ...]
    manifest: EvaluationManifest
    path: Path


@dataclass(frozen=True)
class CategoryCharts:
    """Score histogram and training curves of one category."""

    category: str
    scores: Markup
    calibration: Path
    histogram: Path
    training: tuple[tuple[ModelManifest, Path, tuple[tuple[str, Markup | None], ...]], ...]
    """Per detector: model, its manifest, and the phases with their chart, if any."""


def render_page(
    inputs: ReportFiles,
    page: Path,
    run: str,
    config: Mapping[str, Any],
    settings: ReportSettings,
    *,
    figures: PageFigures,
) -> str:
    """Render the report.

    Parameters
    ----------
    inputs : ReportFiles
        What it is made of.
    page : Path
        Where it will lie; links are relative to its folder.
    run : str
        Name of the run.
    config : mapping
        Resolved configuration, ready for JSON.
    settings : ReportSettings
        How many images to show.
    figures : PageFigures
        Charts over thresholds, and the plots that lie beside the page.

    Returns
    -------
    str
        HTML with inline style and charts; images and data are linked, never inlined. All names are escaped.

    Raises
    ------
    ManifestError
        If one of the files is missing or damaged.
    """
    histograms = {
        manifest.category: read_histogram(manifest, path.parent) for path, manifest in inputs.calibrations.items()
    }
    validation = {category: splits["validation"] for category, splits in histograms.items() if "validation" in splits}
    thresholds = threshold_rows({path: inputs.masks[path] for path in inputs.coarse}, validation)
    categories = list(inputs.categories)
    methods = {manifest.method for manifest in inputs.masks.values() if manifest.stage == "refined"}
    markers = {category: threshold_markers(thresholds, category) for category in categories}
    facts = {
        "run": run,
        "figures": figures,
        "categories": categories,
        "models": inputs.models,
        "detectors": sorted({model.detector for model in inputs.models.values()}),
        "random": sorted({model.detector for model in inputs.models.values() if model.backbone_digest == RANDOM}),
        "random_segmenters": sorted({method for method in methods if "random weights" in method}),
        "metrics": metric_groups(inputs.evaluations),
        "means": mean_rows(tuple(inputs.evaluations.values())),
        "thresholds": thresholds,
        "false_alarms": false_alarm_rows(inputs.masks, inputs.evaluations),
        "charts": [
            _category_charts(path, manifest, histograms[manifest.category], markers, inputs.models)
            for path, manifest in inputs.calibrations.items()
        ],
        "cost": _costs(inputs, categories),
        "galleries": galleries(
            inputs.previews,
            tuple(inputs.evaluations.values()),
            tuple(inputs.calibrations.values()),
            settings,
        ),
        "image_galleries": inputs.categories,
        "layers": [(name, title, COLOURS.get(name)) for name, title in LAYERS.items()],
        "summary": inputs.summary,
        "check": None if inputs.check is None else read_manifest(inputs.check, CheckReport),
        "config": yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False, allow_unicode=True),
        "check_path": inputs.check,
        "file_lists": {name: getattr(inputs, name) for name in LISTS},
    }
    return _environment(page.parent).get_template("report.html.j2").render(facts)


def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=PackageLoader("seamark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["link"] = lambda path: relative_link(path, folder)
    environment.filters["relative"] = lambda path: relative_path(path, folder.parent)
    environment.filters["score"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["raw"] = lambda value: "–" if value is None else f"{value:.4g}"
    environment.filters["percent"] = percent
    environment.filters["duration"] = duration
    templates = files("seamark.report").joinpath("templates")
    style = [templates.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "gallery.css")]
    environment.globals["style"] = Markup("\n".join(style))  # the package's own files, not data
    return environment


def percent(share: float) -> str:
    """Return a share in percent with as many digits as a small one needs."""
    return "0 %" if share == 0.0 else f"{100.0 * share:.2g} %" if share < 0.1 else f"{100.0 * share:.1f} %"


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that keeps it readable."""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def metric_groups(evaluations: Mapping[Path, EvaluationManifest]) -> tuple[MetricGroup, ...]:
    """List the scores of every category with the file that they come from.

    Parameters
    ----------
    evaluations : mapping of Path to EvaluationManifest
        By path.

    Returns
    -------
    tuple of MetricGroup
        In the order given.
    """
    return tuple(
        MetricGroup(manifest.category, tuple(summary_rows([manifest])[: len(manifest.subsets)]), manifest, path)
        for path, manifest in evaluations.items()
    )


def mean_rows(evaluations: Sequence[EvaluationManifest]) -> tuple[SummaryRow, ...]:
    """Return the means over the categories, one row per split.

    Parameters
    ----------
    evaluations : sequence of EvaluationManifest
        One per category.

    Returns
    -------
    tuple of SummaryRow
        Empty when no truth is known.
    """
    return tuple(summary_rows(evaluations)[sum(len(manifest.subsets) for manifest in evaluations) :])


def _costs(inputs: ReportFiles, categories: Sequence[str]) -> RunCost:
    return read_costs(inputs.run_folder, categories, {model.detector for model in inputs.models.values()})


def _category_charts(
    path: Path,
    calibration: CalibrationManifest,
    histograms: dict[str, Histogram],
    markers: Mapping[str, Any],
    models: Mapping[Path, ModelManifest],
) -> CategoryCharts:
    category = calibration.category
    return CategoryCharts(
        category=category,
        scores=score_chart(f"scores of {category}", histograms, markers[category]),
        calibration=path,
        histogram=path.parent / calibration.histogram,
        training=tuple(
            (model, fit, tuple((phase.name, training_chart(phase)) for phase in model.phases))
            for fit, model in models.items()
            if model.category == category
        ),
    )
