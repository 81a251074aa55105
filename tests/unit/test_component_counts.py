"""Components of all levels at once are those of each level alone, and so is the threshold."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from tests.golden.mebin_reference import reference_counts, reference_threshold

from seamark.masks.component_tree import component_counts, first_steps
from seamark.masks.components import erode_scores
from seamark.masks.mebin import PeakScale, entry_scores, stable_threshold
from seamark.settings.binarize import MebinSettings

SHAPES = [(1, 1), (1, 90), (90, 1), (2, 2), (3, 5), (7, 64), (5, 65), (6, 66), (31, 33), (48, 63), (40, 130), (63, 47)]
SEEDS_PER_SHAPE = 45


def noise(rng, shape):
    return rng.uniform(-20, 275, shape)


def smooth(rng, shape):
    return cv2.GaussianBlur(rng.normal(100, 900, shape), (0, 0), rng.uniform(0.7, 4))


def plateaus(rng, shape):
    return rng.integers(0, 5, shape) * 60.0


def on_levels(rng, shape):
    return 255.0 - 4 * rng.integers(0, 64, shape)


def sparse(rng, shape):
    return np.where(rng.random(shape) < 0.2, rng.uniform(0, 255, shape), 0)


def blocks(rng, shape):
    small = rng.integers(0, 256, (-(-shape[0] // 8), -(-shape[1] // 8))).astype(np.float64)
    return np.kron(small, np.ones((8, 8)))[: shape[0], : shape[1]]


def stripes(rng, shape):
    rows, columns = np.indices(shape)
    return 250.0 - 60 * ((rows * int(rng.integers(0, 3)) + columns) % int(rng.integers(2, 5)))


def constant(rng, shape):
    return np.full(shape, rng.uniform(1, 255))


FAMILIES = (noise, smooth, plateaus, on_levels, sparse, blocks, stripes, constant, smooth)


def drawn(seed, shape):
    rng = np.random.default_rng([seed, *shape])
    scores = np.reshape(FAMILIES[seed % len(FAMILIES)](rng, shape), shape).astype(np.float32)
    weakest = float(rng.choice([0.0, 30.0, 100.25]))
    return scores, weakest, max(float(scores.max()), weakest + 1.0)


def counts_of(scores, scale, sample_rate, erode_px):
    entries = entry_scores(scale, sample_rate)
    return component_counts(first_steps(scores, entries, erode_px), entries.size)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_counts_and_thresholds_equal_those_of_the_reference(shape):
    busy = 0
    for seed in range(SEEDS_PER_SHAPE):
        scores, weakest, strongest = drawn(seed, shape)
        scale = PeakScale(weakest, strongest)
        for erode_px in (0, (2, 3, 6)[seed % 3]):
            expected = reference_counts(scores, weakest, strongest, 4, erode_px)
            assert counts_of(scores, scale, 4, erode_px) == expected, (seed, erode_px)
            settings = MebinSettings(erode_px=erode_px, truncate=seed % 2 == 0)
            threshold = reference_threshold(scores, weakest, strongest, erode_px=erode_px, truncate=settings.truncate)
            assert stable_threshold(scores, scale, settings) == threshold, (seed, erode_px)
            busy += max(expected) > 1
    assert busy > 0 or shape == (1, 1) or shape == (2, 2)


def test_the_maps_above_are_more_than_five_hundred():
    assert len(SHAPES) * SEEDS_PER_SHAPE >= 500


@pytest.mark.parametrize(("sample_rate", "min_interval"), [(1, 3), (3, 4), (7, 2), (64, 1), (64, 5), (4, 64)])
def test_other_sampling_equals_the_reference(sample_rate, min_interval):
    found = 0
    for seed in range(12):
        scores, weakest, strongest = drawn(seed, (33, 40))
        settings = MebinSettings(sample_rate=sample_rate, min_interval=min_interval, erode_px=2, truncate=False)
        expected = reference_threshold(scores, weakest, strongest, sample_rate, min_interval, 2, truncate=False)
        assert stable_threshold(scores, PeakScale(weakest, strongest), settings) == expected
        assert counts_of(scores, PeakScale(weakest, strongest), sample_rate, 2) == reference_counts(
            scores, weakest, strongest, sample_rate, 2
        )
        found += expected is not None
    assert (found > 0) == (min_interval * sample_rate < 255)


@pytest.mark.parametrize("peak", [15.0, 16.0, 3.0, 1.0])
def test_a_map_too_weak_for_a_run_is_not_counted(monkeypatch, peak):
    scores = np.zeros((20, 20), np.float32)
    scores[4:14, 4:14] = peak
    scores[0, 0] = 255  # falls to the erosion
    expected = reference_threshold(scores, 0.0, 255.0, truncate=False)
    assert (expected is not None) == (peak > 15)
    assert stable_threshold(scores, PeakScale(0.0, 255.0), MebinSettings(truncate=False)) == expected
    monkeypatch.setattr("seamark.masks.mebin.component_counts", lambda *_: pytest.fail("counted"))
    if peak <= 15:
        assert stable_threshold(scores, PeakScale(0.0, 255.0), MebinSettings()) is None
    else:
        with pytest.raises(pytest.fail.Exception, match="counted"):
            stable_threshold(scores, PeakScale(0.0, 255.0), MebinSettings())


@pytest.mark.parametrize(("origin", "unit"), [(0.0, 1.0), (-3.25, 1e-3), (1e6, 0.7), (0.125, 3e-9), (5.0, 1e-12)])
def test_entry_scores_are_the_smallest_above_each_threshold(origin, unit):
    scale = PeakScale(31.7, 254.9, origin, unit)
    entries = entry_scores(scale, 4)
    thresholds = np.arange(255, 0, -4)
    assert entries.dtype == np.float32
    assert (scale.levels_of(entries) > thresholds).all()
    assert not (scale.levels_of(np.nextafter(entries, np.float32(-np.inf))) > thresholds).any()


def test_scores_beyond_the_largest_number_are_never_reached():
    entries = entry_scores(PeakScale(0.0, 3.6e38), 4)
    assert np.isinf(entries).tolist() == [True] * 4 + [False] * 60
    steps = first_steps(np.full((4, 4), np.finfo(np.float32).max), entries, 0)
    assert component_counts(steps, 64) == [0] * 4 + [1] * 60


def test_what_is_not_a_number_belongs_to_no_mask():
    scores = np.zeros((9, 70), np.float32)
    scores[2:4, 2:66] = 200
    scores[:, 30] = np.nan
    scores[8, 0] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = counts_of(scores, PeakScale(0.0, 255.0), 4, 0)
    assert counts == [1] * 14 + [3] * 50


@pytest.mark.parametrize("strongest", [80.0, 79.0, float("nan")])
def test_equal_peaks_give_no_threshold(strongest):
    assert reference_threshold(np.full((4, 4), 80.0), 80.0, strongest) is None
    if strongest == strongest:
        assert stable_threshold(np.full((4, 4), 80, np.float32), PeakScale(80.0, strongest), MebinSettings()) is None


def test_spiral_and_comb_join_late():
    comb = np.full((40, 81), 10, np.float32)
    comb[:-1, ::2] = 240
    comb[-1] = 100
    scale = PeakScale(50.0, 255.0)
    assert counts_of(comb, scale, 4, 0) == reference_counts(comb, 50.0, 255.0, 4, 0)
    assert set(counts_of(comb, scale, 4, 0)) == {0, 41, 1}


def test_eroding_scores_first_gives_the_same_steps():
    for seed, shape in enumerate(SHAPES):
        scores, weakest, strongest = drawn(seed, shape)
        entries = entry_scores(PeakScale(weakest, strongest), 4)
        for side in (2, 5, 6, 64):
            np.testing.assert_array_equal(
                first_steps(scores, entries, side), first_steps(erode_scores(scores, side), entries, 0)
            )


def test_threads_and_memory_layout_do_not_change_a_threshold():
    maps = [smooth(np.random.default_rng(seed), (200, 300)).astype(np.float32) for seed in range(8)]
    scale, settings = PeakScale(60.0, max(float(one.max()) for one in maps)), MebinSettings()
    alone = [stable_threshold(one, scale, settings) for one in maps]
    assert len(set(alone)) > 1
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda one: stable_threshold(one, scale, settings), maps * 3)) == alone * 3
    assert [stable_threshold(np.asfortranarray(one), scale, settings) for one in maps] == alone
    for one in maps:
        one.flags.writeable = False
    assert [stable_threshold(one, scale, settings) for one in maps] == alone
