"""The two maps of a detector: written beside the scores, weighed anew without scoring."""

import numpy as np
import pytest
import torch

from seamark.errors import ManifestError
from seamark.learning.detector import ComponentDetector
from seamark.learning.scoring import score_tiles
from seamark.maps.tile_maps import components_path, weighted_components
from seamark.settings.training import DetectorSettings

RANDOM = {"backbone": "efficientnet_lite0", "weights": "random"}


class Halves(ComponentDetector):
    """Brightness, and its square."""

    components = ("brightness", "square")

    def phases(self, tiles):
        return []

    def component_scores(self, batch):
        cells = torch.nn.functional.adaptive_avg_pool2d(batch.mean(dim=1), self.map_shape)
        return torch.stack([cells, cells.square()], dim=1)


@pytest.fixture
def scored(tmp_path):
    detector = Halves(DetectorSettings.model_validate(RANDOM), (64, 96), seed=0)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    path = tmp_path / "validation.npy"
    score_tiles(detector, tiles, path, components=components_path(path))
    return path


def test_both_maps_lie_beside_their_mean(scored):
    scores, parts = np.load(scored), np.load(components_path(scored))
    assert parts.shape == (3, 2, *scores.shape[1:])
    assert parts.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(parts[:, 0] ** 2, parts[:, 1], rtol=1e-6)
    assert np.array_equal(parts.mean(axis=1), scores)


def test_alpha_weighs_them(scored):
    scores, parts = np.load(scored), np.load(components_path(scored))
    assert np.array_equal(weighted_components(scored, scores, 1.0), parts[:, 0])
    assert np.array_equal(weighted_components(scored, scores, 0.0), parts[:, 1])
    assert np.array_equal(weighted_components(scored, scores, 0.5), scores)
    quarter = weighted_components(scored, scores, 0.25)
    np.testing.assert_allclose(quarter, 0.25 * parts[:, 0] + 0.75 * parts[:, 1], rtol=1e-6, atol=1e-6)
    assert quarter.dtype == np.float32


def test_maps_of_other_detectors_stay_as_they_are(tmp_path):
    scores = np.ones((1, 2, 2), np.float32)
    assert weighted_components(tmp_path / "validation.npy", scores, 0.3) is scores


def test_maps_of_other_scores_are_refused(scored):
    with pytest.raises(ManifestError, match="components of other scores"):
        weighted_components(scored, np.load(scored) + 1.0, 0.5)
    components_path(scored).write_bytes(b"nothing")
    with pytest.raises(ManifestError, match="cannot read the components"):
        weighted_components(scored, np.load(scored), 0.5)
