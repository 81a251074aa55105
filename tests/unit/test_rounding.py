"""Rounding to float16: NumPy's bits, and counts in which -0 is 0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seamark.submission.rounding import count_patterns, round_scores

finite_scores = arrays(
    np.float32, st.integers(1, 60), elements=st.floats(-65504, 65504, width=32, allow_nan=False, allow_infinity=False)
)


def same_as_numpy(scores):
    rounded, halves = round_scores(scores), scores.astype(np.float16)
    np.testing.assert_array_equal(rounded.scores.view(np.uint16), halves.view(np.uint16))
    assert rounded.scores.shape == scores.shape
    assert rounded.distinct_before == np.unique(scores).size
    assert rounded.distinct_after == np.unique(halves).size
    assert rounded.underflow_px == np.count_nonzero(scores) - np.count_nonzero(halves)


@settings(deadline=None)
@given(finite_scores)
def test_counts_and_bits_are_those_of_numpy(scores):
    same_as_numpy(scores)


def test_every_float16_its_neighbours_and_the_middle_between_two_are_rounded_as_numpy_does():
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = halves + np.diff(np.append(halves, np.float32(65504))) / np.float32(2)
    around = [np.nextafter(middles, np.float32(end)) for end in (0, np.inf)]
    positive = np.concatenate([halves, middles, *around, np.float32([65504, 1e-45, 1e-38, 3e-8])])
    same_as_numpy(np.concatenate([positive, -positive]))


def test_exponents_of_all_sizes_are_rounded_as_numpy_does():
    patterns = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    same_as_numpy(patterns[np.abs(patterns) <= 65504])


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((3, 4), np.float32),
        np.full((2, 5), -0.0, np.float32),
        np.float32([[0.0, -0.0, 1e-9, -1e-9, 1e-40]]),
        np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)[::2, 3:17],
    ],
)
def test_zeros_underflow_and_views(scores):
    same_as_numpy(scores)


@settings(deadline=None)
@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_patterns_are_counted_non_finite_ones_too(patterns):
    counted = count_patterns(patterns.view(np.float16))
    np.testing.assert_array_equal(counted, np.bincount(patterns.ravel(), minlength=1 << 16))
