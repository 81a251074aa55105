"""Levelling the rise of normal scores towards the border of the picture."""

import numpy as np
import pytest

from seamark.maps.borders import border_excess, expected_rise, levelled

SIZES = [(256, 320), (320, 256), (401, 203)]


def border_distances(shape):
    pixels = [np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5 for length in shape]
    return np.broadcast_arrays(pixels[0][:, np.newaxis], pixels[1])


def normal_map(shape, seed, corner=2.0, share=0.3):
    """Noise around 1 that rises by a share at the sides and by ``corner`` times as much in the corners."""
    rise = [share * np.exp(-distances / (0.03 * min(shape))) for distances in border_distances(shape)]
    both = rise[0] + rise[1] + (corner - 2.0) * rise[0] * rise[1] / share
    return (1.0 + both + np.random.default_rng(seed).normal(0.0, 0.05, shape)).astype(np.float32)


def profile(scores):
    """Means within 8 px of the border, in the corners and beyond a quarter of the shorter side."""
    down, across = border_distances(scores.shape)
    nearest, middle = np.minimum(down, across), min(scores.shape) / 4
    places = (nearest < 8, (down < 8) & (across < 8), nearest > middle)
    return [float(scores[place].mean()) for place in places]


@pytest.mark.parametrize("corner", [1.0, 2.0, 3.0])
def test_nothing_is_left_at_sides_or_corners_of_pictures_of_several_sizes(corner):
    rise = expected_rise([border_excess(normal_map(shape, seed, corner)) for seed, shape in enumerate(SIZES)])
    for shape in SIZES:
        before, after = normal_map(shape, 9, corner), levelled(normal_map(shape, 9, corner), rise)
        assert min(profile(before)[:2]) > 1.15
        assert profile(after) == pytest.approx([1.0, 1.0, 1.0], abs=0.05)
        assert (after.dtype, after.shape) == (np.float32, shape)


def test_a_border_that_is_lower_than_the_middle_stays():
    scores = [np.maximum(0.2, normal_map((256, 256), seed) - 0.1) for seed in (1, 2, 3)]
    for one in scores:
        one[:40], one[-40:], one[:, :40], one[:, -40:] = 0.5, 0.5, 0.5, 0.5
    rise = expected_rise([border_excess(one) for one in scores])
    assert not rise.any()
    assert np.array_equal(levelled(scores[0], rise), scores[0])


def test_an_odd_photograph_does_not_set_the_rise():
    usual = [border_excess(normal_map((256, 320), seed)) for seed in range(4)]
    odd = border_excess(normal_map((256, 320), 5, share=3.0))
    assert expected_rise([*usual, odd]) == pytest.approx(expected_rise(usual), abs=0.05)


def test_a_defect_keeps_its_height_wherever_it_lies():
    rise = expected_rise([border_excess(normal_map((256, 256), seed)) for seed in range(3)])
    good, bad = normal_map((256, 256), 7), normal_map((256, 256), 7)
    bad[:12, 100:112] += 2.0
    assert levelled(bad, rise) - levelled(good, rise) == pytest.approx(bad - good, abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 1), (17, 40)])
def test_maps_of_a_few_pixels_have_a_rise_too(shape):
    rise = expected_rise([border_excess(np.random.default_rng(1).random(shape).astype(np.float32))])
    assert np.isfinite(levelled(np.ones(shape, np.float32), rise)).all()


def test_a_map_is_levelled_alike_in_strips_of_any_height(monkeypatch):
    scores, rise = normal_map(SIZES[2], 1), np.random.default_rng(0).random((17, 17)).astype(np.float32)
    maps = []
    for rows in (1, 7, 1000):
        monkeypatch.setattr("seamark.maps.borders.STRIP_ROWS", rows)
        maps.append(levelled(scores, rise).tobytes())
    assert maps[0] == maps[1] == maps[2]
