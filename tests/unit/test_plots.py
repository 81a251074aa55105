"""Plots as files: the table is the curve, the bytes are the same each time, and what is absent says why."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from seamark.evaluation.curves import threshold_curve
from seamark.evaluation.metrics import ScoreCounts
from seamark.manifests.model import ModelManifest, PhaseRecord
from seamark.manifests.plots import AbsentPlot
from seamark.report.charts import Marker
from seamark.report.cost import JobCost, RunCost, stage_costs
from seamark.report.curve_charts import split_charts
from seamark.report.drawing import Bar, bar_plot, plain
from seamark.report.plots import CategoryFigures, run_plots, write_plots

NAMES = ("score_histograms", "threshold_curves", "overlap_curve", "precision_recall", "training_bank")


def curve(seed=1, *, defect=True):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.0, 1.0, (40, 50)).astype(np.float32)
    truth = np.zeros(scores.shape, dtype=bool)
    if defect:
        truth[3:9, 4:12] = True
        scores[truth] += 3.0
    return threshold_curve(ScoreCounts.of(scores, truth))


def model(losses=None):
    phase = PhaseRecord(name="bank", steps=3, curve_steps=(1, 2, 3), losses=losses or {})
    facts = {"file": "m", "sha256": "0", "parameters": 1, "backbone": "b", "backbone_digest": "0", "phases": (phase,)}
    return ModelManifest(detector="bank", category="a$b$", backbone_verified=True, map_shape=(1, 1), **facts)


@pytest.fixture
def figures():
    return CategoryFigures(
        category="a$b$",
        curves={"test_public": curve(), "test_private": curve(2)},
        markers=(Marker("mean_std 2", 2.0), Marker("mebin 3", 3.0)),
        models=(model({"loss": (3.0, 2.0, 0.01)}),),
        fpr_limit=0.05,
    )


COST = RunCost(stage_costs([JobCost("train", "a", 60.0, 30.0, 500.0, "cpu", None)]), ())


def table(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_every_plot_is_there_as_svg_png_and_csv(figures, tmp_path):
    manifest = write_plots(tmp_path, run_plots([figures], [], COST))
    assert [plot.name for plot in manifest.plots] == ["cost", *(f"a$b$/{name}" for name in NAMES)]
    assert [plot.name for plot in manifest.absent] == ["scores"]
    for plot in manifest.plots:
        with Image.open(tmp_path / plot.png) as image:
            assert min(image.size) > 300
        svg = (tmp_path / plot.svg).read_text()
        assert "<svg" in svg
        assert not re.search(r"<dc:date>|matplotlib v", svg)
        assert len(table(tmp_path / plot.csv)) > 1
    shown = (tmp_path / "a$b$/score_histograms.svg").read_text()
    assert "Pixel scores of a$b$" in shown
    assert "mebin 3" in shown
    assert "test_private" in shown


def test_the_same_plots_have_the_same_bytes(figures, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_plots(tmp_path / folder, run_plots([figures], [], COST))
    first, second = (
        {path.relative_to(tmp_path / folder): path.read_bytes() for path in (tmp_path / folder).rglob("*.*")}
        for folder in ("one", "two")
    )
    assert len(first) == 18
    assert first == second


def test_the_tables_are_the_curves(figures, tmp_path):
    write_plots(tmp_path, run_plots([figures], [], COST))
    public = figures.curves["test_public"]
    header, *rows = table(tmp_path / "a$b$/threshold_curves.csv")
    assert header == ["panel", "line", "threshold (raw score)", "score of the mask"]
    for line, values in (("SegF1", public.seg_f1), ("precision", public.precision), ("recall", public.recall)):
        found = [(float(x), float(y)) for panel, name, x, y in rows if (panel, name) == ("test_public", line)]
        assert found == list(zip(public.thresholds.tolist(), values.tolist(), strict=True))
    rows = [row for row in table(tmp_path / "a$b$/score_histograms.csv") if row[:2] == ["test_public", "defect pixels"]]
    assert [float(row[3]) for row in rows] == public.shares(public.defect_px).tolist()
    assert [float(row[2]) for row in rows] == public.edges()[:-1].tolist()
    rows = [row for row in table(tmp_path / "a$b$/overlap_curve.csv") if row[1] == "test_public"]
    points = list(zip(public.false_positive_rate.tolist(), public.overlap.tolist(), strict=True))[::-1]
    assert [(float(x), float(y)) for *_, x, y in rows] == [(0.0, 0.0), *(point for point in points if point[0] <= 0.2)]
    rows = [row for row in table(tmp_path / "a$b$/precision_recall.csv") if row[1] == "test_public"]
    assert [float(row[3]) for row in rows] == public.precision[::-1].tolist()
    assert table(tmp_path / "a$b$/training_bank.csv")[1:] == [
        ["bank", "loss", "1.0", "3.0"],
        ["bank", "loss", "2.0", "2.0"],
        ["bank", "loss", "3.0", "0.01"],
    ]
    assert table(tmp_path / "cost.csv")[1] == ["time of all jobs (min)", "train", "wall", "1.0", "", ""]


def absent(figures):
    return {
        plot.name: plot.reason for plot in run_plots([figures], [], RunCost((), ())) if isinstance(plot, AbsentPlot)
    }


def test_what_needs_truth_is_absent_without_it(figures):
    reasons = absent(replace(figures, curves={}))
    assert set(reasons) == {"scores", "cost", *(f"a$b$/{name}" for name in NAMES[:4])}
    assert "data.truth_root" in reasons["scores"]
    assert "no truth is known for any split of a$b$" in reasons["a$b$/overlap_curve"]
    assert "provenance" in reasons["cost"]


def test_what_needs_defects_is_absent_without_them(figures):
    reasons = absent(replace(figures, curves={"test_public": curve(defect=False)}, models=(model(),)))
    assert set(reasons) == {"scores", "cost", *(f"a$b$/{name}" for name in NAMES[1:])}
    assert "has a defect pixel" in reasons["a$b$/threshold_curves"]
    assert "notes no loss" in reasons["a$b$/training_bank"]


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
    assert split_charts("felt", constant, figures.markers)
    plots = run_plots([replace(figures, curves=constant, models=())], [], RunCost((), ()))
    assert len(write_plots(tmp_path, plots).plots) == 4


def test_names_are_no_formulas():
    assert plain("a$b$") == r"a\$b\$"


def test_the_page_gets_both_charts_with_both_thresholds(figures):
    charts = split_charts("felt", {**figures.curves, "test_private_mixed": curve(defect=False)}, figures.markers)
    assert [split for split, *_ in charts] == ["test_public", "test_private", "test_private_mixed"]
    for split, histograms, curves in charts:
        assert histograms.count('class="marker"') == 2
        assert histograms.count('class="line s') == (4 if split != "test_private_mixed" else 2)
        assert (curves is None) == (split == "test_private_mixed")
    longest = max(len(path) for path in re.findall(r'd="([^"]+)"', charts[0][2]))
    assert longest < 10_000
