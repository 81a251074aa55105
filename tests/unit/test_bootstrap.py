"""Resampled counts against images that are really repeated, and intervals of known distributions."""

import numpy as np
import pytest

from seamark.evaluation.bootstrap import image_draws, percentile_interval, resampled_masks, resampled_scores
from seamark.evaluation.metrics import MaskCounts, ScoreCounts


def images(count, decimals=1):
    rng = np.random.default_rng(5)
    truths = [(rng.random((9, 12)) < 0.15) & (number % 3 > 0) for number in range(count)]
    maps = [np.round(rng.normal(size=(9, 12)) + truth, decimals).astype(np.float32) for truth in truths]
    return maps, truths, [rng.random((9, 12)) < 0.3 for _ in truths]


def scores_of(counts):
    return {
        "auc_pro": counts.auc_pro(0.3),
        "pixel_auroc": counts.pixel_auroc(),
        "pixel_ap": counts.pixel_ap(),
        "image_auroc": counts.image_auroc(),
        "iap": counts.iap(),
        "iap_at": counts.iap_at(0.7),
        "oracle": counts.oracle_seg_f1(),
    }


@pytest.mark.parametrize("decimals", [1, 5])
def test_a_resample_is_its_images_repeated(decimals):
    maps, truths, masks = images(7, decimals)
    parts = [ScoreCounts.of(m, t) for m, t in zip(maps, truths, strict=True)]
    compact = [part.compact() for part in parts]
    mask_parts = [MaskCounts.of(m, t) for m, t in zip(masks, truths, strict=True)]
    draws = image_draws(np.array([t.any() for t in truths]), 60, (1, 2))
    resamples = list(zip(resampled_scores(compact, draws), resampled_masks(mask_parts, draws), strict=True))
    assert len(resamples) == 60
    for row in (0, 17, 49, 50, 59):
        repeated = np.repeat(np.arange(7), draws[row])
        scores, mask = resamples[row]
        expected = scores_of(ScoreCounts.pooled(parts[place] for place in repeated))
        found = scores_of(scores)
        assert {name: found[name] for name in found} == {
            name: pytest.approx(value, abs=1e-12) for name, value in expected.items()
        }
        assert (scores.images, scores.regions) == (7, sum(parts[place].regions for place in repeated))
        assert mask == sum((mask_parts[place] for place in repeated), MaskCounts())


def test_good_and_bad_images_are_drawn_apart():
    bad = np.array([True, False, True, False, False])
    draws = image_draws(bad, 200, (0,))
    assert set(draws[:, bad].sum(axis=1)) == {2}
    assert set(draws[:, ~bad].sum(axis=1)) == {3}
    np.testing.assert_allclose(draws.mean(axis=0), 1.0, atol=0.25)
    np.testing.assert_array_equal(draws, image_draws(bad, 200, (0,)))
    assert (draws != image_draws(bad, 200, (1,))).any()


@pytest.mark.parametrize(("bad", "resamples"), [([], 9), ([True, True], 0), ([True, False, False], 9), ([False], 9)])
def test_without_variation_there_is_nothing_to_draw(bad, resamples):
    assert image_draws(np.array(bad, bool), resamples, (0,)) is None


def test_images_of_one_kind_are_enough():
    assert image_draws(np.array([True, True]), 3, (0,)).sum() == 6


def test_interval_of_evenly_spread_values():
    assert percentile_interval(np.arange(1001) / 1000) == (0.025, 0.975)
    assert percentile_interval([0.25] * 5) == (0.25, 0.25)


def test_interval_of_a_mean_has_its_known_width():
    """SegF1 of masks that are right or wrong as a whole: the standard error of a share of 40 images is known."""
    full, none = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    parts = [MaskCounts.of(full if number % 2 else none, full) for number in range(40)]
    draws = image_draws(np.ones(40, bool), 2000, (4,))
    shares = [counts.true_positive_px / 40 for counts in resampled_masks(parts, draws)]
    low, high = percentile_interval(shares)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.079, 0.5 + 1.96 * 0.079), abs=0.026)
