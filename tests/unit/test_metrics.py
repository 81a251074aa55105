"""Metrics against closed forms, literal sort-based implementations and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.metrics import f1_score as sklearn_f1

from seamark.errors import DataError
from seamark.evaluation.metrics import MaskCounts, ScoreCounts, f1_score


def literal_auc_pro(maps, truths, limit):
    """The official procedure, step by step: label, weight, sort all pixels, accumulate, drop ties, integrate."""
    scores, good, weight, regions = [], [], [], 0
    for anomaly_map, truth in zip(maps, truths, strict=True):
        labels, found = ndimage.label(truth, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())
        pixel_weight = np.zeros(truth.shape)
        pixel_weight[truth] = 1.0 / sizes[labels[truth]]
        scores.append(anomaly_map.astype(np.float16).ravel())
        good.append(~truth.ravel())
        weight.append(pixel_weight.ravel())
        regions += found
    scores, good, weight = map(np.concatenate, (scores, good, weight))
    order = np.argsort(scores, kind="stable")[::-1]
    fpr = np.cumsum(good[order].astype(np.float64)) / good.sum()
    pro = np.cumsum(weight[order]) / regions
    last_of_ties = np.append(np.diff(scores[order].astype(np.float32)) != 0, True)
    fpr = np.concatenate([[0.0], np.minimum(fpr[last_of_ties], 1), [1.0]])
    pro = np.concatenate([[0.0], np.minimum(pro[last_of_ties], 1), [1.0]])
    area = 0.0
    for x0, x1, y0, y1 in zip(fpr[:-1], fpr[1:], pro[:-1], pro[1:], strict=True):
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
        elif x0 < limit:
            cut = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            area += (limit - x0) * (y0 + cut) / 2
    return area / limit


def scene(seed, size=(40, 56), offset=0.0, scale=1.0, decimals=None):
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.normal(size=size), 2) > 0.2
    noise = ndimage.gaussian_filter(rng.normal(size=size), 1)
    anomaly_map = (noise + 0.3 * truth) * scale + offset
    if decimals is not None:
        anomaly_map = np.round(anomaly_map, decimals)
    return anomaly_map.astype(np.float32), truth


def pooled(maps, truths):
    return ScoreCounts.pooled(ScoreCounts.of(m, t) for m, t in zip(maps, truths, strict=True))


SCENES = {
    "mixed signs": [scene(seed) for seed in range(4)],
    "negative": [scene(seed, offset=-7) for seed in range(4)],
    "offset 1000": [scene(seed, offset=1000) for seed in range(3)],
    "tiny": [scene(seed, scale=1e-5) for seed in range(3)],
    "ties": [scene(seed, decimals=1) for seed in range(4)],
    "with a good image": [scene(1), (scene(2)[0], np.zeros((40, 56), bool)), scene(3)],
    "sizes differ": [scene(1, (20, 30)), scene(2, (37, 11)), scene(3, (8, 90))],
}


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("name", SCENES)
def test_auc_pro_equals_the_sort_based_procedure(name, limit):
    maps, truths = zip(*SCENES[name], strict=True)
    assert pooled(maps, truths).auc_pro(limit) == pytest.approx(literal_auc_pro(maps, truths, limit), abs=1e-9)


@pytest.mark.parametrize("name", SCENES)
def test_aurocs_equal_scikit_learn(name):
    maps, truths = zip(*SCENES[name], strict=True)
    counts = pooled(maps, truths)
    rounded = [m.astype(np.float16).astype(np.float64) for m in maps]
    flat = np.concatenate([m.ravel() for m in rounded]), np.concatenate([t.ravel() for t in truths])
    assert counts.pixel_auroc() == pytest.approx(roc_auc_score(flat[1], flat[0]), abs=1e-12)
    bad = [t.any() for t in truths]
    expected = roc_auc_score(bad, [m.max() for m in rounded]) if len(set(bad)) == 2 else None
    assert counts.image_auroc() == (None if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize("name", SCENES)
def test_average_precision_and_oracle_equal_scikit_learn(name):
    maps, truths = zip(*SCENES[name], strict=True)
    counts = pooled(maps, truths)
    rounded = np.concatenate([m.astype(np.float16).astype(np.float64).ravel() for m in maps])
    truth = np.concatenate([t.ravel() for t in truths])
    assert counts.pixel_ap() == pytest.approx(average_precision_score(truth, rounded), abs=1e-12)
    precision, recall, _ = precision_recall_curve(truth, rounded)
    f1, threshold = counts.oracle_seg_f1(), counts.oracle_threshold()
    assert f1 == pytest.approx(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300)), abs=1e-12)
    assert f1 == pytest.approx(sklearn_f1(truth, rounded >= threshold), abs=1e-12)
    assert threshold in rounded


def test_oracle_takes_the_highest_of_equal_thresholds():
    """Two of four pixels defective: F1 is 2/3 at 4 (one hit) and at 1 (all four)."""
    counts = ScoreCounts.of(np.array([[4, 3, 2, 1]], np.float32), np.array([[1, 0, 0, 1]], bool))
    assert (counts.oracle_seg_f1(), counts.oracle_threshold()) == (2 / 3, 4.0)


def test_compact_counts_pool_to_the_same():
    parts = [ScoreCounts.of(*scene(seed, decimals=2)) for seed in range(5)]
    parts += [ScoreCounts.of(scene(9)[0], np.zeros((40, 56), bool))]
    whole, compact = ScoreCounts.pooled(parts), ScoreCounts.pooled(part.compact() for part in parts)
    for name in ("keys", "negatives", "positives", "region_weight", "good_images", "bad_images", "instances"):
        np.testing.assert_array_equal(getattr(compact, name), getattr(whole, name))
        assert getattr(compact, name).dtype == getattr(whole, name).dtype
    assert sum(part.compact().negatives.nbytes for part in parts) < sum(part.negatives.nbytes for part in parts) / 3


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_auc_pro_equals_the_sort_based_procedure_on_random_sets(data):
    """Ties, negative scores, regions that touch, images without and full of defects, any limit."""
    maps, truths = [], []
    for _ in range(data.draw(st.integers(1, 3))):
        shape = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
        size = shape[0] * shape[1]
        maps.append(np.array(data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size)), np.float32) / 4)
        truths.append(np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size))))
        truths[-1] = data.draw(st.sampled_from([truths[-1], np.zeros(size, bool), np.ones(size, bool)])).reshape(shape)
        maps[-1] = maps[-1].reshape(shape)
    counts = pooled(maps, truths)
    limit = data.draw(st.floats(0.001, 1.0))
    flat = np.concatenate([truth.ravel() for truth in truths])
    if not flat.any() or flat.all():
        assert counts.auc_pro(limit) is None
    else:
        assert counts.auc_pro(limit) == pytest.approx(literal_auc_pro(maps, truths, limit), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_small_integer_maps_equal_the_sort_based_procedure(data):
    side = st.integers(1, 6)
    shape = (data.draw(side), data.draw(side))
    size = shape[0] * shape[1]
    values = data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
    defect = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    anomaly_map, truth = np.array(values, np.float32).reshape(shape), np.array(defect).reshape(shape)
    counts = ScoreCounts.of(anomaly_map, truth)
    if truth.any() and not truth.all():
        assert counts.auc_pro(0.3) == pytest.approx(literal_auc_pro([anomaly_map], [truth], 0.3), abs=1e-9)
        assert counts.pixel_auroc() == pytest.approx(roc_auc_score(truth.ravel(), anomaly_map.ravel()), abs=1e-12)
    else:
        assert counts.auc_pro(0.3) is None
        assert counts.pixel_auroc() is None


def truth_with_block():
    truth = np.zeros((10, 20), bool)
    truth[2:4, 3:8] = True
    return truth


def test_perfect_map():
    truth = truth_with_block()
    counts = ScoreCounts.of(truth.astype(np.float32), truth)
    assert counts.auc_pro(0.05) == pytest.approx(1.0, abs=1e-12)
    assert counts.pixel_auroc() == 1.0


def test_inverted_map():
    truth = truth_with_block()
    counts = ScoreCounts.of(1 - truth.astype(np.float32), truth)
    assert counts.auc_pro(0.05) == 0.0
    assert counts.pixel_auroc() == 0.0


@pytest.mark.parametrize("value", [0.0, -5.0, 3.25])
@pytest.mark.parametrize("limit", [0.05, 0.3])
def test_constant_map_gives_the_diagonal(value, limit):
    counts = ScoreCounts.of(np.full((10, 20), value, np.float32), truth_with_block())
    assert counts.auc_pro(limit) == pytest.approx(limit / 2, abs=1e-15)
    assert counts.pixel_auroc() == 0.5


def test_minus_zero_ties_with_zero():
    truth = np.array([[True, False]])
    counts = ScoreCounts.of(np.array([[-0.0, 0.0]], np.float32), truth)
    assert counts.pixel_auroc() == 0.5


def test_limit_is_reached_by_interpolation():
    """One of four good pixels scores above the defect: the curve runs (0,0), (.25,0), (.25,1), (1,1)."""
    counts = ScoreCounts.of(np.array([[3, 2, 1, 1, 1]], np.float32), np.array([[0, 1, 0, 0, 0]], bool))
    assert counts.auc_pro(0.2) == 0.0
    assert counts.auc_pro(0.25) == 0.0
    assert counts.auc_pro(0.5) == pytest.approx(0.5)
    assert counts.auc_pro(1.0) == pytest.approx(0.75)


def test_every_region_weighs_the_same():
    """The large region is found, the one-pixel region is missed: overlap 1/2, although 9 of 10 defect px are found."""
    truth = np.zeros((20, 20), bool)
    truth[:3, :3] = True
    truth[10, 10] = True
    found = truth.copy()
    found[10, 10] = False
    anomaly_map = found.astype(np.float32)
    anomaly_map[10, 10] = -1
    assert ScoreCounts.of(anomaly_map, truth).auc_pro(0.05) == pytest.approx(0.5)


def test_regions_touching_at_a_corner_are_one():
    truth = np.zeros((6, 6), bool)
    truth[0, 0] = truth[1, 1] = truth[4, 4] = True
    counts = ScoreCounts.of(np.zeros((6, 6), np.float32), truth)
    assert counts.regions == 2
    assert counts.region_weight.sum() == pytest.approx(2.0)


def test_without_defects_and_without_good_pixels():
    anomaly_map = np.arange(6, dtype=np.float32).reshape(2, 3)
    for truth in (np.zeros((2, 3), bool), np.ones((2, 3), bool)):
        counts = ScoreCounts.of(anomaly_map, truth)
        assert counts.auc_pro(0.05) is None
        assert counts.pixel_auroc() is None
        assert counts.image_auroc() is None
        assert counts.pixel_ap() == (1.0 if truth.all() else None)
        assert counts.oracle_seg_f1() == (1.0 if truth.all() else None)
        assert counts.oracle_threshold() == (0.0 if truth.all() else None)
    assert ScoreCounts.pooled([]).auc_pro(0.05) is None
    assert ScoreCounts.pooled([]).class_f1_floor() is None


def test_peak_and_floor():
    good, bad = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    anomaly_map = np.array([[-3, -2, -1], [-9, -9.5, -4]], np.float32)
    counts = sum([ScoreCounts.of(anomaly_map, bad)] * 2, ScoreCounts.of(anomaly_map - 1, good))
    assert counts.peak() == -1.0
    assert (counts.images, counts.bad) == (3, 2)
    assert counts.class_f1_floor() == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert counts.image_auroc() == 1.0
    with pytest.raises(DataError, match="no image"):
        ScoreCounts.pooled([]).peak()


def test_the_sum_of_parts_is_the_whole():
    parts = [ScoreCounts.of(*scene(seed)) for seed in range(6)]
    whole = ScoreCounts.pooled(parts)
    merged = (parts[0] + parts[1]) + (parts[2] + (parts[3] + parts[4])) + parts[5]
    for name in ("keys", "negatives", "positives", "good_images", "bad_images"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    np.testing.assert_allclose(merged.region_weight, whole.region_weight, rtol=0, atol=1e-12)
    assert merged.regions == whole.regions
    assert len(whole.keys) < 65536


def test_order_of_images_does_not_matter():
    parts = [ScoreCounts.of(*scene(seed, decimals=2)) for seed in range(12)]
    forward, backward = ScoreCounts.pooled(parts), ScoreCounts.pooled(parts[::-1])
    assert forward.auc_pro(0.05) == pytest.approx(backward.auc_pro(0.05), abs=1e-12)
    assert forward.pixel_auroc() == backward.pixel_auroc()
    assert forward.image_auroc() == backward.image_auroc()


def test_counts_beyond_64_bits_of_pairs():
    counts = ScoreCounts.of(np.array([[0, 1]], np.float32), np.array([[False, True]]))
    huge = ScoreCounts(
        counts.keys,
        counts.negatives * 2**40,
        counts.positives * 2**40,
        counts.region_weight,
        counts.good_images,
        counts.bad_images,
        counts.instances,
        counts.regions,
    )
    assert huge.pixel_auroc() == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_unusable_scores_are_refused(value):
    with pytest.raises(DataError):
        ScoreCounts.of(np.array([[0, value]], np.float32), np.array([[False, True]]))


def test_shapes_must_agree():
    with pytest.raises(DataError, match=r"\(2, 3\).*\(3, 2\)"):
        ScoreCounts.of(np.zeros((2, 3), np.float32), np.zeros((3, 2), bool))
    with pytest.raises(DataError, match="predicted mask"):
        MaskCounts.of(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


def test_mask_counts_pool_pixels_and_images():
    rng = np.random.default_rng(0)
    predictions = [rng.random((9, 7)) < share for share in (0.3, 0.0, 0.2, 0.0)]
    truths = [rng.random((9, 7)) < share for share in (0.3, 0.1, 0.0, 0.0)]
    parts = [MaskCounts.of(p, t) for p, t in zip(predictions, truths, strict=True)]
    counts = parts[0] + parts[1] + (parts[2] + parts[3])
    flat = np.concatenate([t.ravel() for t in truths]), np.concatenate([p.ravel() for p in predictions])
    assert counts.seg_f1() == pytest.approx(sklearn_f1(*flat), abs=1e-12)
    images = (counts.true_positive_images, counts.false_positive_images, counts.false_negative_images)
    assert images == (1, 1, 1)
    assert counts.class_f1() == 0.5
    assert counts.seg_f1() != pytest.approx(np.mean([part.seg_f1() or 0.0 for part in parts]), abs=1e-3)


def test_f1_without_positives_is_undefined():
    assert f1_score(0, 0, 0) is None
    assert f1_score(0, 1, 0) == 0.0
    empty = MaskCounts.of(np.zeros((3, 3), bool), np.zeros((3, 3), bool))
    assert empty.seg_f1() is None
    assert empty.class_f1() is None
