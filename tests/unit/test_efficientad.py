"""EfficientAD: steps, maps, geometry and what the speed-ups leave unchanged, on tiny networks."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from seamark.detectors.efficientad.batches import ViewBatch, ViewMaker, mean_tile
from seamark.detectors.efficientad.detector import EfficientAd
from seamark.detectors.efficientad.discrepancy import IGNORED, NORMAL, direction_distances, touched_cells
from seamark.detectors.efficientad.training import LearningPhase, StatisticsPhase, learning_rate, map_quantiles
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.learning.feature_statistics import feature_statistics
from seamark.maps.merging import merge_tiles
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.merge import MergeSettings
from seamark.settings.synthesis import NoisePatchSettings
from seamark.synthesis.anomalies import AnomalousTile

SIDE = 64
TINY = {"teacher": "random", "width": 1 / 16, "channels": 12, "steps": 2, "checkpoint_every_s": 0.0}


def settings(**changes):
    return EfficientAdSettings.model_validate(TINY | changes)


def detector(side=SIDE, **changes):
    return EfficientAd(settings(**changes), (side, side), seed=3)


def stripes(number, side=SIDE, seed=0):
    random = np.random.default_rng(seed)
    rows = np.arange(side)[:, None, None] * random.uniform(0.2, 0.3, (number, 1, 1, 1))
    pixels = 128 + 60 * np.sin(rows) + random.normal(0, 4, (number, side, side, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def tiles_of(model, number=4, side=SIDE):
    readers = (TileReader(stripes(n, side, n), model.backbone.normalise, "cpu", 5) for n in (number, 2))
    return TrainingTiles(*readers)


def phase_of(model, tiles=None):
    tiles = tiles or tiles_of(model)
    StatisticsPhase(model).run(tiles, lambda items, _: items)
    return LearningPhase(model, tiles)


def always(**patches):
    return {"patches": NoisePatchSettings(probability=1.0, skip_background=False, **patches).model_dump()}


def images(model, side=SIDE, number=2):
    reader = TileReader(stripes(number, side, 9), model.backbone.normalise, "cpu", 0)
    return reader.images([reader.pixels(tile) for tile in range(number)])


class TestStatistics:
    def test_features_of_the_training_tiles_are_normalised(self):
        model = detector()
        tiles = tiles_of(model)
        phase_of(model, tiles)
        features = model.teacher_features(tiles.train.images([tiles.train.pixels(tile) for tile in range(4)]))
        cells = features.transpose(0, 1).flatten(1)
        assert cells.mean(dim=1).abs().max() < 1e-4
        assert (cells.std(dim=1, unbiased=False) - 1).abs().max() < 1e-3

    def test_one_pass_equals_two_and_bears_a_dead_feature(self):
        torch.manual_seed(0)
        maps = [5.0 + torch.randn(2, 3, 4, 4) for _ in range(3)]
        for part in maps:
            part[:, 2] = 7.0
        mean, std = feature_statistics(maps)
        cells = torch.cat(maps).double().transpose(0, 1).flatten(1)
        torch.testing.assert_close(mean, cells.mean(dim=1).float(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(std[:2], cells.std(dim=1, unbiased=False)[:2].float(), rtol=1e-5, atol=0)
        assert std[2] == pytest.approx(1e-6 * std[:2].max().item(), rel=1e-3)


class TestLosses:
    def literal(self, phase, batch):
        """All losses by whole passes of whole networks, one per image and use."""
        model, share = phase.detector, phase.settings
        channels = share.channels
        clean, jittered = batch.images(), batch.jittered()
        teacher, student = model.teacher_features(clean), model.student
        hard = torch.stack(
            [
                (t - s).square().flatten().topk(self.kept(t, share.hard_share)).values.mean()
                for t, s in zip(teacher, student(clean)[:, :channels], strict=True)
            ]
        ).mean()
        patched = batch.reader.images(
            [
                batch.reader.pixels(tile) if views.patched is None else views.patched
                for tile, views in zip(batch.tiles, batch.views, strict=True)
            ]
        )
        distances = direction_distances(model.teacher_features(patched), student(patched)[:, :channels])
        rebuilt = model.autoencoder(jittered, model.grid)
        return {
            "hard": hard,
            "distances": distances,
            "autoencoder": functional.mse_loss(rebuilt, model.teacher_features(jittered)),
            "student_autoencoder": functional.mse_loss(student(jittered)[:, channels:], rebuilt),
        }

    @staticmethod
    def kept(features, share):
        number = features.numel()
        return number - int(np.ceil(share * (number - 1)))

    @pytest.mark.parametrize("network", ["small", "medium"])
    @pytest.mark.parametrize("places", [1, 4])
    def test_equal_whole_passes(self, network, places):
        model = detector(96, network=network, batch_size=2, **always(count=[places, places])).eval()
        phase = phase_of(model, tiles_of(model, side=96))
        batch = phase.batch(phase.make.reader, 0, [0, 1])
        assert all(views.touched and views.touched.windows for views in batch.views)
        with torch.no_grad():
            found, expected = phase.losses(batch), self.literal(phase, batch)
            labels = batch.labels(model.grid)
            distances = expected.pop("distances")
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
        normal, abnormal = distances[labels == NORMAL], distances[labels == 1]
        torch.testing.assert_close(found["normal_distance"], normal.mean(), rtol=1e-5, atol=1e-6)
        if abnormal.numel():
            torch.testing.assert_close(found["abnormal_distance"], abnormal.mean(), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("corner", [(0, 0), (0, 86), (86, 0), (80, 80), (40, 40)])
    def test_windows_hold_all_that_changes(self, corner):
        model = detector(96)
        phase = phase_of(model, tiles_of(model, side=96))
        reader = phase.make.reader
        pixels, mask = reader.pixels(0), np.zeros((96, 96), np.bool_)
        rows, columns = (slice(start, start + 10) for start in corner)
        mask[rows, columns] = True
        mask[30:36, 30:40] = True
        twin = AnomalousTile(np.where(mask[:, :, None], 255 - pixels, pixels), mask)
        batch = ViewBatch(phase.make, "training", 0, [0])
        views = batch.views[0]
        batch.views = [type(views)(views.jittered, twin.pixels, touched_cells(mask, "ignored"), None)]
        with torch.no_grad():
            clean, changed = (reader.images([part]) for part in (pixels, twin.pixels))
            channels = phase.channels
            teacher, own = phase._patched(batch, 0, model.teacher_features(clean), model.student(clean)[:, :channels])
            torch.testing.assert_close(teacher, model.teacher_features(changed), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(own, model.student(changed)[:, :channels], rtol=1e-5, atol=1e-5)

    def gradients(self, name, **changes):
        model = detector(**changes)
        phase = phase_of(model)
        batch = phase.batch(phase.make.reader, 0, [0])
        phase.losses(batch)[name].backward()
        head = model.student.head.weight.grad
        channels = phase.channels
        halves = [head is not None and bool(head[part].any()) for part in (slice(channels), slice(channels, None))]
        autoencoder = [part.grad is not None and bool(part.grad.any()) for part in model.autoencoder.parameters()]
        assert all(parameter.grad is None for parameter in model.backbone.parameters())
        return halves, any(autoencoder)

    def test_gradients_go_where_they_belong(self):
        assert self.gradients("hard") == ([True, False], False)
        assert self.gradients("penalty", **always(side_divisors=[4, 2])) == ([True, False], False)
        assert self.gradients("penalty", penalty="images") == ([True, False], False)
        assert self.gradients("autoencoder") == ([False, False], True)
        assert self.gradients("student_autoencoder") == ([False, True], True)

    def test_cached_features_of_the_teacher_change_nothing(self):
        traces = []
        for cache_mb in (0, 10):
            model = detector(steps=3, feature_cache_mb=cache_mb)
            phase = phase_of(model)
            torch.manual_seed(0)
            steps = [
                phase.step(phase.batch(phase.make.reader, step, [step % 2]), torch.enable_grad) for step in range(3)
            ]
            traces.append(torch.stack([losses["total"] for losses in steps]))
        torch.testing.assert_close(*traces, rtol=0, atol=1e-6)

    def test_penalty_variants(self):
        model = detector(penalty="none")
        phase = phase_of(model)
        assert "penalty" not in phase.losses(phase.batch(phase.make.reader, 0, [0]))
        model = detector(penalty="images")
        phase = phase_of(model)
        batch = phase.batch(phase.make.reader, 0, [0])
        with torch.no_grad():
            expected = model.student(batch.penalty())[:, : phase.channels].square().mean()
            torch.testing.assert_close(phase.losses(batch)["penalty"], expected)

    def test_weights_add_up(self):
        weights = {"hard_weight": 2.0, "penalty_weight": 3.0, "autoencoder_weight": 0.5}
        phase = phase_of(detector(**weights, **always()).eval())
        with torch.no_grad():
            losses = phase.losses(phase.batch(phase.make.reader, 0, [1]))
        parts = 2 * losses["hard"] + 3 * losses["penalty"] + 0.5 * losses["autoencoder"] + losses["student_autoencoder"]
        torch.testing.assert_close(losses["total"], parts)

    def test_a_map_that_nothing_trains_is_refused(self):
        with pytest.raises(ValueError, match="autoencoder_map: teacher"):
            settings(student_autoencoder_weight=0.0)

    def test_learning_rate(self):
        rates = [learning_rate(step, 70_000, 1e-4) for step in (0, 66_499, 66_500, 69_999)]
        assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])


class TestViews:
    def test_are_those_of_their_step(self):
        model = detector(**always())
        tiles = tiles_of(model)
        make = ViewMaker(tiles.train, model.settings)
        first, second = (ViewBatch(make, "training", step, [2]) for step in (0, 1))
        again = ViewBatch(make, "training", 0, [2]).prepare()
        assert np.array_equal(first.views[0].patched, again.views[0].patched)
        assert np.array_equal(first.views[0].jittered, again.views[0].jittered)
        assert not np.array_equal(first.views[0].patched, second.views[0].patched)
        assert torch.equal(first.images(), again.images())

    def test_a_background_that_covers_everything_leaves_tiles_clean(self):
        pixels = np.full((3, SIDE, SIDE, 3), 255, np.uint8)
        pixels[:, :40] = 128
        model = detector(patches={"probability": 1.0})
        make = ViewMaker(TileReader(pixels, model.backbone.normalise, "cpu", 0), model.settings)
        assert make.skips_background
        white = np.full((SIDE, SIDE, 3), 255, np.uint8)
        assert make.patched(white, np.random.default_rng(0)) == (None, None)

    def test_mean_tile_is_rounded(self):
        pixels = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 1, 1)])
        assert (mean_tile(TileReader(pixels, lambda tiles: tiles, "cpu", 0)) == 1).all()


class TestMaps:
    @pytest.mark.parametrize("autoencoder_map", ["student", "teacher"])
    @pytest.mark.parametrize("network", ["small", "medium"])
    def test_equal_those_of_the_single_networks(self, network, autoencoder_map):
        model = detector(72, network=network, width=0.25, autoencoder_map=autoencoder_map)
        phase_of(model, tiles_of(model, side=72))
        model.eval()
        batch = images(model, 72)
        with torch.no_grad():
            teacher, student = model.teacher_features(batch), model.student(batch)
            rebuilt = model.autoencoder(batch, model.grid)
            other = teacher if autoencoder_map == "teacher" else student[:, 12:]
            expected = torch.stack(
                [(teacher - student[:, :12]).square().mean(dim=1), (rebuilt - other).square().mean(dim=1)], dim=1
            )
        for found, plain in zip(model.raw_maps(batch).unbind(1), expected.unbind(1), strict=True):
            assert (found - plain).abs().max() < 1e-5 * plain.max()

    def test_quantiles_become_0_and_a_tenth(self):
        scores = np.random.default_rng(0).gamma(2.0, size=(7, 50, 50)).astype(np.float32)
        lower, span = map_quantiles(scores, (0.9, 0.995))
        normalised = 0.1 * (scores - lower) / span
        assert np.quantile(normalised, [0.9, 0.995]) == pytest.approx([0.0, 0.1], abs=1e-6)
        assert map_quantiles(np.ones((1, 4, 4), np.float32), (0.9, 0.995)) == (1.0, 1e-12)

    def test_more_than_two_to_the_24_cells_are_taken(self):
        scores = np.zeros(2**24 + 10, np.float32)
        scores[-5:] = 1.0
        assert map_quantiles(scores, (0.5, 1.0)) == (0.0, 1.0)

    def test_score_is_the_mean_of_both_maps_with_a_border_of_zeros(self):
        model = detector().eval()
        model.map_quantiles.copy_(torch.tensor([[0.2, 0.5], [0.1, 2.0]]))
        batch = images(model)
        parts, raw = model.component_scores(batch), model.raw_maps(batch)
        assert parts.shape == (2, 2, 16, 16)
        torch.testing.assert_close(parts[:, 0, 4:-4, 4:-4], 0.1 * (raw[:, 0] - 0.2) / 0.5)
        torch.testing.assert_close(parts[:, 1, 4:-4, 4:-4], 0.1 * (raw[:, 1] - 0.1) / 2.0)
        assert torch.equal(model.score(batch), 0.5 * (parts[:, 0] + parts[:, 1]))
        for border in (parts[..., :4, :], parts[..., -4:, :], parts[..., :4], parts[..., -4:]):
            assert not border.any()

    def test_weights_loaded_later_are_scored_with(self):
        first, other = detector().eval(), EfficientAd(settings(), (SIDE, SIDE), seed=3).eval()
        batch = images(first)
        before = other.score(batch)
        state = {name: tensor.clone() for name, tensor in first.state().items()}
        state["student.convolutions.0.bias"] += 1.0
        other.load(state)
        assert not torch.equal(other.score(batch), before)


@pytest.mark.parametrize("border", ["zeros", "nearest"])
@pytest.mark.parametrize("cell", [(0, 0), (7, 7), (3, 5)])
def test_a_map_peaks_where_the_defect_is(border, cell):
    """A change of pixel (4 i + 16, 4 j + 16) makes cell (i, j) its middle; the merged map must peak on that pixel."""
    model = detector(border=border)
    scores = np.zeros((1, *model.map_shape), np.float32)
    scores[0, cell[0] + model.margin, cell[1] + model.margin] = 1.0
    merged = merge_tiles(
        scores,
        [(0, 0, SIDE, SIDE)],
        model.cells,
        (SIDE, SIDE),
        image_shape=(SIDE, SIDE),
        settings=MergeSettings(blend="mean", smooth_sigma_px=0.0),
    )
    inner = merged[8:-8, 8:-8] if border == "nearest" else merged
    peak = np.argwhere(merged >= inner.max() - 1e-6)
    pixel = [4 * index + 16 for index in cell]
    assert pixel in peak.tolist()
    if border == "zeros":
        assert peak.tolist() == [pixel]
        mass = merged.sum()
        centre = [float((merged.sum(axis=1 - axis) * np.arange(SIDE)).sum() / mass) for axis in (0, 1)]
        assert centre == pytest.approx(pixel, abs=1e-4)


def test_the_reference_shift_can_be_had():
    exact, shifted = (detector(exact_centres=choice).cells.offset_px[0] for choice in (True, False))
    assert (exact, shifted) == (0.5, 2.0)


def test_a_real_defect_is_found_where_it_is():
    """Through the networks: a changed pixel moves the teacher's features around the cell whose middle it is."""
    model = detector(96).eval()
    plain = stripes(1, 96)
    changed = plain.copy()
    changed[0, 48, 56] = 255 - changed[0, 48, 56]
    normalise = model.backbone.normalise
    moved = (
        (
            model.teacher_features(normalise(torch.from_numpy(changed)))
            - model.teacher_features(normalise(torch.from_numpy(plain)))
        )
        .abs()
        .sum(dim=1)[0]
    )
    rows, columns = (moved > 0).nonzero().unbind(1)
    assert ((rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2) == (8, 10)


def test_labels_of_the_ring_follow_the_settings():
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[20:30, 20:30] = True
    assert (touched_cells(mask, "ignored").labels == IGNORED).any()
    assert not (touched_cells(mask, "normal").labels == IGNORED).any()
