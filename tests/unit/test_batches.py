"""Batches of tiles: shuffles, augmentation by the step, frozen variants, cached features, work ahead."""

import numpy as np
import pytest
import torch

from seamark.errors import DataError
from seamark.learning.batches import Batch, FeatureCache, TileReader, ahead, batch_tiles, batches_ahead, counted_random
from seamark.settings.augmentation import AugmentationSettings

SIZE = 32


def tiles(number=5, channels=1):
    return np.random.default_rng(0).integers(1, 256, (number, SIZE, SIZE, channels), dtype=np.uint8)


def normalise(pixels):
    return pixels.permute(0, 3, 1, 2).float() / 255


def reader(number=5, channels=1):
    return TileReader(tiles(number, channels), normalise, "cpu", seed=4)


def batch(step=0, augmentation=None, number=5):
    return Batch(reader(number), "phase", step, range(number), augmentation)


def test_epochs_are_shuffles_without_the_incomplete_batch():
    for epoch in range(3):
        seen = [tile for step in (2 * epoch, 2 * epoch + 1) for tile in batch_tiles(1, "p", step, 5, 2)]
        assert len(set(seen)) == 4
    assert batch_tiles(1, "p", 0, 500, 100) != batch_tiles(1, "p", 5, 500, 100)
    assert batch_tiles(1, "p", 0, 500, 100) != batch_tiles(1, "q", 0, 500, 100)
    assert sorted(batch_tiles(1, "p", 9, 3, 16)) == [0, 1, 2]


def test_augmentation_depends_on_the_step_alone():
    plan = AugmentationSettings(probability=1.0)
    first, again, later = batch(3, plan), batch(3, plan), batch(4, plan)
    assert np.array_equal(first.pixels(1), again.pixels(1))
    assert not np.array_equal(first.pixels(1), later.pixels(1))
    assert first.key(1) is None


def test_plain_tiles_have_a_key_and_augmented_ones_have_none():
    mixed = batch(0, AugmentationSettings(), number=40)
    for place in range(40):
        same = np.array_equal(mixed.pixels(place), mixed.reader.pixels(place))
        assert (mixed.key(place) == (place, 0)) == same
    assert {mixed.key(place) is None for place in range(40)} == {True, False}


def test_frozen_versions_come_again():
    plan = AugmentationSettings(probability=1.0, frozen_variants=2)
    seen = {}
    for step in range(12):
        drawn = batch(step, plan)
        for place in range(5):
            seen.setdefault(drawn.key(place), set()).add(drawn.pixels(place).tobytes())
    assert all(len(versions) == 1 for versions in seen.values())
    assert {version for _, version in seen} == {0, 1, 2}
    assert seen[0, 0] == {reader().pixels(0).tobytes()}


def test_grey_tiles_get_three_channels():
    assert reader().pixels(0).shape == (SIZE, SIZE, 3)
    assert reader(channels=3).pixels(0).shape == (SIZE, SIZE, 3)


def test_bad_tiles_are_refused():
    with pytest.raises(DataError, match="expected uint8"):
        TileReader(np.zeros((0, 4, 4, 1), np.uint8), normalise, "cpu", 0)
    with pytest.raises(DataError, match="expected uint8"):
        TileReader(np.zeros((1, 4, 4, 1), np.float32), normalise, "cpu", 0)


def test_batches_ahead_are_the_same_for_any_number_of_workers():
    plan = AugmentationSettings()
    pixels = [
        [made.pixels(0).tobytes() for made in batches_ahead(lambda step: batch(step, plan), range(3, 15), workers)]
        for workers in (0, 1, 3)
    ]
    assert pixels[0] == pixels[1] == pixels[2]
    assert len(pixels[0]) == 12


def test_cached_features_are_the_same_and_are_not_computed_twice():
    plan = AugmentationSettings(probability=0.5)
    calls = []

    def compute(images):
        calls.append(len(images))
        return images.mean(dim=(2, 3))

    size = 3 * 4
    cached, uncached = FeatureCache(compute, 1), FeatureCache(compute, 0)
    tight = FeatureCache(compute, 0)
    tight.room = 2 * size
    for step in range(6):
        expected = uncached(batch(step, plan))
        assert torch.equal(cached(batch(step, plan)), expected)
        assert torch.equal(tight(batch(step, plan)), expected)
    assert len(tight.kept) == 2
    assert len(cached.kept) == 5
    assert set(calls) == {1}
    before = len(calls)
    cached(batch(0))
    assert len(calls) == before


def test_counted_random_ignores_what_was_drawn_before():
    assert counted_random(1, "a", 2).random() == counted_random(1, "a", 2).random()
    assert counted_random(1, "a", 2).random() != counted_random(1, "a", 3).random()
    assert counted_random(1, "a", 2).random() != counted_random(2, "a", 2).random()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_is_made_ahead_comes_in_order(workers):
    made = ahead(lambda item: item**2, range(20), workers)
    assert list(made) == [item**2 for item in range(20)]
