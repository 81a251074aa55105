"""The page that compares runs: tables with differences, a scatter per run, and the images that changed most."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from seamark.comparison.changed_images import ComparedImage
from seamark.comparison.differences import ComparedSubset, missing_parts
from seamark.comparison.runs import ScoredRun
from seamark.comparison.tables import changed_settings
from seamark.evaluation.summary import MEAN, WHOLE_SPLIT
from seamark.report.drawing import ScatterPoint, scatter_chart
from seamark.report.pages import render

MAIN_SCORES = ("auc_pro", "coarse_seg_f1", "refined_seg_f1", "refined_class_f1")
"""The scores of the compact table, by name as in the summary."""
LABELS = {
    "coarse_seg_f1": "SegF1 coarse",
    "refined_seg_f1": "SegF1 refined",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "image_auroc": "image AUROC",
    "iap": "IAP",
    "refined_class_f1": "ClassF1",
}
"""What the scores after AucPro are called, by name as in the summary."""


@dataclass(frozen=True)
class Comparison:
    """Everything that the page shows.

    Parameters
    ----------
    title : str
        Heading.
    runs : sequence of ScoredRun
        The first is the one that differences are taken against.
    subsets : sequence of ComparedSubset
        Scores of the runs.
    images : sequence of ComparedImage
        Results on every image.
    pictures : dict of str to Path
        Drawn images by their id, those that changed most first.
    plots : sequence of Path
        CSV behind the charts of each run after the first.
    table, markdown : Path
        The tables as files.
    """

    title: str
    runs: Sequence[ScoredRun]
    subsets: Sequence[ComparedSubset]
    images: Sequence[ComparedImage]
    pictures: dict[str, Path]
    plots: Sequence[Path]
    table: Path
    markdown: Path


def render_markdown(comparison: Comparison) -> str:
    """Render the compact table, runs against splits and main scores, for the mean and for every category."""
    return render("compare.md.j2", comparison.markdown, _tables(comparison))


def render_comparison(comparison: Comparison, page: Path) -> str:
    """Render the page.

    Parameters
    ----------
    comparison : Comparison
        What it shows.
    page : Path
        Where it will lie; links are relative to its folder.

    Returns
    -------
    str
        HTML with inline style and charts; pictures and data are linked, never inlined. All names are escaped.
    """
    runs, images = comparison.runs, {image.id: image for image in comparison.images}
    anchors = {name: f"image-{number}" for number, name in enumerate(images)}
    groups: dict[tuple[str, str], list[ComparedImage]] = defaultdict(list)
    for image in comparison.images:
        groups[image.category, image.split].append(image)
    facts = _tables(comparison) | {
        "missing": missing_parts(runs),
        "means": [s for s in comparison.subsets if s.category == MEAN and s.light == WHOLE_SPLIT],
        "resamples": max((m.resamples for run in runs for _, m in run.evaluations.values()), default=0),
        "charts": [
            (run, _run_charts(comparison, number, anchors), comparison.plots[number - 1])
            for number, run in enumerate(runs)
            if number
        ],
        "anchors": anchors,
        "pictures": [(images[name], picture) for name, picture in comparison.pictures.items()],
        "image_groups": groups,
        "table": comparison.table,
        "markdown": comparison.markdown,
    }
    return render("compare.html.j2", page, facts, ("report.css", "compare.css"))


def _tables(comparison: Comparison) -> dict[str, Any]:
    """Return what page and Markdown have in common."""
    runs = comparison.runs
    limit = next((manifest.fpr_limit for run in runs for _, manifest in run.evaluations.values()), 0.05)
    groups: dict[str, list[ComparedSubset]] = defaultdict(list)
    for subset in comparison.subsets:
        groups[subset.category].append(subset)
    return {
        "title": comparison.title,
        "runs": runs,
        "changes": [changed_settings(run.files.changes) for run in runs],
        "labels": {"auc_pro": f"AucPro_{limit:g}"} | LABELS,
        "main_scores": MAIN_SCORES,
        "groups": groups,
    }


def _run_charts(comparison: Comparison, number: int, anchors: dict[str, str]) -> list[Markup]:
    """Draw one run against the first, images with a defect and good ones apart."""
    names = [comparison.runs[place].files.name for place in (0, number)]
    defects, good = "F1 of images with a defect", "Good images: wrong pixels in %"
    points: dict[str, list[ScatterPoint]] = {defects: [], good: []}
    for image in comparison.images:
        results = [image.results[place] for place in (0, number)]
        known = [result.measure for result in results if result is not None and result.measure is not None]
        if len(known) == 2:
            x, y = (measure if image.bad else 100.0 * measure for measure in known)
            name = f"{image.id}: {x:.3g}, then {y:.3g}"
            point = ScatterPoint(x, y, image.category, name, f"#{anchors[image.id]}")
            points[defects if image.bad else good].append(point)
    return [
        scatter_chart(heading, found, x_label=names[0], y_label=names[1], salt=f"{number} {heading}")
        for heading, found in points.items()
        if found
    ]
