"""Photometric augmentation: the numbers of the specification (A-1 to A-4) and the wide variants."""

import numpy as np
import pytest
import torch

from seamark.augmentation import add_noise, augment, expose, expose_and_add_noise, wide_variant
from seamark.backbones import load_backbone
from seamark.settings.augmentation import AugmentationSettings, WideSettings


class Fixed:
    """A generator whose uniform numbers are given."""

    def __init__(self, value):
        self.value = value

    def uniform(self, low, high):
        assert low <= self.value <= high
        return self.value


def exposed(value, stops):
    tile = np.full((2, 2, 3), value, np.uint8)
    return expose_and_add_noise(tile, AugmentationSettings(noise_std=0.0), Fixed(stops))


@pytest.mark.parametrize(
    ("value", "stops", "expected"), [(200, 0.2, 229), (230, 0.2, 255), (200, -0.2, 174), (77, 0.0, 77)]
)
def test_a1_exposure(value, stops, expected):
    assert np.unique(exposed(value, stops)).tolist() == [expected]


def test_a2_noise_is_truncated_and_independent_per_channel():
    tile = np.full((256, 256, 3), 128, np.uint8)
    settings = AugmentationSettings(exposure_stops=0.0)
    noisy = expose_and_add_noise(tile, settings, np.random.default_rng(1)).astype(float)
    assert noisy.mean() == pytest.approx(127.5, abs=0.1)
    assert noisy.std() == pytest.approx(np.sqrt(225 + 1 / 12), abs=0.1)
    correlation = np.corrcoef(noisy.reshape(-1, 3), rowvar=False)
    assert np.abs(correlation - np.eye(3)).max() < 0.02


def test_a3_half_of_the_tiles_change():
    tile = np.full((2, 2, 1), 128, np.uint8)
    random = np.random.default_rng(2)
    changed = [augment(tile, AugmentationSettings(), random) is not tile for _ in range(10_000)]
    assert abs(np.mean(changed) - 0.5) < 3 * 0.5 / 100


def test_a3_exposure_is_uniform():
    random = np.random.default_rng(3)
    settings = AugmentationSettings(noise_std=0.0)
    tile = np.full((1, 1, 1), 200, np.uint8)
    values = np.array([int(expose_and_add_noise(tile, settings, random)[0, 0, 0]) for _ in range(5000)])
    stops = np.log2((values + 0.5) / 200)
    assert stops.min() == pytest.approx(-0.2, abs=0.01)
    assert stops.max() == pytest.approx(0.2, abs=0.01)
    assert abs(np.median(stops)) < 0.02


def test_a3_type_and_shape_stay():
    tile = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    settings = AugmentationSettings(probability=1.0, wide_probability=1.0)
    changed = augment(tile, settings, np.random.default_rng(1))
    assert changed.dtype == np.uint8
    assert changed.shape == tile.shape


def test_a4_black_after_imagenet_normalisation():
    black = torch.zeros(1, 32, 32, 1, dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    backbone = load_backbone("efficientnet_lite0", "random")
    backbone.mean, backbone.std = 255 * mean.view(1, 3, 1, 1), 255 * std.view(1, 3, 1, 1)
    assert backbone.normalise(black)[0, :, 0, 0].tolist() == pytest.approx([-2.11790, -2.03571, -1.80444], abs=1e-5)


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


def test_wide_gradient_is_symmetric_about_the_middle():
    tile = np.full((65, 65, 1), 100, np.uint8)
    settings = WideSettings(log_gamma=(0.0, 0.0), log_gain=(0.0, 0.0), gradient=0.5)
    light = wide_variant(tile, settings, np.random.default_rng(1)).astype(int)[:, :, 0]
    assert light[32, 32] == 100
    assert np.abs(light + light[::-1, ::-1] - 200).max() <= 1
    assert np.ptp(light) > 5
