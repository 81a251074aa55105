"""Curves over thresholds: fewer points, none of them wrong."""

import numpy as np
import pytest

from seamark.errors import ManifestError
from seamark.evaluation.curves import BINS, read_curves, threshold_curve, write_curves
from seamark.evaluation.metrics import ScoreCounts, f1_score
from seamark.evaluation.regions import Regions

LIMIT = 0.05


def image(rng, defect, spread=1.0):
    scores = (rng.normal(0.0, spread, (50, 70))).astype(np.float16).astype(np.float32)
    truth = np.zeros(scores.shape, dtype=bool)
    if defect:
        truth[5:15, 5:20] = truth[30:33, 40:44] = True
        scores[truth] += rng.normal(2.0, 1.0, int(truth.sum())).astype(np.float32)
    return scores, truth


@pytest.fixture(params=[(3, 1.0), (8, 1e-3), (9, 300.0)])
def images(request):
    seed, spread = request.param
    rng = np.random.default_rng(seed)
    return [image(rng, defect, spread) for defect in (True, False, True)]


def pooled(images):
    return ScoreCounts.pooled(ScoreCounts.of(scores, truth) for scores, truth in images)


def test_every_point_is_what_counting_all_pixels_gives(images):
    curve = threshold_curve(pooled(images))
    scores = np.concatenate([one.ravel() for one, _ in images]).astype(np.float16)
    truth = np.concatenate([one.ravel() for _, one in images])
    assert np.all(np.diff(curve.thresholds) > 0)
    assert (curve.thresholds[0], curve.thresholds[-1]) == (scores.min(), scores.max())
    for place in range(0, curve.thresholds.size, 37):
        found = scores >= curve.thresholds[place]
        hits, alarms = int((found & truth).sum()), int((found & ~truth).sum())
        assert (int(curve.defect_px[place]), int(curve.good_px[place])) == (hits, alarms)
        assert curve.seg_f1[place] == f1_score(hits, alarms, int(truth.sum()) - hits)
        assert curve.precision[place] == hits / (hits + alarms)
        assert curve.recall[place] == hits / truth.sum()
        assert curve.false_positive_rate[place] == alarms / (~truth).sum()


def test_overlap_is_the_mean_over_the_regions(images):
    curve = threshold_curve(pooled(images))
    place = curve.thresholds.size // 2
    shares = []
    for scores, truth in images:
        labels = np.zeros(truth.shape, int)
        labels[5:15, 5:20], labels[30:33, 40:44] = 1, 2
        found = scores.astype(np.float16) >= curve.thresholds[place]
        shares += [found[(labels == label) & truth].mean() for label in (1, 2) if truth.any()]
        assert Regions.of(truth).count in {0, 2}
    assert curve.overlap[place] == pytest.approx(np.mean(shares), abs=1e-12)


def test_few_points_hold_the_scores(images):
    counts = pooled(images)
    curve = threshold_curve(counts)
    assert curve.thresholds.size <= 1600
    assert curve.seg_f1.max() == counts.oracle_seg_f1()
    rates, overlaps = np.append(0.0, curve.false_positive_rate[::-1]), np.append(0.0, curve.overlap[::-1])
    inside = rates <= LIMIT
    xs, ys = np.append(rates[inside], LIMIT), np.append(overlaps[inside], np.interp(LIMIT, rates, overlaps))
    assert np.trapezoid(ys, xs) / LIMIT == pytest.approx(counts.auc_pro(LIMIT), abs=2e-3)


def test_histograms_are_those_of_the_pixels(images):
    curve = threshold_curve(pooled(images))
    scores = np.concatenate([one.ravel() for one, _ in images]).astype(np.float16).astype(np.float64)
    truth = np.concatenate([one.ravel() for _, one in images])
    edges = curve.edges()
    for counts, pixels in ((curve.good_px, scores[~truth]), (curve.defect_px, scores[truth])):
        expected = np.histogram(pixels, bins=edges)[0]
        assert np.array_equal(np.rint(curve.shares(counts) * pixels.size), expected)
    assert edges.size == BINS + 1


def test_a_split_without_defects_has_a_histogram_and_no_scores():
    rng = np.random.default_rng(1)
    curve = threshold_curve(pooled([image(rng, defect=False)]))
    assert not curve.has_defects
    assert curve.shares(curve.good_px).sum() == pytest.approx(1.0)
    assert not curve.shares(curve.defect_px).any()
    assert not curve.recall.any()


def test_a_constant_map_has_one_point():
    truth = np.zeros((4, 4), bool)
    truth[0, 0] = True
    curve = threshold_curve(ScoreCounts.of(np.full((4, 4), 2.0, np.float32), truth))
    assert curve.thresholds.tolist() == [2.0]
    assert (curve.good_px.tolist(), curve.defect_px.tolist(), curve.overlap.tolist()) == ([15], [1], [1.0])


def test_reading_gives_what_was_written(images, tmp_path):
    curves = {"test_public": threshold_curve(pooled(images)), "test_private": threshold_curve(pooled(images[:1]))}
    path = tmp_path / "felt.curves.csv"
    write_curves(path, curves)
    found = read_curves(path)
    assert list(found) == list(curves)
    for split, curve in curves.items():
        for name in ("thresholds", "good_px", "defect_px", "overlap"):
            assert np.array_equal(getattr(found[split], name), getattr(curve, name))
    first = path.read_bytes()
    write_curves(path, curves)
    assert path.read_bytes() == first


def test_no_truth_gives_an_empty_table(tmp_path):
    write_curves(tmp_path / "felt.curves.csv", {})
    assert read_curves(tmp_path / "felt.curves.csv") == {}


@pytest.mark.parametrize("text", ["", "split,threshold\n", "split,threshold,good_px,defect_px,overlap\na,x,1,1,1\n"])
def test_damaged_curves_are_named(tmp_path, text):
    path = tmp_path / "felt.curves.csv"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"felt\.curves\.csv.*rebuild"):
        read_curves(path)
    with pytest.raises(ManifestError, match="cannot read"):
        read_curves(tmp_path / "nowhere.csv")
