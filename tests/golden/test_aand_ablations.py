"""The rows of AAND's ablations that are no plain omission (docs/methods/aand.md#ablations)."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seamark.detectors.aand.detector import Aand
from seamark.detectors.aand.losses import ChosenCells, contrastive_loss
from seamark.detectors.aand.residual_amplification import AttributeScaling, LevelAmplification
from seamark.learning.anomalous_pairs import Pair
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.settings.aand import AandSettings


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def toy(**settings):
    block = {"backbone": "efficientnet_lite0", "weights": "random", "batch_size": 2, "max_steps": 3}
    amplification = {"max_steps": 3} | settings.pop("amplification", {})
    return Aand(AandSettings(**block | {"amplification": amplification} | settings), (64, 64), seed=3)


def tiles(detector):
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    return TrainingTiles(TileReader(noise, detector.backbone.normalise, "cpu", 3), None)


def changed_by(detector, phase, covered=slice(8, 48)):
    """Names of what a step changes, its losses, on a batch with a black square on each tile."""
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    batch = phase.batch(phase.make.reader, 0, [0, 1])
    mask = np.zeros((64, 64), bool)
    mask[covered, covered] = True
    clean = [phase.make.reader.pixels(tile) for tile in (0, 1)]
    batch.pairs = [Pair(tile, np.where(mask[..., None], 0, tile).astype(np.uint8), mask) for tile in clean]
    losses = phase.step(batch, nullcontext)
    return {name for name, tensor in detector.state_dict().items() if not torch.equal(tensor, before[name])}, losses


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"), [("tanh", -1.0, 1.0), ("sigmoid", 0.0, 1.0), ("free", None, None)]
)
def test_residuals(kind, lowest, highest):
    residual, cells = AttributeScaling(16, kind), torch.rand(200, 16) + 0.1
    given, scale = residual(cells), residual.scale(cells)
    if kind == "free":
        assert torch.equal(given, scale)
        return
    factors = given / cells
    assert lowest < factors.min() < lowest + 0.5
    assert highest - 0.5 < factors.max() < highest
    torch.testing.assert_close(factors, getattr(torch, kind)(scale))


def test_without_a_gate_the_residual_is_added_in_full():
    module, level = LevelAmplification(16, (4, 4), 5, 0.2, gate=False), torch.rand(2, 16, 4, 4)
    cells = level.permute(0, 2, 3, 1)
    assert torch.equal(module(level), (cells + module.residual(cells)).permute(0, 3, 1, 2))
    assert not [name for name, _ in module.named_parameters() if not name.startswith("residual.")]
    detector = toy(amplification={"gate": False})
    phase = detector.phases(tiles(detector))[0]
    names, losses = changed_by(detector, phase)
    assert set(losses) == {"loss", "amplification"}
    assert names
    assert changed_by(detector, phase, slice(0, 0)) == (
        set(),
        {"loss": torch.zeros(()), "amplification": torch.zeros(())},
    )


def test_the_gate_alone_gives_the_score():
    detector = toy(score="gate").eval()
    (phase,) = detector.phases(tiles(detector))
    assert phase.name == "amplification"
    assert {name.partition(".")[0] for name in detector.state()} == {"amplification"}
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        levels = zip(detector.amplification.levels, detector.backbone.pyramid(images), strict=True)
        gates = [torch.sigmoid(own.gate(level.permute(0, 2, 3, 1))) for own, level in levels]
        assert torch.equal(detector.score(images), detector.map_of(gates))
    assert 0.0 < detector.score(images).min() <= detector.score(images).max() < 3.0


def test_the_teacher_itself_learns_and_its_norms_stay():
    detector = toy(amplification={"how": "contrastive"})
    assert {name.partition(".")[0] for name in detector.state()} == {"learned", "student"}
    images = torch.randn(1, 3, 64, 64)
    for one, other in zip(detector.teacher(images), detector.backbone.pyramid(images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    frozen = [level.clone() for level in detector.backbone.pyramid(images)]
    phase, distillation = detector.phases(tiles(detector))
    names, losses = changed_by(detector, phase)
    assert distillation.name == "distillation"
    assert set(losses) == {"loss"}
    assert names >= {f"learned.{name}" for name, tensor in detector.learned.named_parameters() if tensor.ndim > 1}
    assert not [name for name in names if not name.startswith("learned.") or "running" in name]
    assert all(torch.equal(*pair) for pair in zip(frozen, detector.backbone.pyramid(images), strict=True))
    assert not torch.equal(detector.teacher(images)[2], frozen[2])


class TestContrastiveLoss:
    """See docs/methods/aand.md#ablations."""

    cells = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), dim=1)
    none = torch.arange(0)

    def test_closed_forms(self):
        alike, spread = torch.tensor([0, 1]), torch.tensor([0, 2])
        assert contrastive_loss(self.cells, self.cells, ChosenCells(self.none, alike), 0.3).item() == 0.0
        assert contrastive_loss(self.cells, self.cells, ChosenCells(self.none, spread), 0.3).item() == pytest.approx(
            0.5
        )
        for before, expected in ((0, 0.0), (3, 2.3)):  # it turned away, it stayed opposite and is now alike
            start, now = self.cells[[before, 0, 0]], self.cells[[3 - before, 0, 0]]
            loss = contrastive_loss(now, start, ChosenCells(torch.tensor([0]), torch.tensor([1, 2])), 0.3)
            assert loss.item() == pytest.approx(expected, abs=1e-6)
        assert contrastive_loss(self.cells, self.cells, ChosenCells(alike, self.none), 0.3).item() == 0.0

    def test_equals_the_mean_over_pairs(self):
        cells, before = torch.randn(40, 8), torch.randn(40, 8)
        chosen = ChosenCells(torch.arange(12), torch.arange(12, 40))
        unit, was = F.normalize(cells, dim=1), F.normalize(before, dim=1)
        pull = (1.0 - unit[12:] @ unit[12:].T).mean()
        push = F.relu(unit[:12] @ unit[12:].T - was[:12] @ was[12:].T + 0.3).mean()
        torch.testing.assert_close(contrastive_loss(cells, before, chosen, 0.3), pull + push)


@pytest.mark.parametrize("amplification", [None, {"gate": False}, {"how": "contrastive"}])
def test_a_gate_that_is_not_there_cannot_score(amplification):
    with pytest.raises(ValueError, match="score gate needs a gate"):
        AandSettings(score="gate", amplification=amplification)
