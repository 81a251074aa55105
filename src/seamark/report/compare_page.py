"""The page that compares runs: tables with differences, a scatter per run, and the images that changed most."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seamark.comparison.changed_images import ComparedImage
from seamark.comparison.differences import ComparedSubset, missing_parts
from seamark.comparison.runs import ScoredRun
from seamark.comparison.tables import DASH, MAIN_SCORES, changed_settings, score_labels
from seamark.evaluation.summary import MEAN, WHOLE_SPLIT
from seamark.report.links import relative_link, relative_path
from seamark.report.scatter import Point, scatter_chart


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

    @property
    def fpr_limit(self) -> float:
        """False-positive rate up to which AucPro is integrated."""
        return next((manifest.fpr_limit for run in self.runs for _, manifest in run.evaluations.values()), 0.05)


@dataclass(frozen=True)
class RunCharts:
    """Charts of one run against the first."""

    run: ScoredRun
    charts: tuple[tuple[str, Markup], ...]
    """Heading and drawing."""
    plot: Path


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
    whole = [subset for subset in comparison.subsets if subset.light == WHOLE_SPLIT]
    anchors = {image.id: f"image-{number}" for number, image in enumerate(comparison.images)}
    facts = {
        "title": comparison.title,
        "runs": comparison.runs,
        "changes": [changed_settings(run.files.changes) for run in comparison.runs],
        "missing": missing_parts(comparison.runs),
        "labels": score_labels(comparison.fpr_limit),
        "main_scores": MAIN_SCORES,
        "means": [subset for subset in whole if subset.category == MEAN],
        "groups": _by_category(comparison.subsets),
        "resamples": max((m.resamples for run in comparison.runs for _, m in run.evaluations.values()), default=0),
        "charts": [
            _run_charts(comparison, number, plot, anchors) for number, plot in enumerate(comparison.plots, start=1)
        ],
        "anchors": anchors,
        "pictures": [(image, comparison.pictures[image.id]) for image in _drawn(comparison)],
        "image_groups": _image_groups(comparison.images),
        "table": comparison.table,
        "markdown": comparison.markdown,
    }
    return _environment(page.parent).get_template("compare.html.j2").render(facts)


def _by_category(subsets: Sequence[ComparedSubset]) -> dict[str, list[ComparedSubset]]:
    categories = dict.fromkeys(subset.category for subset in subsets)
    return {category: [subset for subset in subsets if subset.category == category] for category in categories}


def _image_groups(images: Sequence[ComparedImage]) -> dict[tuple[str, str], list[ComparedImage]]:
    groups: dict[tuple[str, str], list[ComparedImage]] = {}
    for image in images:
        groups.setdefault((image.category, image.split), []).append(image)
    return groups


def _drawn(comparison: Comparison) -> list[ComparedImage]:
    images = {image.id: image for image in comparison.images}
    return [images[name] for name in comparison.pictures]


def _run_charts(comparison: Comparison, number: int, plot: Path, anchors: dict[str, str]) -> RunCharts:
    defects: list[Point] = []
    good: list[Point] = []
    for image in comparison.images:
        first, other = image.results[0], image.results[number]
        if first is None or other is None:
            continue
        if image.bad:
            pair = (first.scores.refined_f1 or 0.0, other.scores.refined_f1 or 0.0)
        else:
            pair = (100.0 * first.false_positive_share, 100.0 * other.false_positive_share)
        name = f"{image.id}: {pair[0]:.3g}, then {pair[1]:.3g}"
        (defects if image.bad else good).append(Point(*pair, image.category, name, f"#{anchors[image.id]}"))
    run, names = comparison.runs[number], [comparison.runs[0].files.name, comparison.runs[number].files.name]
    charts = [
        (heading, scatter_chart(f"{heading}: {names[0]} and {names[1]}", points, x_label=names[0], y_label=names[1]))
        for heading, points in (("F1 of images with a defect", defects), ("Good images: wrong pixels in %", good))
        if points
    ]
    return RunCharts(run, tuple(charts), plot)


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
    environment.filters["score"] = lambda value: DASH if value is None else f"{value:.3f}"
    environment.filters["signed"] = _signed
    style = files("seamark.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)  # the package's own file, not data
    return environment


def _signed(value: float) -> str:
    """Return a difference with its sign, and none where it rounds to 0."""
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text
