"""The constant detector: the declared formula, and nothing else of the tile."""

import numpy as np
import pytest
import torch

from seamark.detectors.constant import Constant
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.settings.constant import ConstantSettings

SIZE = 96


def make(**block):
    return Constant(ConstantSettings(**block), (SIZE, SIZE), seed=1)


def reader(detector, values):
    tiles = np.stack([np.full((SIZE, SIZE, 1), value, np.uint8) for value in values])
    return TileReader(tiles, detector.backbone.normalise, "cpu", 1)


def scores(detector, values):
    tiles = reader(detector, values)
    return detector.score(tiles.images([tiles.pixels(tile) for tile in range(len(tiles))]))


def trained(values, **block):
    detector = make(**block)
    tiles = reader(detector, values)
    for phase in detector.phases(TrainingTiles(tiles, tiles)):
        phase.run(TrainingTiles(tiles, tiles), lambda items, _: items)
    return detector


def test_by_default_every_cell_of_every_tile_scores_the_same():
    found = scores(make(score=2.5), [0, 100, 255])
    assert found.shape == (3, 12, 12)
    assert torch.equal(found, torch.full_like(found, 2.5))


def test_the_bump_lies_in_the_middle():
    (found,) = scores(make(bump=3.0), [7])
    assert found.max() == pytest.approx(1 + 3 * np.exp(-0.25), rel=1e-6)
    torch.testing.assert_close(found, found.flip(0))
    torch.testing.assert_close(found, found.T)
    assert found[0, 0] == pytest.approx(1.0, abs=1e-9)


def test_brightness_counts_from_that_of_the_training_tiles():
    detector = trained([51, 153], brightness=10.0)
    found = scores(detector, [102, 153])
    torch.testing.assert_close(found[0], torch.ones(12, 12), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1], torch.full((12, 12), 3.0), rtol=0, atol=1e-5)


def test_no_feature_is_computed(monkeypatch):
    detector = make()
    monkeypatch.setattr(type(detector.backbone), "pyramid", lambda *_: pytest.fail("features were computed"))
    scores(detector, [1])
