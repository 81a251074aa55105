"""Instance average precision against a literal reading of its definition, and its closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from seamark.evaluation.instance_metrics import InstanceCurve
from seamark.evaluation.metrics import ScoreCounts
from seamark.evaluation.regions import FoundRegions, Regions


def literal_iap(maps, truths, recall):
    """Every instance, every threshold, every pixel of the class, as the definition says it; returns IAP and IAP@k."""
    scores = []
    for anomaly_map, truth in zip(maps, truths, strict=True):
        labels, found = ndimage.label(truth, np.ones((3, 3)))
        for label in range(1, found + 1):
            pixels = anomaly_map[labels == label]
            scores.append(max(t for t in pixels if 2 * np.count_nonzero(pixels >= t) > pixels.size))
    if not scores:
        return None, None
    values = np.concatenate([anomaly_map.ravel() for anomaly_map in maps])
    defect = np.concatenate([truth.ravel() for truth in truths])
    scores.sort()
    precision = [np.count_nonzero(defect & (values >= t)) / np.count_nonzero(values >= t) for t in scores]
    recalls = [1 - place / len(scores) for place in range(len(scores))]
    best = [max(p for p, r in zip(precision, recalls, strict=True) if r >= own - 1e-12) for own in recalls]
    reaching = [p for p, r in zip(best, recalls, strict=True) if r >= recall - 1e-12]
    return float(np.mean(best)), reaching[-1]


def counted(maps, truths):
    return ScoreCounts.pooled(ScoreCounts.of(m, t) for m, t in zip(maps, truths, strict=True))


def row(scores, truth):
    return counted([np.array([scores], np.float32)], [np.array([truth], bool)])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_equals_the_definition_on_small_maps_with_ties_and_negative_scores(data):
    maps, truths = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        height, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
        size = height * width
        values = data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
        defect = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
        maps.append(np.array(values, np.float32).reshape(height, width))
        truths.append(np.array(defect).reshape(height, width))
    recall = data.draw(st.sampled_from([0.05, 0.3, 0.5, 0.9, 1.0]))
    counts = counted(maps, truths)
    iap, at_recall = literal_iap(maps, truths, recall)
    assert counts.iap() == (None if iap is None else pytest.approx(iap, abs=1e-12))
    assert counts.iap_at(recall) == (None if at_recall is None else pytest.approx(at_recall, abs=1e-12))


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition_on_smooth_maps(seed):
    rng = np.random.default_rng(seed)
    truths = [ndimage.gaussian_filter(rng.normal(size=(24, 30)), 1) > 0.35 for _ in range(3)]
    maps = [(ndimage.gaussian_filter(rng.normal(size=(24, 30)), 1) + 0.4 * t).astype(np.float16) for t in truths]
    counts = counted([m.astype(np.float32) for m in maps], truths)
    assert counts.regions > 20
    assert (counts.iap(), counts.iap_at(0.9)) == pytest.approx(literal_iap(maps, truths, 0.9), abs=1e-12)


def test_row_of_two_instances():
    counts = row([0.9, 0.8, 0.1, 0.85, 0.2, 0.5, 0.6, 0.1], [1, 1, 1, 0, 0, 1, 0, 0])
    halves = np.array([0.5, 0.8], np.float16).astype(np.float32)
    scores = ScoreCounts.of(halves[None], np.ones((1, 2), bool)).keys
    np.testing.assert_array_equal(counts.keys[counts.instances > 0], scores)
    assert counts.iap() == pytest.approx((3 / 5 + 2 / 3) / 2, abs=1e-12)
    assert counts.iap_at(0.9) == pytest.approx(3 / 5, abs=1e-12)


@pytest.mark.parametrize("value", [-2.0, 0.0, 0.7])
def test_constant_predictor_gives_the_share_of_defect_pixels(value):
    """Also where no pixel is above zero: defect pixels are counted by the truth, never by the sign of a score."""
    counts = row([value] * 8, [1, 1, 0, 0, 1, 0, 0, 0])
    assert counts.iap() == counts.iap_at(0.9) == 3 / 8


def test_perfect_and_inverted_predictor():
    truth = np.zeros((8, 12), bool)
    truth[1:3, 1:4] = truth[5, 7:9] = truth[7, 0] = True
    perfect = ScoreCounts.of(truth.astype(np.float32), truth)
    assert perfect.iap() == perfect.iap_at(0.9) == 1.0
    assert ScoreCounts.of(-truth.astype(np.float32), truth).iap() == truth.mean()


def test_no_instance():
    counts = row([0.1, 0.2], [0, 0])
    assert counts.iap() is None
    assert counts.iap_at(0.9) is None
    assert counted([], []).iap() is None


def test_everything_is_one_instance():
    counts = row([3.0, 1.0, 2.0], [1, 1, 1])
    assert counts.iap() == 1.0
    assert counts.instances.sum() == 1


@pytest.mark.parametrize(("size", "place"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)])
def test_instance_score_is_reached_by_more_than_half_of_the_pixels(size, place):
    descending = np.arange(size, 0, -1, dtype=np.float32)
    counts = row(np.random.default_rng(size).permutation(descending), [1] * size)
    (key,) = counts.keys[counts.instances > 0]
    assert key == ScoreCounts.of(descending[place : place + 1][None], np.ones((1, 1), bool)).keys[0]


def test_recall_is_read_as_a_decimal_number():
    """In binary 0.07 times 100 is a little more than 7."""
    ones = np.ones(100, np.int64)
    curve = InstanceCurve.of(np.arange(100, 0, -1), np.arange(100, 0, -1) ** 2, ones)
    assert curve.at(0.07) == curve.at(0.065)
    assert curve.at(0.07) != curve.at(0.071)


def test_counts_of_instances_add_up():
    rng = np.random.default_rng(3)
    truths = [rng.random((7, 9)) < share for share in (0.1, 0.0, 0.3)]
    maps = [rng.integers(0, 5, (7, 9)).astype(np.float32) for _ in truths]
    whole = counted(maps, truths)
    assert whole.instances.sum() == whole.regions
    backward = counted(maps[::-1], truths[::-1])
    assert whole.iap() == backward.iap()


def test_regions_join_at_corners_and_weigh_one_each():
    truth = np.zeros((6, 6), bool)
    truth[0, 0] = truth[1, 1] = truth[4, 4] = True
    regions = Regions.of(truth)
    assert sorted(regions.sizes) == [1, 2]
    assert math.isclose(regions.pixel_weights().sum(), 2.0)
    assert Regions.of(np.zeros((3, 3), bool)).count == 0


def test_found_regions_by_size():
    """Sizes at the edges of the classes, each region covered by exactly half and by one pixel more."""
    truth = np.zeros((8, 1200), bool)
    for line, size in enumerate((99, 100, 1000, 1001)):
        truth[2 * line, :size] = True
    half = np.zeros_like(truth)
    for line, size in enumerate((99, 100, 1000, 1001)):
        half[2 * line, : size // 2] = True
    regions = Regions.of(truth)
    assert FoundRegions.of(half, truth, regions) == FoundRegions((1, 2, 1), (0, 0, 0))
    more = half | np.roll(half, 1, axis=1)
    found = FoundRegions.of(more, truth, regions)
    assert found == FoundRegions((1, 2, 1), (1, 2, 1))
    assert (found + FoundRegions((1, 0, 0), (0, 0, 0))).recalls() == (0.5, 1.0, 1.0)
    assert FoundRegions().recalls() == (None, None, None)
