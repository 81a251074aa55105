"""Training augmentation and normalisation against docs/methods/robis.md#checks (A-1 to A-4)."""

import numpy as np
import pytest
import scipy.stats
import torch

from seamark.backbones.registry import TransformerBackbone
from seamark.backbones.table import BACKBONES
from seamark.learning.batches import Batch, TileReader
from seamark.networks.vision_transformer import VisionTransformer
from seamark.settings.augmentation import AugmentationSettings
from seamark.synthesis.photometric import augment, expose, expose_and_add_noise
from seamark.tiles.cutting import cut_tiles

RELEASED = AugmentationSettings()


class Exposed:
    """A generator that gives one exposure; noise and coins are those of a seed."""

    def __init__(self, stops, seed=0):
        self.stops, self.random = stops, np.random.default_rng(seed)

    def uniform(self, low, high):
        assert (low, high) == (-0.2, 0.2)
        return self.stops

    def standard_normal(self, *arguments, **named):
        return self.random.standard_normal(*arguments, **named)


def reader_of(tiles):
    entry = BACKBONES["dinov2_vitb14_reg"]
    backbone = TransformerBackbone(entry, VisionTransformer(16, 1, 2), "random", (0,)).freeze()
    return TileReader(tiles, backbone.normalise, "cpu", seed=1)


def test_the_defaults_are_the_released_ones():
    assert (RELEASED.probability, RELEASED.exposure_stops, RELEASED.noise_std) == (0.5, 0.2, 15.0)
    assert (RELEASED.order, RELEASED.wide_probability, RELEASED.frozen_variants) == ("exposure_first", 0.0, None)


@pytest.mark.parametrize(("value", "stops", "expected"), [(200, 0.2, 229), (230, 0.2, 255), (200, -0.2, 174)])
def test_a1_exposure_is_clipped_and_truncated(value, stops, expected):
    tile = np.full((2, 2, 3), value, np.uint8)
    silent = AugmentationSettings(noise_std=0.0)
    assert np.unique(expose_and_add_noise(tile, silent, Exposed(stops))).tolist() == [expected]


def test_a1_the_factor_before_truncation():
    assert expose(np.float32([200.0]), 0.2).tolist() == pytest.approx([229.74], abs=0.005)
    assert expose(np.float32([1.0]), 0.2).tolist() == pytest.approx([1.148698], abs=1e-6)
    assert expose(np.float32([1.0]), -0.2).tolist() == pytest.approx([0.870551], abs=1e-6)


def test_a1_no_exposure_and_no_noise_is_the_identity():
    tile = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(expose_and_add_noise(tile, AugmentationSettings(noise_std=0.0), Exposed(0.0)), tile)


@pytest.mark.parametrize("order", ["exposure_first", "noise_first"])
def test_a2_noise_is_truncated_and_independent_per_channel(order):
    tile = np.full((256, 256, 3), 128, np.uint8)
    settings = AugmentationSettings(order=order)
    noisy = expose_and_add_noise(tile, settings, Exposed(0.0, seed=1)).astype(float)
    assert noisy.mean() == pytest.approx(127.5, abs=0.1)
    assert noisy.std() == pytest.approx(np.sqrt(225 + 1 / 12), abs=0.1)
    correlation = np.corrcoef(noisy.reshape(-1, 3), rowvar=False)
    assert np.abs(correlation - np.eye(3)).max() < 0.02


def test_a2_repeated_grey_gets_coloured_noise():
    reader = reader_of(np.full((1, 64, 64, 1), 128, np.uint8))
    batch = Batch(reader, "reconstruction", 0, [0], AugmentationSettings(probability=1.0))
    red, green, blue = np.moveaxis(batch.pixels(0).astype(float), 2, 0)
    assert all(np.std(one - other) > 15 for one, other in ((red, green), (green, blue), (blue, red)))


def test_a3_half_of_the_samples_change():
    tile = np.full((2, 2, 1), 128, np.uint8)
    random = np.random.default_rng(2)
    changed = [augment(tile, RELEASED, random) is not tile for _ in range(10_000)]
    assert abs(np.mean(changed) - 0.5) < 3 * 0.5 / 100


def test_a3_exposure_is_uniform():
    random = np.random.default_rng(3)
    settings = AugmentationSettings(noise_std=0.0)
    tile = np.full((1, 1, 1), 200, np.uint8)
    values = np.array([int(expose_and_add_noise(tile, settings, random)[0, 0, 0]) for _ in range(5000)])
    dither = np.random.default_rng(4).random(5000)
    stops = np.log2((values + dither) / 200)
    assert stops.min() == pytest.approx(-0.2, abs=0.01)
    assert stops.max() == pytest.approx(0.2, abs=0.01)
    assert scipy.stats.kstest(stops, "uniform", args=(-0.2, 0.4)).pvalue > 0.01


@pytest.mark.parametrize("shape", [(5, 7, 3), (518, 518, 1)])
def test_a3_type_and_shape_stay(shape):
    tile = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    settings = AugmentationSettings(probability=1.0, wide_probability=1.0)
    changed = augment(tile, settings, np.random.default_rng(1))
    assert changed.dtype == np.uint8
    assert changed.shape == tile.shape
    assert not np.array_equal(changed, tile)


def test_a3_what_is_scored_is_never_augmented():
    tiles = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
    reader = reader_of(tiles)
    first, again = (reader.images([reader.pixels(tile) for tile in range(3)]) for _ in range(2))
    assert torch.equal(first, again)
    plain = (torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / (
        torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    )
    torch.testing.assert_close(first, plain)


def test_a4_a_black_pixel():
    reader = reader_of(np.zeros((1, 14, 14, 1), np.uint8))
    black = reader.images([reader.pixels(0)])[0]
    assert black[:, 0, 0].tolist() == pytest.approx([-2.11790, -2.03571, -1.80444], abs=5e-6)
    assert torch.equal(black, black[:, :1, :1].expand_as(black))


def test_a4_padding_of_a_tile_is_black():
    image = np.full((700, 700, 3), 200, np.uint8)
    (tile,) = cut_tiles(image, [(0, 0, 1024, 1024)], (518, 518))
    reader = reader_of(tile[np.newaxis])
    corner = reader.images([reader.pixels(0)])[0, :, -1, -1]
    assert corner.tolist() == pytest.approx([-2.11790, -2.03571, -1.80444], abs=5e-6)
