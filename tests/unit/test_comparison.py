"""Comparison of runs: paired intervals against resampling by hand, what cannot be compared, tables, changed images."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.indexes import write_lists

from seamark.comparison.changed_images import compared_images, most_changed, write_run_pairs
from seamark.comparison.differences import compared_subsets, missing_parts
from seamark.comparison.runs import RunFiles, read_runs
from seamark.comparison.tables import changed_settings, write_csv
from seamark.errors import ManifestError
from seamark.evaluation.bootstrap import draw_seed, image_draws, load_resamples, save_resamples
from seamark.evaluation.category_scores import evaluation
from seamark.evaluation.image_counts import ImageCounts
from seamark.evaluation.images import EvaluatedImage
from seamark.evaluation.metrics import MaskCounts, ScoreCounts
from seamark.evaluation.regions import FoundRegions, Regions
from seamark.evaluation.seams import ScoreJumps
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.index import ImageRecord, TruthRecord
from seamark.report.compare_page import Comparison, render_markdown
from seamark.settings.evaluate import EvaluateSettings

SHAPE = (8, 10)
RESAMPLES = 30
LIGHTS = ("regular", "dark")


class Example:
    """One image of a category, and a run's map and masks of it; every third image is good."""

    def __init__(self, category, split, number, run):
        drawn = np.random.default_rng([len(category), len(split), number])
        self.split, self.id, self.light = split, f"{number:03d}", LIGHTS[number // 3 % 2]
        self.truth = np.zeros(SHAPE, bool)
        if number % 3:
            self.truth[2 : 4 + number % 4, 1:5] = True
        noise = np.random.default_rng([number, run, 9])
        self.scores = np.round(self.truth + noise.normal(size=SHAPE) + drawn.normal(size=SHAPE), 1).astype(np.float16)
        self.coarse, self.refined = self.scores > 0.8, self.scores > 1.2

    @property
    def item(self):
        record = self.record
        facts = {"mask": None, "root": "data", "sha256": None, "bad": bool(self.truth.any())}
        truth = TruthRecord(split=self.split, id=self.id, defect_px=int(self.truth.sum()), **facts)
        return EvaluatedImage(self.id, record, Path(), Path(), None, Path(), Path(), truth, None, "bad")

    @property
    def record(self):
        shared = {"label": None, "channels": 1, "mask": None}
        size = {"width": SHAPE[1], "height": SHAPE[0]}
        return ImageRecord(
            id=self.id, file=self.id, split=self.split, light=self.light, sha256=self.id, **shared, **size
        )

    @property
    def outcome(self):
        regions = Regions.of(self.truth)
        return ImageCounts(
            ScoreCounts.of(self.scores.astype(np.float32), self.truth, regions).compact(),
            MaskCounts.of(self.coarse, self.truth),
            MaskCounts.of(self.refined, self.truth),
            FoundRegions.of(self.coarse, self.truth, regions),
            FoundRegions.of(self.refined, self.truth, regions),
            ScoreJumps(),
        )


def examples(category, run, splits=("test_public", "test_private"), count=9):
    return [Example(category, split, number, run) for split in splits for number in range(count)]


def write_run(folder, name, run, categories, changes="", **settings):
    """Evaluate a made-up run; ``categories`` maps each name to its examples."""
    evaluations, lists = [], []
    for category, images in categories.items():
        path = folder / name / "90_eval" / f"{category}.json"
        seed = draw_seed(category)
        chosen = EvaluateSettings(**({"resamples": RESAMPLES} | settings))
        items, outcomes = [image.item for image in images], [image.outcome for image in images]
        manifest, resampled = evaluation(category, "bank", chosen, items, outcomes, seed=seed)
        record = save_resamples(path, resampled, seed)
        write_manifest(path, manifest.model_copy(update={"resampled": record}))
        evaluations.append(path)
        lists += write_lists(folder / name / "00_index", category, [image.record for image in images])[0]
    return RunFiles(name, changes, tuple(evaluations), tuple(lists), (), (), (), ())


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two runs over two categories."""
    names, folder = ("cup", "plate"), tmp_path_factory.mktemp("pair")
    return [write_run(folder, f"run {run}", run, {name: examples(name, run) for name in names}) for run in (0, 1)]


def scores_by_hand(images):
    """Score images whose pixels are pooled, each as often as it is listed."""
    truth = np.concatenate([image.truth.ravel() for image in images])
    scores = np.concatenate([image.scores.ravel() for image in images]).astype(np.float64)
    refined = np.concatenate([image.refined.ravel() for image in images])
    bad, called = ([getattr(image, name).any() for image in images] for name in ("truth", "refined"))
    peaks = [float(image.scores.max()) for image in images]
    f1 = [2 * np.sum(np.logical_and(a, b)) / (np.sum(a) + np.sum(b)) for a, b in ((truth, refined), (bad, called))]
    return {
        "refined_seg_f1": f1[0],
        "refined_class_f1": f1[1],
        "pixel_auroc": roc_auc_score(truth, scores),
        "pixel_ap": average_precision_score(truth, scores),
        "image_auroc": roc_auc_score(bad, peaks),
    }


def differences_by_hand(category, split):
    """Return every score's difference between run 1 and run 0 in every resample."""
    runs = [[image for image in examples(category, run) if image.split == split] for run in (0, 1)]
    bad = np.array([image.truth.any() for image in runs[0]])
    number = ("test_public", "test_private").index(split)
    differences = []
    for row in image_draws(bad, RESAMPLES, (draw_seed(category), number, 0)):
        drawn = np.repeat(np.arange(bad.size), row)
        first, other = (scores_by_hand([images[place] for place in drawn]) for images in runs)
        differences.append({name: other[name] - first[name] for name in first})
    return {name: np.array([row[name] for row in differences]) for name in differences[0]}


def subset_of(subsets, category, split="test_public", light="all"):
    return next(s for s in subsets if (s.category, s.split, s.light) == (category, split, light))


def test_interval_of_a_difference_is_that_of_the_same_resampled_images(pair):
    subset = subset_of(compared_subsets(read_runs(pair)), "plate", "test_private")
    for name, values in differences_by_hand("plate", "test_private").items():
        found = subset.rows[1].scores[name]
        expected = tuple(np.quantile(values, (0.025, 0.975)))
        assert found.difference_interval == pytest.approx(expected, abs=3e-6), name


def test_interval_of_the_difference_of_means_resamples_each_category(pair):
    subset = subset_of(compared_subsets(read_runs(pair)), "mean")
    assert subset.categories == ("cup", "plate")
    parts = [differences_by_hand(category, "test_public") for category in subset.categories]
    for name in parts[0]:
        found = subset.rows[1].scores[name]
        expected = tuple(np.quantile((parts[0][name] + parts[1][name]) / 2, (0.025, 0.975)))
        assert found.difference_interval == pytest.approx(expected, abs=3e-6), name
        values = [
            [scores_by_hand([i for i in examples(c, run) if i.split == "test_public"])[name] for c in subset.categories]
            for run in (0, 1)
        ]
        assert found.difference == pytest.approx(np.mean(values[1]) - np.mean(values[0]))


def test_the_first_run_and_its_copy_do_not_differ(pair):
    subset = subset_of(compared_subsets(read_runs([pair[0], replace(pair[0], name="again")])), "cup")
    first, again = (row.scores["auc_pro"] for row in subset.rows)
    assert (first.difference, first.difference_interval) == (None, None)
    assert (again.difference, again.difference_interval, again.certain) == (0.0, (0.0, 0.0), False)
    assert first.best
    assert again.best


def test_own_intervals_are_those_of_the_manifest(pair):
    row = subset_of(compared_subsets(read_runs(pair)), "cup").rows[1]
    manifest = read_manifest(pair[1].evaluation[0], EvaluationManifest)
    assert {name: score.interval for name, score in row.scores.items()} == manifest.subsets[0].intervals
    assert row.paths == (pair[1].evaluation[0],)


def test_lights_stand_below_their_split_and_means_first(pair):
    subsets = compared_subsets(read_runs(pair))
    heads = [(subset.category, subset.split, subset.light) for subset in subsets]
    lights = [
        (category, split, light)
        for category in ("cup", "plate")
        for split in ("test_public", "test_private")
        for light in ("all", "dark", "regular")
    ]
    assert heads == [("mean", "test_public", "all"), ("mean", "test_private", "all"), *lights]


def test_draws_do_not_depend_on_the_run_but_on_the_category(tmp_path):
    assert draw_seed("cup") == draw_seed("cup") != draw_seed("plate")
    assert 0 <= draw_seed("cup") < 2**31


def test_without_resamples_there_are_differences_and_no_intervals(tmp_path):
    runs = [write_run(tmp_path, str(run), run, {"cup": examples("cup", run)}, resamples=0) for run in (0, 1)]
    score = subset_of(compared_subsets(read_runs(runs)), "cup").rows[1].scores["pixel_ap"]
    assert score.difference is not None
    assert score.interval is score.difference_interval is None
    assert not runs[0].evaluation[0].with_suffix(".npy").exists()


def test_a_missing_category_is_a_dash_and_left_out_of_every_mean(tmp_path, pair):
    short = write_run(tmp_path, "short", 2, {"cup": examples("cup", 2)})
    runs = read_runs([*pair, short])
    assert missing_parts(runs) == [("short", "plate", "test_public"), ("short", "plate", "test_private")]
    subsets = compared_subsets(runs)
    assert subset_of(subsets, "plate").rows[2].scores == {}
    mean, cup = subset_of(subsets, "mean"), subset_of(subsets, "cup")
    assert mean.categories == ("cup",)
    for mean_row, row in zip(mean.rows, cup.rows, strict=True):
        assert {n: (c.value, c.difference) for n, c in mean_row.scores.items()} == {
            n: (c.value, c.difference) for n, c in row.scores.items()
        }


def test_a_missing_split_does_not_empty_the_means_of_the_others(tmp_path, pair):
    names = ("cup", "plate")
    short = write_run(tmp_path, "short", 2, {name: examples(name, 2, ("test_public",)) for name in names})
    subsets = compared_subsets(read_runs([*pair, short]))
    assert subset_of(subsets, "mean").categories == names
    private = subset_of(subsets, "mean", "test_private")
    assert private.categories == names
    assert private.rows[2].scores == {}
    assert private.rows[1].scores["auc_pro"].difference is not None


def test_runs_without_a_common_category_have_no_mean(tmp_path):
    runs = [write_run(tmp_path, name, 1, {name: examples(name, 1)}) for name in ("cup", "plate")]
    mean = subset_of(compared_subsets(read_runs(runs)), "mean")
    assert mean.categories == ()
    assert [row.scores for row in mean.rows] == [{}, {}]


def test_a_run_without_any_truth_has_no_scores(tmp_path):
    runs = read_runs([write_run(tmp_path, "r", 1, {"cup": []})])
    assert compared_subsets(runs) == compared_images(runs) == []


@pytest.mark.parametrize("fault", ["fewer", "renamed", "photograph", "truth"])
def test_other_images_are_refused(tmp_path, pair, fault):
    images = examples("cup", 1)
    if fault == "fewer":
        images.pop(1)
    if fault == "renamed":
        images[1].id = "other"
    if fault == "photograph":
        record = images[1].record.model_copy(update={"sha256": "changed"})
        images[1] = type("Changed", (Example,), {"record": record})("cup", "test_public", 1, 1)
    if fault == "truth":
        images[1].truth[0, 0] = True
    other = write_run(tmp_path, "other", 1, {"cup": images})
    with pytest.raises(
        ManifestError, match=r"other/90_eval/cup\.json: cup test_public.*run 0/90_eval.*same photographs"
    ):
        read_runs([pair[0], other])


@pytest.mark.parametrize(("name", "value"), [("fpr_limit", 0.3), ("resamples", 7)])
def test_other_settings_of_the_evaluation_are_refused(tmp_path, pair, name, value):
    other = write_run(tmp_path, "other", 1, {"cup": examples("cup", 1)}, **{name: value})
    with pytest.raises(ManifestError, match=rf"other.*evaluate\.{name} is {value}.*same evaluate block"):
        read_runs([pair[0], other])


def test_an_evaluation_without_its_resamples_is_refused_beside_one_with_them(tmp_path, pair):
    old = write_run(tmp_path, "old", 1, {"cup": examples("cup", 1)})
    (path,) = old.evaluation
    write_manifest(path, read_manifest(path, EvaluationManifest).model_copy(update={"resampled": None}))
    with pytest.raises(ManifestError, match=r"old/90_eval.*run the evaluate stage of both runs again"):
        read_runs([pair[0], old])


def test_an_evaluation_whose_resamples_are_gone_or_changed_is_refused(tmp_path):
    run = write_run(tmp_path, "run", 1, {"cup": examples("cup", 1)})
    (path,) = run.evaluation
    array = path.with_suffix(".npy")
    manifest = read_manifest(path, EvaluationManifest)
    np.save(array, load_resamples(path, manifest) + 1.0)
    with pytest.raises(ManifestError, match=r"cup\.npy.*rebuild it with"):
        read_runs([run])
    array.unlink()
    with pytest.raises(ManifestError, match=r"cup\.npy: cannot read"):
        read_runs([run])


def test_a_category_that_is_listed_twice_is_refused(pair):
    twice = replace(pair[0], evaluation=pair[0].evaluation + pair[0].evaluation[:1])
    with pytest.raises(ManifestError, match="run 0 already has scores of cup"):
        read_runs([twice])


def test_images_are_ranked_by_their_largest_change(pair):
    images = compared_images(read_runs(pair))
    assert len(images) == 36
    ranked = most_changed(images, 5)
    assert [image.change for image in ranked] == sorted((image.change for image in images), reverse=True)[:5]
    bad = next(image for image in images if image.bad)
    f1 = [result.scores.refined_f1 for result in bad.results]
    assert bad.changes == (0.0, pytest.approx(abs(f1[1] - f1[0])))
    good = next(image for image in images if not image.bad)
    wrong = [int(example.refined.sum()) for example in (Example("cup", "test_public", 0, run) for run in (0, 1))]
    assert (good.category, good.split, good.name) == ("cup", "test_public", "000")
    assert good.change == pytest.approx(abs(wrong[1] - wrong[0]) / (SHAPE[0] * SHAPE[1]))
    assert good.most_changed_run == int(good.change > 0.0)
    same = compared_images(read_runs([pair[0], replace(pair[0], name="again")]))
    assert most_changed(same, 5) == []


def test_plots_hold_the_pairs_of_each_run(tmp_path, pair):
    short = write_run(tmp_path, "short", 2, {"cup": examples("cup", 2)})
    images = compared_images(read_runs([*pair, short]))
    paths = write_run_pairs(tmp_path / "plots", images, 3)
    rows = [list(csv.DictReader(path.open())) for path in paths]
    assert [len(part) for part in rows] == [36, 18]
    assert float(rows[0][1]["refined_f1_run"]) == images[1].results[1].scores.refined_f1
    assert rows[0][1]["bad"] == "1"


def test_changed_settings_stand_in_one_line_each():
    text = "refine:\n  method: none\nbinarize: {mean_std: {k: 9.5}}\ndata:\n  categories: [a, b]\nfuse: {}\n"
    assert changed_settings(text) == [
        "refine.method: none",
        "binarize.mean_std.k: 9.5",
        "data.categories: [a, b]",
        "fuse: {}",
    ]
    assert changed_settings("") == []


def test_csv_names_the_manifest_of_every_row(tmp_path, pair):
    short = write_run(tmp_path, "short", 2, {"cup": examples("cup", 2)}, "refine: {method: none}\n")
    runs = read_runs([*pair, short])
    subsets = compared_subsets(runs)
    write_csv(tmp_path / "table.csv", subsets, [run.files.changes for run in runs])
    rows = list(csv.DictReader((tmp_path / "table.csv").open(encoding="utf-8", newline="")))
    assert len(rows) == 3 * len(subsets)
    mean, private = rows[1], [row for row in rows if row["category"] == "plate" and row["split"] == "test_private"]
    score = subset_of(subsets, "mean").rows[1].scores["pixel_ap"]
    assert float(mean["pixel_ap"]) == score.value
    assert float(mean["pixel_ap_difference_high"]) == score.difference_interval[1]
    assert mean["mean_over"] == "cup"
    assert rows[2]["changes"] == "refine.method: none"
    assert private[0]["manifests"] == str(pair[0].evaluation[1])
    assert private[2]["manifests"] == private[2]["auc_pro"] == ""


def test_markdown_marks_the_best_and_escapes_names(tmp_path, pair):
    runs = read_runs([pair[0], replace(pair[1], name="a|b <i>*x*</i>", changes="refine: {method: none}")])
    subsets, paths = compared_subsets(runs), {"table": tmp_path / "table.csv", "markdown": tmp_path / "table.md"}
    text = render_markdown(Comparison("T", runs, subsets, images=[], pictures={}, plots=[], **paths))
    assert "<i>" not in text
    row = next(line for line in text.splitlines() if line.startswith("| a"))
    assert row.startswith("| a\\|b &lt;i&gt;\\*x\\*&lt;/i&gt; | refine.method: none | ")
    values = [subset_of(subsets, "mean").rows[number].scores["auc_pro"].value for number in (0, 1)]
    best = f"**{max(values):.3f}**"
    assert (best in row) == (values[1] >= values[0])
    assert text.count("AucPro_0.05") == 2 * 3
    assert "test\\_public: cup, plate" in text
