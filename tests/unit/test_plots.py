"""Plots as files: the table is the curve, the bytes are the same each time, and what is absent says why."""

import csv
import re
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from seamark.evaluation.curves import threshold_curve
from seamark.evaluation.metrics import ScoreCounts
from seamark.manifests.evaluation import ImageScores
from seamark.manifests.model import ModelManifest, PhaseRecord
from seamark.manifests.plots import AbsentPlot
from seamark.maps.float16_scores import score_histogram
from seamark.report.cost import JobCost, RunCost, stage_costs
from seamark.report.drawing import STYLE, Bar, Marker, Panel, Series, bar_plot, inline_svg, line_plot, plain
from seamark.report.plots import CategoryFigures, run_plots, write_plots

NAMES = (
    "split_histograms",
    "score_histograms",
    "threshold_curves",
    "overlap_curve",
    "image_roc",
    "precision_recall",
    "training_bank",
)


def curve(seed=1, *, defect=True):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.0, 1.0, (40, 50)).astype(np.float32)
    truth = np.zeros(scores.shape, dtype=bool)
    if defect:
        truth[3:9, 4:12] = True
        scores[truth] += 3.0
    return threshold_curve(ScoreCounts.of(scores, truth))


def model(losses=None, steps=(1, 2, 3)):
    phase = PhaseRecord(name="bank", steps=3, curve_steps=steps, losses=losses or {})
    facts = {"file": "m", "sha256": "0", "parameters": 1, "backbone": "b", "backbone_digest": "0", "phases": (phase,)}
    return ModelManifest(detector="bank", category="a$b$", backbone_verified=True, map_shape=(1, 1), **facts)


def image(split, peak, *, bad):
    return ImageScores(split=split, id=f"{peak}", light="regular", bad=bad, peak=peak)


@pytest.fixture(scope="module")
def figures():
    return CategoryFigures(
        category="a$b$",
        histograms={"validation": HISTOGRAM, "test_public": HISTOGRAM},
        curves={"test_public": curve(), "test_private": curve(2)},
        markers=(Marker("mean_std 2", 2.0), Marker("mebin 3", 3.0)),
        images=(
            *(image("test_public", score, bad=score > 2) for score in (1, 2, 3, 4)),
            *(image("test_private", score, bad=True) for score in (1, 2)),
        ),
        models=(model({"loss": (3.0, 2.0, 0.01)}),),
        fpr_limit=0.05,
    )


HISTOGRAM = score_histogram(np.linspace(-1.0, 4.0, 1000, dtype=np.float32))
COST = RunCost(stage_costs([JobCost("train", "a", 60.0, 30.0, 500.0, "cpu", None)]), ())


@pytest.fixture(scope="module")
def plots(figures, tmp_path_factory):
    """Every plot of one category, and their folder."""
    folder = tmp_path_factory.mktemp("plots")
    return write_plots(folder, run_plots([figures], [], COST)), folder


def table(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_every_plot_is_there_as_svg_png_and_csv(plots):
    manifest, folder = plots
    assert [plot.name for plot in manifest.plots] == ["cost", *(f"a$b$/{name}" for name in NAMES)]
    assert [plot.name for plot in manifest.absent] == ["scores"]
    for plot in manifest.plots:
        with Image.open(folder / plot.png) as image:
            assert min(image.size) > 300
        svg = (folder / plot.svg).read_text()
        assert "<svg" in svg
        assert not re.search(r"<dc:date>|matplotlib v", svg)
        assert len(table(folder / plot.csv)) > 1
    shown = (folder / "a$b$/score_histograms.svg").read_text()
    assert "Pixel scores of a$b$" in shown
    assert "mebin 3" in shown
    assert "test_private" in shown


def test_the_same_plots_have_the_same_bytes(figures, plots, tmp_path):
    write_plots(tmp_path, run_plots([figures], [], COST))
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")} for folder in (plots[1], tmp_path)
    )
    assert len(first) == 25
    assert first == second


def test_the_tables_are_the_curves(figures, plots):
    folder = plots[1]
    public = figures.curves["test_public"]
    header, *rows = table(folder / "a$b$/threshold_curves.csv")
    assert header == ["panel", "line", "threshold (raw score)", "score of the mask"]
    for line, values in (("SegF1", public.seg_f1), ("precision", public.precision), ("recall", public.recall)):
        found = [(float(x), float(y)) for panel, name, x, y in rows if (panel, name) == ("test_public", line)]
        assert found == list(zip(public.thresholds.tolist(), values.tolist(), strict=True))
    rows = [row for row in table(folder / "a$b$/score_histograms.csv") if row[:2] == ["test_public", "defect pixels"]]
    assert [float(row[3]) for row in rows] == public.shares(public.defect_px).tolist()
    assert [float(row[2]) for row in rows] == public.edges()[:-1].tolist()
    rows = [row for row in table(folder / "a$b$/overlap_curve.csv") if row[1] == "test_public"]
    points = list(zip(public.false_positive_rate.tolist(), public.overlap.tolist(), strict=True))[::-1]
    assert [(float(x), float(y)) for *_, x, y in rows] == [(0.0, 0.0), *(point for point in points if point[0] <= 0.2)]
    rows = [row for row in table(folder / "a$b$/precision_recall.csv") if row[1] == "test_public"]
    assert [float(row[3]) for row in rows] == public.precision[::-1].tolist()
    assert table(folder / "a$b$/training_bank.csv")[1:] == [
        ["bank", "loss", "1.0", "3.0"],
        ["bank", "loss", "2.0", "2.0"],
        ["bank", "loss", "3.0", "0.01"],
    ]
    assert table(folder / "cost.csv")[1] == ["time of all jobs (min)", "train", "wall", "1.0", "", ""]


def absent(figures):
    return {
        plot.name: plot.reason for plot in run_plots([figures], [], RunCost((), ())) if isinstance(plot, AbsentPlot)
    }


def test_what_needs_truth_is_absent_without_it(figures):
    reasons = absent(replace(figures, curves={}, images=()))
    assert set(reasons) == {"scores", "cost", *(f"a$b$/{name}" for name in NAMES[1:6])}
    assert "data.truth_root" in reasons["scores"]
    assert "no truth is known for any split of a$b$" in reasons["a$b$/overlap_curve"]
    assert "provenance" in reasons["cost"]


def test_without_scores_the_file_of_their_plot_says_why(tmp_path):
    manifest = write_plots(tmp_path, run_plots([], [], RunCost((), ())))
    assert [plot.name for plot in manifest.absent] == ["scores", "cost"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.svg"]
    assert "set data.truth_root" in ElementTree.tostring(
        ElementTree.parse(tmp_path / "scores.svg").getroot(), "unicode"
    )


def test_what_needs_defects_is_absent_without_them(figures):
    reasons = absent(replace(figures, curves={"test_public": curve(defect=False)}, models=(model(),)))
    assert set(reasons) == {"scores", "cost", *(f"a$b$/{name}" for name in NAMES[2:] if name != "image_roc")}
    assert "has a defect pixel" in reasons["a$b$/threshold_curves"]
    assert "notes no loss" in reasons["a$b$/training_bank"]


def test_what_needs_both_kinds_of_images_is_absent_without_them(figures):
    reasons = absent(replace(figures, images=figures.images[2:]))
    assert "good and bad images" in reasons["a$b$/image_roc"]


def test_the_roc_of_images_is_that_of_their_peaks(figures, tmp_path):
    scores = {(False, 1.0), (False, 2.0), (True, 2.0), (True, 3.0)}
    images = tuple(image("test_public", peak, bad=bad) for bad, peak in scores)
    write_plots(tmp_path, run_plots([replace(figures, images=images)], [], COST))
    points = [row[1:] for row in table(tmp_path / "a$b$/image_roc.csv")[1:]]
    assert points == [
        ["test_public", x, y] for x, y in (("0.0", "0.0"), ("0.0", "0.5"), ("0.5", "1.0"), ("1.0", "1.0"))
    ]


def test_bars_keep_their_intervals(tmp_path):
    bars = [Bar("can", "test_public", 0.5, (0.4, 0.7)), Bar("rice", "test_private", 0.25)]
    bar_plot("scores", "Scores", [("SegF1", bars)]).write(tmp_path)
    assert table(tmp_path / "scores.csv") == [
        ["quantity", "group", "name", "value", "low", "high"],
        ["SegF1", "can", "test_public", "0.5", "0.4", "0.7"],
        ["SegF1", "rice", "test_private", "0.25", "", ""],
    ]


def test_maps_of_one_score_have_charts_too(figures, tmp_path):
    truth = np.zeros((4, 4), bool)
    truth[0, 0] = True
    constant = {"test_public": threshold_curve(ScoreCounts.of(np.full((4, 4), 2.0, np.float32), truth))}
    histogram = {"validation": score_histogram(np.full((4, 4), 2.0, np.float32))}
    constant_figures = replace(figures, curves=constant, histograms=histogram, markers=(), models=())
    assert len(write_plots(tmp_path, run_plots([constant_figures], [], RunCost((), ()))).plots) == 6


def test_names_are_no_formulas():
    assert plain("a$b$") == r"a\$b\$"


def drawn(folder, panels, title="t"):
    line_plot("p", title, panels).write(folder)
    return str(inline_svg(title, (folder / "p.svg").read_text(encoding="utf-8")))


def lines(chart):
    """Coordinates of each line that tells its name, by the name."""
    found = re.findall(r'<g><title>([^<]*)</title> <path d="([^"]*)"', chart)
    return [(name, [tuple(map(float, pair)) for pair in re.findall(r"[ML] (\S+) (\S+)", path)]) for name, path in found]


def inside(chart):
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', chart).groups())
    points = [point for _, path in lines(chart) for point in path]
    return bool(points) and all(0 <= x <= width and 0 <= y <= height for x, y in points)


@pytest.mark.parametrize("values", [(1.0, 2.0, 3.0), (5.0, 5.0, 5.0), (-1e-9, 0.0, 1e9), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("log", [False, True])
def test_lines_stay_in_the_drawing(values, log, tmp_path):
    ys = tuple(abs(value) + 1e-6 for value in values) if log else values
    assert inside(drawn(tmp_path, [Panel("", "x", "y", (Series("a", (1.0, 2.0, 3.0), ys),), y_log=log)]))


def test_names_in_a_chart_are_escaped(tmp_path):
    chart = drawn(tmp_path, [Panel("<p>", "<x>", '"y"', (Series("a<b>&", (0.0, 1.0), (1.0, 2.0)),))], "<t>")
    assert [name for name, _ in lines(chart)] == ["a&lt;b&gt;&amp;"]
    assert not re.search("<[bptx]>", chart)
    ElementTree.fromstring(chart)


def test_a_chart_on_the_page_has_its_colours_and_no_ids_of_others(figures, tmp_path):
    write_plots(tmp_path, run_plots([figures], [], COST))
    charts = [inline_svg("t", path.read_text(encoding="utf-8")) for path in sorted(tmp_path.rglob("*.svg"))]
    ids = [name for chart in charts for name in re.findall(r'\bid="([^"]*)"', chart)]
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert set(re.findall(r"(?:#|var\(--)\w+\)?", re.sub(r'(href="|url\()#\w+', "", chart))) <= {
            f"var(--{name})" for name in ("surface", "text", "line", *(f"s{number}" for number in range(6)))
        }
        assert "http" not in chart


def test_charts_by_truth_show_every_split_with_all_thresholds(figures, tmp_path):
    more = replace(figures, curves={**figures.curves, "test_private_mixed": curve(defect=False)})
    panels = {plot.name: plot for plot in more.plots() if not isinstance(plot, AbsentPlot)}
    panels["a$b$/score_histograms"].write(tmp_path)
    panels["a$b$/threshold_curves"].write(tmp_path)
    for kind, expected in (("score_histograms", (2, 2, 1)), ("threshold_curves", (3, 3))):
        chart = inline_svg("t", (tmp_path / f"a$b$/{kind}.svg").read_text(encoding="utf-8"))
        names = [name for name, _ in lines(chart)]
        assert names.count("mean_std 2") == names.count("mebin 3") == len(expected)
        assert len(names) == sum(expected) + 2 * len(expected)
        assert len(chart) < 120_000


@pytest.mark.parametrize("scores", [[0.0, 1.0, 2.0], [3.0, 3.0, 3.0], [-60000.0, 0.0, 60000.0]])
def test_scores_of_every_split_are_drawn_with_the_threshold(figures, scores, tmp_path):
    histogram = score_histogram(np.array(scores, np.float32))
    markers = (Marker("mean_std 1", 1.0),)
    changed = replace(figures, histograms={"validation": histogram, "test_public": histogram}, markers=markers)
    plot = next(changed.plots())
    plot.write(tmp_path)
    shares = [float(share) for _, line, _, share in table(tmp_path / f"{plot.name}.csv")[1:] if line == "validation"]
    assert sum(shares) == pytest.approx(1.0)
    chart = inline_svg("t", (tmp_path / f"{plot.name}.svg").read_text(encoding="utf-8"))
    assert [name for name, _ in lines(chart)] == ["validation", "test_public", "mean_std 1"]


@pytest.mark.parametrize("splits", [("validation",), ("validation", "test_public", "test_private_mixed")])
def test_thresholds_that_lie_close_have_names_beside_each_other(figures, splits):
    rules = ("peaks", "quantile", "mean_std", "conformal lowest", "conformal highest")
    markers = tuple(Marker(f"{rule} {2 + place / 1000:.4g}", 2 + place / 1000) for place, rule in enumerate(rules))
    with rc_context(STYLE):
        figure = next(replace(figures, histograms=dict.fromkeys(splits, HISTOGRAM), markers=markers).plots()).draw()
        FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert [text.get_text() for text in legend.get_texts()] == [*splits, *(marker.name for marker in markers)]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert min(box.x0 for box in boxes) > 0
    assert max(box.x1 for box in boxes) < figure.bbox.width


@pytest.mark.parametrize(("losses", "log"), [((1.0, 0.1, 0.001), True), ((3.0, 2.0, 1.0), False)])
def test_a_loss_that_falls_far_is_drawn_on_a_logarithmic_axis(figures, losses, log):
    *_, plot = replace(figures, models=(model({"total": losses}),)).plots()
    (axes,) = plot.draw().axes
    assert axes.get_yscale() == ("log" if log else "linear")


def test_the_loss_of_one_note_is_a_dot(figures):
    *_, plot = replace(figures, models=(model({"total": (2.0,)}, steps=(1,)),)).plots()
    (axes,) = plot.draw().axes
    assert [line.get_marker() for line in axes.lines] == ["o"]
