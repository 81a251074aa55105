"""The compare stage on two small runs that are made by hand and really evaluated."""

import csv
import html
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image
from tests.stages.small_run import SmallRun, stage

from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.ranking import QuantileFit
from seamark.running.job import Job

SPLIT = "test_public"


def evaluate(run):
    """Replace the made-up scores of a small run by real ones."""
    for path, category in zip(run.lists["evaluation"], sorted(run.categories), strict=True):
        inputs = {
            "index": [run.path("00_index", category, SPLIT)],
            "truth": [run.path("00_index", category, f"{SPLIT}.truth")],
            "maps": [run.path("45_fused", category, SPLIT)],
            "calibration": [],
            "coarse": [run.path("60_coarse", category, SPLIT)],
            "refined": [run.path("75_verdicts", category, SPLIT)],
            "verdicts": [run.path("75_verdicts", category, f"{SPLIT}.verdicts")],
        }
        roots = {"root": str(run.data), "truth_root": str(run.truth)}
        params = {"settings": {"resamples": 20}, "grids": [], "ranking": None, **roots}
        outputs = {"manifest": path} | {name: path.with_suffix(f".{name}.csv") for name in ("curves", "table")}
        stage("evaluate")(Job.for_test("evaluate", inputs, outputs, params))


def entry(run, name, changes, categories):
    """One run as the stage's params list it."""

    def of_split(folder):
        return [str(run.path(folder, category, SPLIT)) for category in categories]

    return {
        "name": name,
        "changes": changes,
        "evaluation": [str(run.out / "90_eval" / f"{category}.json") for category in categories],
        "index": of_split("00_index"),
        "truth": [str(run.path("00_index", category, f"{SPLIT}.truth")) for category in categories],
        "maps": of_split("45_fused"),
        "coarse": of_split("60_coarse"),
        "refined": of_split("75_verdicts"),
    }


def compare(folder, runs, root):
    """Run the stage and return the page."""
    outputs = {"page": folder / "index.html", "table": folder / "table.csv", "markdown": folder / "table.md"}
    roots = {"root": str(root.data), "truth_root": str(root.truth)}
    params = {"settings": {"images": 3}, "title": "Factors <2>", "runs": runs, **roots}
    stage("comparison")(Job.for_test("comparison", {}, outputs, params))
    return outputs["page"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The page of three runs, the last of which lacks a category."""
    folder = tmp_path_factory.mktemp("compare")
    runs = [SmallRun(folder / name, threshold=threshold) for name, threshold in (("low", 1.0), ("high", 2.5))]
    for run in runs:
        evaluate(run)
    entries = [
        entry(runs[0], "k 1 & <i>", "", runs[0].categories),
        entry(runs[1], "k 2.5", "binarize: {mean_std: {k: '<2.5>'}}", runs[1].categories),
        entry(runs[1], "grey only", "data: {categories: [grey]}", ["grey"]),
    ]
    return folder, entries, runs[0], compare(folder / "page", entries, runs[0])


def test_page_shows_what_changed(compared):
    _, _, _, page = compared
    text = page.read_text(encoding="utf-8")
    plain = html.unescape(text)
    for expected in ("Factors <2>", "binarize.mean_std.k: <2.5>", "AucPro_0.05", "▲", "20 bootstrap resamples"):
        assert expected in plain
    assert f"grey only: rubber <b>seals & gaskets #1 100% {SPLIT}" in plain
    assert f"{SPLIT}: grey)" in plain
    for raw in ("<2>", "<i>", "<b>seals", "<2.5>"):
        assert raw not in text


def test_every_link_leads_to_a_file_and_every_point_to_a_row(compared):
    _, _, _, page = compared
    text = page.read_text(encoding="utf-8")
    found = [html.unescape(target) for target in re.findall(r'(?:href|src)="([^"]*)"', text)]
    files = [(page.parent / unquote(target)).resolve() for target in found if not target.startswith("#")]
    assert [path for path in files if not path.is_file()] == []
    rows = {f"#{name}" for name in re.findall(r'id="([^"]*)"', text)}
    assert {target for target in found if target.startswith("#")} <= rows
    assert len(re.findall(r'<a href="#image-\d+"><title>', text)) == 8 + 4
    assert "http" not in text.replace("http-equiv", "")
    assert "data:" not in re.sub(r"<code>.*?</code>", "", text)


def test_the_most_changed_images_are_drawn_and_no_other(compared):
    _, _, _, page = compared
    pictures = sorted(page.parent.glob("images/**/*.jpg"))
    assert len(pictures) == 3
    assert page.read_text(encoding="utf-8").count('loading="lazy"') == 3
    widths = {path.relative_to(page.parent / "images").parts[0]: Image.open(path).width for path in pictures}
    assert all(width == 6 + (360 + 6) * (4 if category == "grey" else 3) for category, width in widths.items())


def test_tables_lie_beside_the_page(compared):
    _, entries, _, page = compared
    rows = list(csv.DictReader((page.parent / "table.csv").open(encoding="utf-8", newline="")))
    paths = {path for row in rows for path in row["manifests"].split(" ") if row["category"] == "grey"}
    assert paths == {entries[0]["evaluation"][0], entries[1]["evaluation"][0]}
    assert "## grey" in (page.parent / "table.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted((page.parent / "plots").iterdir())] == ["run_1.csv", "run_2.csv"]


def test_the_same_again_gives_the_same_bytes(compared):
    folder, entries, run, page = compared
    before = {path: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()}
    compare(folder / "page", entries, run)
    assert {path: path.read_bytes() for path in page.parent.rglob("*") if path.is_file()} == before


def test_a_comparison_that_fails_at_the_end_leaves_the_one_of_before(compared, monkeypatch):
    folder, entries, run, page = compared
    before = {path: path.stat().st_mtime_ns for path in page.parent.rglob("*")}
    monkeypatch.setattr("seamark.report.compare_page.render", None)
    with pytest.raises(TypeError):
        compare(folder / "page", entries, run)
    assert {path: path.stat().st_mtime_ns for path in page.parent.rglob("*")} == before


def test_page_names_the_runs_whose_fitted_maps_were_ranked(compared, tmp_path):
    _, entries, run, page = compared
    evaluation = Path(entries[2]["evaluation"][0])
    fit = QuantileFit(low=0.1, high=0.9, low_score=0.0, high_score=1.0)
    fitted = evaluation.with_name("fitted.json")
    write_manifest(fitted, read_manifest(evaluation, EvaluationManifest).model_copy(update={"ranking": fit}))
    other = {**entries[2], "evaluation": [str(fitted)], "name": "fitted"}
    text = compare(tmp_path / "page", [entries[2], other], run).read_text(encoding="utf-8")
    assert text.count("maps fitted to the validation quantiles 0.1 and 0.9") == 1
    assert "maps fitted" not in page.read_text()


def test_a_single_run_and_unchanged_runs_make_a_page(compared):
    folder, entries, run, _ = compared
    alone = compare(folder / "alone", entries[:1], run).read_text(encoding="utf-8")
    assert "There is only one run." in alone
    same = compare(folder / "same", [entries[0], entries[0] | {"name": "again"}], run)
    assert "no image changed" in same.read_text(encoding="utf-8")
    assert list(same.parent.glob("images/*")) == []
