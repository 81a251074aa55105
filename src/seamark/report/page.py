"""The report of a run: gathers what the manifests say, relates every number to its file, and fills the template."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.evaluation.summary import WHOLE_SPLIT, SummaryRow, summary_rows
from seamark.manifests.base import read_manifest
from seamark.manifests.plots import PlotsManifest
from seamark.manifests.preview import LayerName
from seamark.manifests.submission import CheckReport
from seamark.preview.panels import MASK_COLOURS
from seamark.report.drawing import inline_svg
from seamark.report.false_alarms import false_alarm_rows
from seamark.report.gallery import galleries, worst_shots
from seamark.report.pages import render
from seamark.report.run_files import ReportFiles
from seamark.report.thresholds import NORMAL_IMAGES
from seamark.settings.report import ReportSettings

LISTS = ("inventory", "index", "fit", "calibration", "coarse", "refined", "verdicts", "preview", "evaluation")
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


def render_page(
    inputs: ReportFiles,
    page: Path,
    run: str,
    config: Mapping[str, Any],
    settings: ReportSettings,
    *,
    plots: Path,
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
    plots : Path
        Manifest of the plots, which lie beside it, perhaps still in a draft of their folder in that of the page.

    Returns
    -------
    str
        HTML with inline style and charts; images and data are linked, never inlined. All names are escaped.

    Raises
    ------
    ManifestError
        If one of the files is missing or damaged.
    """
    models, evaluations = inputs.models.values(), inputs.evaluations
    rows = summary_rows(list(evaluations.values()))
    drawn = read_manifest(plots, PlotsManifest)
    methods = {masks.method for masks in inputs.masks.values() if masks.stage == "judged"}
    facts = {
        "run": run,
        "categories": inputs.categories,
        "models": inputs.models,
        "detectors": sorted({model.detector for model in models}),
        "random": sorted({model.detector for model in models if model.backbone_digest == RANDOM}),
        "random_segmenters": sorted({method for method in methods if "random weights" in method}),
        "metrics": [
            (path, found, telling_rows(summary_rows([found])[: len(found.subsets)]))
            for path, found in evaluations.items()
        ],
        "means": rows[sum(len(found.subsets) for found in evaluations.values()) :],
        "thresholds": inputs.thresholds,
        "threshold_warnings": inputs.threshold_warnings,
        "false_alarms": false_alarm_rows(inputs.masks, evaluations),
        "plots": drawn,
        "plots_folder": page.parent / plots.parent.name,
        "curves": dict(zip((found.category for found in evaluations.values()), inputs.curves, strict=True)),
        "charts": {
            plot.name: inline_svg(plot.title, (plots.parent / plot.svg).read_text(encoding="utf-8"))
            for plot in drawn.plots
        },
        "cost": inputs.cost,
        "galleries": {name: galleries(found, settings) for name, found in inputs.categories.items()},
        "shots": worst_shots(inputs.categories),
        "layers": [(name, title, MASK_COLOURS.get(name)) for name, title in LAYERS.items()],
        "summary": inputs.summary,
        "verdict_table": inputs.verdict_table,
        "normal_texts": NORMAL_IMAGES,
        "official_categories": sorted(OFFICIAL_COUNTS),
        "check": None if inputs.check is None else read_manifest(inputs.check, CheckReport),
        "config": yaml.safe_dump(json.loads(json.dumps(config, default=str)), sort_keys=False, allow_unicode=True),
        "check_path": inputs.check,
        "file_lists": {name: getattr(inputs, name) for name in LISTS},
    }
    return render("report.html.j2", page, facts, ("report.css", "gallery.css", "verdicts.css"))


def telling_rows(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """Leave out rows that hold the same images as another.

    Parameters
    ----------
    rows : sequence of SummaryRow
        Of one category.

    Returns
    -------
    list of SummaryRow
        In their order, without the light that is the only one of its split.
    """
    lights = Counter(row.split for row in rows if row.light != WHOLE_SPLIT)
    return [row for row in rows if row.light == WHOLE_SPLIT or lights[row.split] > 1]
