"""AAND's synthesis and map against docs/methods/aand.md#checks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from seamark.detectors.aand.losses import level_masks
from seamark.detectors.feature_distances import DistanceMap
from seamark.settings.aand import AandSettings
from seamark.settings.synthesis import SynthesisSettings
from seamark.synthesis import anomalies
from seamark.synthesis.anomalies import synthesise
from seamark.synthesis.pyramids import pooled_masks


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class TestSynthesis:
    """See docs/methods/aand.md#checks; blending and statistics of masks are tested with the synthesis."""

    def white(self, shape, _):
        return np.full((*shape, 3), 255, np.uint8)

    def test_a_fifth_stays_clean(self, monkeypatch):
        monkeypatch.setattr(anomalies, "perlin_mask", lambda shape, *_: np.ones(shape, np.bool_))
        tile, settings = np.zeros((8, 8, 3), np.uint8), AandSettings().synthesis
        clean = [
            not synthesise(tile, None, self.white, settings, np.random.default_rng(number)).mask.any()
            for number in range(2000)
        ]
        assert np.mean(clean) == pytest.approx(0.2, abs=3 * (0.2 * 0.8 / 2000) ** 0.5)

    def test_only_a_given_number_of_masks_is_drawn_for_a_foreground_that_takes_none(self, monkeypatch):
        drawn = []

        def mask(shape, _, lattice):
            drawn.append(lattice)
            return np.ones(shape, np.bool_)

        monkeypatch.setattr(anomalies, "perlin_mask", mask)
        tile, nowhere = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.bool_)
        settings = AandSettings(synthesis={"probability": 1.0}).synthesis
        twin = synthesise(tile, nowhere, self.white, settings, np.random.default_rng(0))
        assert (len(drawn), len(set(drawn))) == (11, 1)
        assert twin.pixels is tile
        drawn.clear()
        synthesise(tile, nowhere, self.white, SynthesisSettings(), np.random.default_rng(0))
        assert len(drawn) == 1

    def test_masks_are_drawn_until_one_meets_the_foreground(self):
        tile, ground = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.bool_)
        ground[20:32, 20:32] = True
        met = []
        for settings in (SynthesisSettings(), AandSettings(synthesis={"probability": 1.0}).synthesis):
            twins = [
                synthesise(tile, ground, self.white, settings, np.random.default_rng(number)) for number in range(60)
            ]
            assert not any((twin.mask & ~ground).any() for twin in twins)
            met.append(sum(np.count_nonzero(twin.mask) > 4 for twin in twins))
        assert met[1] > 1.3 * met[0]

    def test_pooled_masks(self):
        mask = np.zeros((32, 64), np.bool_)
        mask[:4, :4].flat[:5] = True
        mask[4:8, :4].flat[:4] = True
        mask[16:, 32:48] = True
        shapes = [(8, 16), (4, 8), (2, 4)]
        for level, shape in zip(pooled_masks(mask, shapes), shapes, strict=True):
            expected = F.adaptive_avg_pool2d(torch.from_numpy(mask)[None].float(), shape)[0] > 0.3
            assert level.dtype == np.bool_
            assert np.array_equal(level, expected.numpy())
        assert pooled_masks(mask, shapes)[0][:2, 0].tolist() == [True, False]
        assert [level.shape for level in level_masks([mask, mask, mask], shapes)] == [(3, *shape) for shape in shapes]


class TestMap:
    """See docs/methods/aand.md#checks and docs/methods/aand.md#score-map."""

    def full_size(self, distances, shape):
        full = sum(
            F.interpolate(level[None].double(), shape, mode="bilinear", align_corners=True)[0, 0] for level in distances
        )
        return gaussian_filter(full.numpy(), 4.0).reshape(shape[0] // 4, 4, shape[1] // 4, 4).mean(axis=(1, 3))

    def test_it_is_interpolation_sum_and_smoothing(self):
        """Smoothed once, after the sum (docs/methods/aand.md#score-map)."""
        distances = [torch.rand(1, 64 // stride, 96 // stride) for stride in (4, 8, 16)]
        found = DistanceMap((64, 96), 4.0, align_corners=True)(distances)[0].numpy()
        assert np.abs(found - self.full_size(distances, (64, 96))).max() < 1e-6

    def test_constants_add_up(self):
        distances = [
            torch.full((1, 64 // stride, 64 // stride), value) for stride, value in ((4, 0.1), (8, 0.2), (16, 0.4))
        ]
        torch.testing.assert_close(
            DistanceMap((64, 64), 4.0, align_corners=True)(distances), torch.full((1, 16, 16), 0.7)
        )

    def test_a_single_cell_lies_where_corners_are_aligned(self):
        distances = [torch.zeros(1, 256 // stride, 256 // stride) for stride in (4, 8, 16)]
        distances[2][0, 6, 9] = 1.0
        found = DistanceMap((256, 256), 4.0, align_corners=True)(distances)[0]
        row, column = np.unravel_index(int(found.argmax()), found.shape)
        assert abs(4 * row + 1.5 - 6 * 255 / 15) <= 2.0
        assert abs(4 * column + 1.5 - 9 * 255 / 15) <= 2.0
