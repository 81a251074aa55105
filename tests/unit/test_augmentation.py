"""Photometric augmentation: order and clipping, and the wide variants; the released numbers are among the goldens."""

import numpy as np
import pytest

from seamark.settings.augmentation import AugmentationSettings, WideSettings
from seamark.synthesis.photometric import add_noise, expose, expose_and_add_noise, wide_variant


def test_order_decides_what_the_exposure_scales():
    tile = np.full((64, 64, 3), 75, np.uint8)
    stds = []
    for order in ("exposure_first", "noise_first"):
        settings = AugmentationSettings(order=order, exposure_stops=1.0)
        noise = expose_and_add_noise(tile, settings, np.random.default_rng(4)).astype(float)
        stds.append(noise.std())
    stops = np.random.default_rng(4).uniform(-1.0, 1.0)
    assert stds[1] / stds[0] == pytest.approx(2**stops, rel=0.02)


def test_expose_and_noise_clip():
    white = np.full((4, 4, 1), 250, np.float32)
    assert expose(white, 1.0).max() == 255.0
    assert add_noise(white, 50.0, np.random.default_rng(0)).max() == 255.0


def test_wide_variant_keeps_padding_black_and_stays_in_range():
    tile = np.random.default_rng(0).integers(1, 256, (32, 48, 3), dtype=np.uint8)
    tile[20:] = 0
    for seed in range(20):
        variant = wide_variant(tile, WideSettings(), np.random.default_rng(seed))
        assert variant.dtype == np.uint8
        assert not variant[20:].any()
        assert variant[:20].any()


def test_wide_variant_without_ranges_is_the_tile():
    tile = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    settings = WideSettings(log_gamma=(0.0, 0.0), log_gain=(0.0, 0.0), gradient=0.0)
    assert np.array_equal(wide_variant(tile, settings, np.random.default_rng(0)), tile)


def test_a_wide_variant_is_the_same_in_strips_of_any_height(monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (130, 37, 3), dtype=np.uint8)
    settings = WideSettings(vignette=0.3, log_white_balance=0.07, noise_std=5.0)
    variants = []
    for rows in (1, 7, 64, 1000):
        monkeypatch.setattr("seamark.synthesis.photometric.STRIP_ROWS", rows)
        variants.append(wide_variant(picture, settings, np.random.default_rng(3)))
    assert all(np.array_equal(variants[-1], variant) for variant in variants)


def still(**families):
    """Only the named families change anything."""
    return WideSettings(log_gamma=(0.0, 0.0), log_gain=(0.0, 0.0), gradient=0.0, **families)


def test_a_gain_of_its_own_range_is_drawn_evenly():
    tile, settings = np.full((1, 1, 1), 100, np.uint8), still(gain=(0.8, 1.2))
    found = [int(wide_variant(tile, settings, np.random.default_rng(seed))[0, 0, 0]) for seed in range(400)]
    assert (min(found), max(found)) == (80, 120)
    assert abs(np.mean(found) - 100) < 2


def test_a_vignette_darkens_the_corners_alike_and_not_the_middle():
    lit = wide_variant(np.full((41, 61, 1), 200, np.uint8), still(vignette=0.5), np.random.default_rng(2))[..., 0]
    assert lit[20, 30] == 200
    assert lit[0, 0] == lit[0, -1] == lit[-1, 0] == lit[-1, -1] == lit.min() < 200
    assert lit.min() >= 100


def test_white_balance_scales_colours_and_leaves_grey_photographs_alone():
    settings = still(log_white_balance=0.3)
    colour = wide_variant(np.full((8, 8, 3), 100, np.uint8), settings, np.random.default_rng(2))
    assert len({int(value) for value in colour[0, 0]}) == 3
    assert (colour == colour[0, 0]).all()
    grey = np.full((8, 8, 1), 100, np.uint8)
    assert np.array_equal(wide_variant(grey, settings, np.random.default_rng(2)), grey)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("seed", [0, 2])
def test_noise_has_the_strength_it_was_given_times_the_gain(gain, seed):
    flat = np.full((200, 200, 1), 80, np.uint8)
    settings = WideSettings(log_gamma=(0.0, 0.0), log_gain=(np.log(gain),) * 2, gradient=0.0, noise_std=8.0)
    noisy = wide_variant(flat, settings, np.random.default_rng(seed)).astype(float)
    strength = np.random.default_rng(seed)
    strength.uniform(size=4)  # gamma, gain, slope and angle come first
    assert noisy.mean() == pytest.approx(80 * gain, abs=0.2)
    rounding = 1 / 12
    assert noisy.var() == pytest.approx((gain * strength.uniform(0.0, 8.0)) ** 2 + rounding, rel=0.03)


def test_wide_gradient_is_symmetric_about_the_middle():
    tile = np.full((65, 65, 1), 100, np.uint8)
    settings = WideSettings(log_gamma=(0.0, 0.0), log_gain=(0.0, 0.0), gradient=0.5)
    light = wide_variant(tile, settings, np.random.default_rng(1)).astype(int)[:, :, 0]
    assert light[32, 32] == 100
    assert np.abs(light + light[::-1, ::-1] - 200).max() <= 1
    assert np.ptp(light) > 5
