"""Order-preserving 16-bit keys of float16 scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seamark.errors import DataError
from seamark.maps.float16_scores import KEYS, key_scores, quantile, score_histogram, score_keys

finite_scores = arrays(
    np.float32, st.integers(1, 60), elements=st.floats(-65504, 65504, width=32, allow_nan=False, allow_infinity=False)
)


def test_every_finite_float16_has_its_own_ordered_key():
    halves = np.arange(KEYS, dtype=np.uint16).view(np.float16)
    finite = np.unique(halves[np.isfinite(halves)].astype(np.float32))
    keys = score_keys(finite)
    assert finite.size == 63_487  # 63,488 bit patterns; -0 and +0 are one score
    assert np.all(np.diff(keys.astype(int)) > 0)
    np.testing.assert_array_equal(key_scores()[keys], finite)


def test_negative_zero_counts_as_zero():
    assert score_keys(np.array([-0.0, 0.0, -1e-9], np.float32)).tolist() == [0x8000] * 3
    assert key_scores()[0x8000] == 0.0
    assert not np.signbit(key_scores()[0x8000])


def test_key_table_is_monotone_and_nan_outside():
    table = key_scores()
    finite = np.isfinite(table)
    assert table.shape == (KEYS,)
    assert table.dtype == np.float32
    assert finite.sum() == 63_488
    assert np.all(np.diff(table[finite]) >= 0)
    assert table[finite][0] == -65504
    assert table[finite][-1] == 65504


@given(finite_scores)
def test_keys_sort_like_rounded_scores(scores):
    rounded = scores.astype(np.float16).astype(np.float32)
    keys = score_keys(scores)
    np.testing.assert_array_equal(key_scores()[keys], rounded)
    np.testing.assert_array_equal(rounded[np.argsort(keys, kind="stable")], np.sort(rounded))


@given(finite_scores, st.floats(0, 1))
def test_quantile_equals_numpy_inverse_distribution(scores, q):
    rounded = scores.astype(np.float16).astype(np.float64)
    found = quantile(score_histogram(scores), q)
    ordered = np.sort(rounded)
    share = np.arange(1, ordered.size + 1)
    assert found == ordered[np.flatnonzero(share >= max(1, np.ceil(q * ordered.size)))[0]]


def test_quantile_of_known_pixels():
    histogram = score_histogram(np.array([[3.0, -2.0], [1.0, 1.0]], np.float32))
    assert [quantile(histogram, q) for q in (0.0, 0.25, 0.26, 0.75, 0.76, 1.0)] == [-2, -2, 1, 1, 3, 3]


def test_histograms_of_maps_add_up_to_the_pool():
    rng = np.random.default_rng(3)
    maps = rng.normal(0, 50, (3, 40, 30)).astype(np.float32)
    np.testing.assert_array_equal(sum(score_histogram(one) for one in maps), score_histogram(maps))
    assert score_histogram(maps).dtype == np.int64


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_scores_are_refused(bad):
    with pytest.raises(DataError, match="1 non-finite"):
        score_keys(np.array([[0.0, bad]], np.float32))


@pytest.mark.parametrize("bad", [65505.0, -65505.0, 65519.0])
def test_scores_beyond_float16_are_refused(bad):
    with pytest.raises(DataError, match="largest float16"):
        score_histogram(np.array([[0.0, bad]], np.float32))
    score_keys(np.array([65504.0, -65504.0], np.float32))


def test_quantile_needs_pixels_and_a_share():
    with pytest.raises(DataError, match="0 pixels"):
        quantile(np.zeros(KEYS, np.int64), 0.5)
    with pytest.raises(DataError, match="share within"):
        quantile(score_histogram(np.zeros((2, 2), np.float32)), 1.5)


@given(finite_scores)
def test_histogram_counts_keys(values):
    np.testing.assert_array_equal(score_histogram(values), np.bincount(score_keys(values), minlength=KEYS))
