"""The feature bank: thinning, memory bound, padding, and distances against brute force."""

import math

import numpy as np
import pytest
import torch

from seamark.detectors.feature_bank import (
    PADDING_VECTORS,
    FeatureBank,
    bank_bytes,
    candidates_per_view,
    spread_choice,
)
from seamark.errors import ConfigError, ManifestError
from seamark.learning.batches import TileReader, TrainingTiles, counted_random
from seamark.settings.feature_bank import FeatureBankSettings

SIZE = 96


def plain(items, _):
    return items


def make(**block):
    settings = FeatureBankSettings(backbone="efficientnet_lite0", weights="random", layers=(2, 3), **block)
    return FeatureBank(settings, (SIZE, SIZE), seed=1)


def fill(detector, tiles):
    reader = TileReader(tiles, detector.backbone.normalise, "cpu", 1)
    with torch.no_grad():
        for phase in detector.phases(TrainingTiles(reader, reader)):
            phase.run(TrainingTiles(reader, reader), plain)
    return reader


def tiles(number=3):
    return np.random.default_rng(0).integers(1, 256, (number, SIZE, SIZE, 3), dtype=np.uint8)


def test_tiles_of_an_unthinned_bank_score_zero_and_others_do_not():
    detector = make(variants=0, bank_size=10_000)
    pixels = tiles()
    reader = fill(detector, pixels)
    assert len(detector.bank) == 3 * 144
    known = detector.score(reader.images([reader.pixels(0)]))
    strange = detector.score(reader.images([255 - reader.pixels(0) // 2]))
    assert float(known.max()) < 2e-3
    assert float(strange.min()) > float(known.max())


@pytest.mark.parametrize("neighbours", [1, 3])
def test_distances_equal_brute_force(neighbours):
    detector = make(variants=0, bank_size=50, neighbours=neighbours)
    reader = fill(detector, tiles())
    images = reader.images([reader.pixels(1)])
    vectors = detector.vectors(images)[0]
    expected = torch.cdist(vectors.double(), detector.bank.double()).sort(dim=1).values[:, :neighbours].mean(dim=1)
    torch.testing.assert_close(detector.score(images).flatten().double(), expected, atol=2e-3, rtol=1e-4)


def test_layers_weigh_alike():
    detector = make()
    vectors = detector.vectors(torch.randn(1, 3, SIZE, SIZE))[0]
    assert vectors.shape == (144, 40 + 112)
    torch.testing.assert_close(vectors[:, :40].norm(dim=1), torch.ones(144))
    torch.testing.assert_close(vectors[:, 40:].norm(dim=1), torch.ones(144))


def test_padding_hardly_enters():
    detector = make(variants=1, bank_size=10_000)
    pixels = tiles(6)
    pixels[:, 48:] = 0
    fill(detector, pixels)
    assert len(detector.bank) == 6 * 2 * 72 + PADDING_VECTORS


def test_a_tile_of_padding_alone_is_no_error():
    detector = make(variants=0, bank_size=30)
    pixels = tiles(2)
    pixels[0] = 0
    fill(detector, pixels)
    assert len(detector.bank) == 30


def test_greedy_choice_covers_far_points_first():
    cluster = torch.randn(500, 4) * 0.01
    far = torch.eye(4) * 50
    chosen = spread_choice(torch.cat([cluster, far]), 5, 64, seed=1, track=plain)
    assert chosen.tolist()[-4:] == [500, 501, 502, 503]
    assert len(set(chosen.tolist())) == 5


def test_greedy_choice_is_that_of_one_by_one():
    candidates = torch.randn(400, 6, generator=torch.Generator().manual_seed(2))
    directions = counted_random(1, "projection").standard_normal((6, 5))
    points = candidates.double() @ torch.from_numpy(directions)
    expected = [0]
    while len(expected) < 150:
        expected.append(int(torch.cdist(points, points[expected]).amin(dim=1).argmax()))
    assert spread_choice(candidates, 150, 5, seed=1, track=plain).tolist() == sorted(expected)


def test_greedy_choice_with_duplicates_takes_each_index_once():
    chosen = spread_choice(torch.ones(20, 3), 10, 2, seed=1, track=plain)
    assert len(set(chosen.tolist())) == 10


def test_small_sets_are_kept_whole():
    assert spread_choice(torch.randn(4, 3), 10, 2, seed=1, track=plain).tolist() == [0, 1, 2, 3]


def test_candidates_are_bounded():
    settings = FeatureBankSettings(bank_size=1000, candidates_per_vector=4.0, variants=1)
    assert candidates_per_view(settings, tiles=20, cells=4096) == 100
    assert candidates_per_view(settings, tiles=2, cells=64) == 64
    assert candidates_per_view(settings, tiles=10**6, cells=64) == 1
    assert bank_bytes(settings, 4000, 100, 4096) >= 4 * 4000 * 100
    assert bank_bytes(settings, 8000, 100, 4096) > bank_bytes(settings, 4000, 100, 4096)


def test_memory_limit_is_stated_and_kept():
    detector = make(bank_size=10_000, memory_limit_mb=16)
    with pytest.raises(ConfigError, match=r"candidates of 152 numbers need \d+ MB, but memory_limit_mb is 16"):
        fill(detector, tiles())


def test_empty_bank_is_an_error():
    with pytest.raises(ManifestError, match="train it first"):
        make().score(torch.zeros(1, 3, SIZE, SIZE))


def test_bank_size_bounds_the_bank():
    detector = make(variants=1, bank_size=64, candidates_per_vector=2.0)
    fill(detector, tiles())
    assert detector.bank.shape == (64, 152)
    assert not math.isnan(float(detector.bank.sum()))
