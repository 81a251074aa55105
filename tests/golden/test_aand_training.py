"""AAND's phases: what they change, what they never see, learning by heart, resume."""

from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.interruptible_training import interruptible_training

from seamark.backbones.registry import load_pyramid
from seamark.detectors.aand import detector as aand_module
from seamark.detectors.aand.detector import Aand, decayed_rate
from seamark.detectors.aand.losses import ChosenCells, amplification_loss, distillation_losses
from seamark.detectors.aand.residual_amplification import LevelAmplification
from seamark.errors import ConfigError, DataError, TrainingError
from seamark.learning.anomalous_pairs import Pair
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.networks.reverse_distillation import ReverseStudent
from seamark.networks.segmentation_network import focal_loss
from seamark.settings.aand import AandSettings


@pytest.fixture(scope="module", autouse=True)
def one_backbone():
    """It is frozen, so detectors may share it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aand_module, "load_pyramid", cache(load_pyramid))
        yield


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def toy(shape=(64, 64), **settings):
    block = {
        "backbone": "efficientnet_lite0",
        "weights": "random",
        "batch_size": 2,
        "amplification": {"max_steps": 3},
        "max_steps": 3,
    }
    return Aand(AandSettings(**block | settings), shape, seed=3)


def smooth_tiles(number=4, side=64):
    """Smooth coloured noise, something that a small network can learn."""
    coarse = torch.rand(number, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    fine = F.interpolate(256 * coarse, (side, side), mode="bicubic").clamp(0, 255)
    return fine.permute(0, 2, 3, 1).byte().numpy()


def tiles(detector, number=4):
    """Training tiles; whoever reads a validation tile fails."""
    reader = TileReader(smooth_tiles(number, detector.tile_shape[0]), detector.backbone.normalise, "cpu", detector.seed)
    return TrainingTiles(reader, None)


def copied(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module, before):
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def squares(batch):
    """Give each tile of a batch a black square."""
    for number, tile in enumerate(batch.tiles):
        clean, mask = batch.reader.pixels(tile), np.zeros((64, 64), bool)
        mask[8 : 40 + 4 * number, 16:48] = True
        yield Pair(clean, np.where(mask[..., None], 0, clean).astype(np.uint8), mask)


class TestPhases:
    """See docs/methods/aand.md#checks and docs/methods/aand.md#training."""

    def test_what_each_phase_changes(self):
        detector = toy()
        detector.train()
        amplification, distillation = detector.phases(tiles(detector))
        for phase, part in ((amplification, "amplification."), (distillation, "student.")):
            before = copied(detector)
            batch = phase.batch(detector.phases(tiles(detector))[0].make.reader, 0, [0, 1])
            if part == "amplification.":
                batch.pairs = list(squares(batch))
            phase.step(batch, nullcontext)
            assert changed(detector, before) >= {
                name for name, _ in detector.named_parameters() if name.startswith(part) and "query.4.bias" not in name
            }
            assert all(name.startswith(part) for name in changed(detector, before))
        norms = [module for module in detector.student.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert {int(norm.num_batches_tracked) for norm in norms} == {1}

    def test_each_loss_teaches_its_own_part(self):
        detector = toy()
        phase = detector.phases(tiles(detector))[0]
        batch = phase.batch(None, 0, [0, 1])
        batch.pairs = list(squares(batch))
        losses = phase.losses(batch)
        assert losses["loss"].item() == pytest.approx(losses["focal"].item() + 0.1 * losses["amplification"].item())
        for name, other in (("focal", "residual"), ("amplification", "gate")):
            phase.amplification.zero_grad(set_to_none=True)
            losses[name].backward(retain_graph=True)
            graded = {key for key, parameter in phase.amplification.named_parameters() if parameter.grad is not None}
            assert graded
            assert not [key for key in graded if f".{other}." in key]

    def test_normal_cells_lie_on_the_product(self):
        detector = toy(synthesis={"foreground": {"method": "otsu_dark"}})
        phase = detector.phases(tiles(detector))[0]
        batch = phase.batch(None, 0, [0, 1])
        batch.pairs = list(squares(batch))
        anomalous, foreground = phase.masks(batch)
        assert [level.shape for level in foreground] == [(2, 16, 16), (2, 8, 8), (2, 4, 4)]
        assert [int(level[0].sum()) for level in anomalous] == [64, 16, 6]
        found = phase.make.foregrounds(0).reshape(16, 4, 16, 4).mean(axis=(1, 3)) > 0.3
        assert np.array_equal(foreground[0][0], found)
        assert not foreground[0].all()

    def test_amplified_features_are_what_the_student_gets(self):
        detector = toy().eval()
        images = torch.randn(2, 3, 64, 64)
        teacher = detector.amplification(detector.backbone.pyramid(images))
        phase = detector.phases(tiles(detector))[1]
        for one, other in zip(teacher, phase.unpacked(phase.packed_teacher(images)), strict=True):
            assert torch.equal(one, other)

    def test_the_map_is_the_distance_of_both(self):
        detector = toy().eval()
        assert detector.score(torch.randn(1, 3, 64, 64)).shape == (1, 16, 16)
        with torch.no_grad():
            detector.student.forward = lambda teacher: teacher
            assert detector.score(torch.randn(1, 3, 64, 64)).abs().max() < 1e-5

    def test_plain_reverse_distillation(self):
        detector = toy(amplification=None, hard_cells=0)
        (phase,) = detector.phases(tiles(detector))
        assert phase.name == "distillation"
        assert not [name for name in detector.state() if not name.startswith("student.")]
        losses = phase.step(phase.batch(tiles(detector).train, 0, [0, 1]), nullcontext)
        assert set(losses) == {"loss", "whole"}
        images = torch.randn(1, 3, 64, 64)
        plain = zip(detector.teacher(images), detector.backbone.pyramid(images), strict=True)
        assert all(torch.equal(one, other) for one, other in plain)
        other = toy().student.state_dict()
        assert all(
            torch.equal(tensor, other[name]) for name, tensor in toy(amplification=None).student.state_dict().items()
        )

    def test_optimisers_and_rates(self):
        detector = toy(amplification={"epochs": 7, "max_steps": None}, epochs=12, max_steps=None)
        phases = detector.phases(tiles(detector))
        assert [phase.steps for phase in phases] == [14, 24]
        for phase in phases:
            (group,) = phase.optimiser.param_groups
            assert isinstance(phase.optimiser, torch.optim.Adam)
            assert (group["lr"], group["betas"], group["weight_decay"]) == (0.005, (0.5, 0.999), 0)
        rates = [decayed_rate(step, 100, AandSettings()) for step in (0, 79, 80, 89, 90, 99)]
        assert rates == pytest.approx([0.005, 0.005, 0.001, 0.001, 0.0002, 0.0002])
        assert decayed_rate(95, 120, AandSettings()) > decayed_rate(96, 120, AandSettings())

    @pytest.mark.parametrize("shape", [(240, 256), (256, 16), (256, 100)])
    def test_sides_that_do_not_fit(self, shape):
        with pytest.raises(ConfigError, match=r"aand: tile .* is not a positive multiple of 32 px"):
            toy(shape)

    def test_a_batch_without_spread_is_refused(self):
        detector = toy((32, 32))
        with pytest.raises(DataError, match="1 tile of 32 x 32 px per step is too little"):
            detector.phases(tiles(detector, number=1))

    def test_defaults_are_the_papers(self):
        settings = AandSettings()
        assert (settings.backbone, settings.batch_size, settings.learning_rate) == ("wide_resnet50_2", 16, 0.005)
        assert (settings.epochs, settings.amplification.epochs, settings.hard_cells) == (120, 100, 10)
        assert (settings.amplification.memories, settings.amplification.temperature) == (50, 0.2)
        assert (settings.amplification.margin, settings.amplification.weight) == (0.3, 0.1)
        assert (settings.synthesis.probability, settings.synthesis.foreground_tries) == (0.8, 11)

    def test_settings_that_make_no_sense(self):
        with pytest.raises(ValueError, match="expected shares of a phase"):
            AandSettings(decay_at=[80, 90])
        with pytest.raises(ValueError, match="leave it null"):
            AandSettings(layers=[1, 2, 3])


def test_amplification_learns_one_level_by_heart():
    """See docs/methods/aand.md#checks."""
    cells = torch.randn(4, 16, 16, 64).abs()
    anomalous = torch.zeros(4, 16, 16)
    anomalous[:, 4:8, 6:10] = 1.0
    cells[anomalous > 0] += torch.randn(64).abs()
    places = ChosenCells(anomalous.flatten().nonzero()[:, 0], (1 - anomalous).flatten().nonzero()[:, 0])
    module = LevelAmplification(64, (16, 16), 50, 0.2)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.005, betas=(0.5, 0.999))
    curve = []
    for _ in range(120):
        gate = module.gate(cells)
        losses = (
            focal_loss(gate, anomalous, 2.0, alpha=0.8),
            amplification_loss(cells.flatten(0, 2), module.residual, places, 0.3),
        )
        optimiser.zero_grad()
        (losses[0] + 0.1 * losses[1]).backward()
        optimiser.step()
        curve.append([loss.item() for loss in losses])
    assert curve[-1][0] < 0.1 * curve[0][0]
    assert 0.1 < curve[0][1] < 0.4
    assert curve[-1][1] < 0.05
    opened = torch.sigmoid(gate.detach())
    assert opened[anomalous > 0].mean() - opened[anomalous == 0].mean() > 0.5


def test_the_student_learns_one_batch_by_heart():
    """See docs/methods/aand.md#checks."""
    levels = [F.interpolate(torch.rand(4, wide, 2, 2), side) for wide, side in ((16, 16), (32, 8), (64, 4))]
    student = ReverseStudent((16, 32, 64))
    optimiser = torch.optim.Adam(student.parameters(), lr=0.005, betas=(0.5, 0.999))
    curve = []
    for _ in range(40):
        loss = torch.stack(list(distillation_losses(levels, student(levels), 10).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    assert curve[-1] < 0.5 * curve[0]


def test_cached_features_give_the_same_losses():
    """See docs/methods/aand.md#checks; features are kept or computed anew."""
    traces = []
    for megabytes in (0, 1):
        torch.manual_seed(0)
        detector = toy(feature_cache_mb=megabytes, student_width=0.5)
        given = tiles(detector, number=8)
        phase = detector.phases(given)[1]
        order = [[*range(8)], [0, 1], [6, 2]]
        traces.append([phase.step(phase.batch(given.train, *step), nullcontext) for step in enumerate(order)])
        assert len(phase.features.kept) == 8 * megabytes
    for one, other in zip(*traces, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def full_training(path, stop_after=None, **settings):
    """Three steps of amplification, then three of distillation."""
    detector = toy(checkpoint_every_s=0.0, feature_cache_mb=10, **settings)
    return detector, interruptible_training(detector, path, smooth_tiles(), smooth_tiles(1), stop_after)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    detector, loop = full_training(tmp_path_factory.mktemp("aand") / "unbroken")
    return detector, loop.run()


def test_both_phases_are_recorded(unbroken):
    _, records = unbroken
    assert [(record.name, record.steps) for record in records] == [("amplification", 3), ("distillation", 3)]
    assert set(records[0].losses) == {"loss", "focal", "amplification"}
    assert set(records[1].losses) == {"loss", "whole", "hard"}


@pytest.mark.parametrize(("part", "phase"), [("amplification", "amplification"), ("student", "distillation")])
def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, part, phase):
    detector, loop = full_training(tmp_path / "poisoned")
    with torch.no_grad():
        next(getattr(detector, part).parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=f"phase {phase}, step 1: loss loss is nan"):
        loop.run()
