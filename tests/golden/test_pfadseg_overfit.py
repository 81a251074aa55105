"""PFADSeg and DeSTSeg learn a batch by heart."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seamark.detectors.pfadseg import detector as pfadseg_module
from seamark.detectors.pfadseg.detector import Pfadseg
from seamark.detectors.pfadseg.networks import DenoisingStudent, GuidedSegmentation
from seamark.learning.anomalous_pairs import Pair
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.networks.segmentation_network import absolute_loss, focal_loss
from seamark.settings.pfadseg import AttentionSettings, PfadsegSettings

PA = AttentionSettings()
DESTSEG = AttentionSettings(pcar=False, aff=False, rcm=False)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


class TinyTeacher(torch.nn.Module):
    """ResNet18 at an eighth of its widths; stands for the frozen backbone."""

    channels = (8, 16, 32)
    digest = "random"

    def __init__(self):
        super().__init__()
        encoder = DenoisingStudent(self.channels, DESTSEG)
        self.stem, self.stages = encoder.stem, encoder.encoder[:3]

    def forward(self, batch):
        batch, levels = self.stem(batch), []
        for stage in self.stages:
            batch = stage(batch)
            levels.append(batch)
        return levels

    @torch.no_grad()
    def pyramid(self, batch):
        return self(batch)

    def normalise(self, tiles):
        return (tiles.permute(0, 3, 1, 2).float() - 128) / 64

    def grid_shape(self, height, width):
        return height // 4, width // 4


def tiny_detector(monkeypatch, **settings):
    """A detector over a random teacher whose batch norms have seen the tiles, and those tiles, which are much alike."""
    teacher = TinyTeacher()
    patterns = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    coarse = 0.4 * patterns[:8] + 0.6 * patterns[8:]
    fine = F.interpolate(256 * coarse, (64, 64), mode="bicubic").clamp(0, 255)
    reader = TileReader(fine.permute(0, 2, 3, 1).byte().numpy(), teacher.normalise, "cpu", 3)
    images = reader.images([reader.pixels(tile) for tile in range(8)])
    for _ in range(30):
        teacher(images)
    monkeypatch.setattr(pfadseg_module, "load_pyramid", lambda *_: (teacher.requires_grad_(False).eval(), teacher))
    return Pfadseg(PfadsegSettings(**settings), (64, 64), seed=3), TrainingTiles(reader, reader)


def squares_of_noise(batch):
    """Give each tile of a batch a square of noise that covers a fifth of it."""
    random = np.random.default_rng(1)
    for tile in batch.tiles:
        clean, mask = batch.reader.pixels(tile), np.zeros((64, 64), bool)
        top, left = random.integers(2, 34, 2)
        mask[top : top + 28, left : left + 28] = True
        noise = random.integers(0, 256, clean.shape, dtype=np.uint8)
        yield Pair(clean, np.where(mask[..., None], noise, clean), mask)


@pytest.mark.parametrize("attention", [PA, DESTSEG])
def test_overfits_one_batch(monkeypatch, attention):
    """A batch is learned, and what the second phase makes of it (docs/methods/pfadseg.md#checks)."""
    detector, given = tiny_detector(
        monkeypatch, attention=attention, batch_size=4, segmentation={"width": 32, "head_learning_rate": 0.05}
    )
    student, segmentation = detector.phases(given)
    batch = student.batch(None, 0, range(4))
    batch.pairs = list(squares_of_noise(batch))
    curve = [student.step(batch, nullcontext)["cosine"].item() / 4 for _ in range(80)]
    assert 1.2 < curve[0] < 2.5
    assert curve[-1] < 0.4 * curve[0]
    losses = [segmentation.step(batch, nullcontext) for _ in range(60)]
    assert losses[-1]["absolute"] < 0.05
    assert losses[-1]["focal"] < 0.002
    detector.eval()
    mask = batch.quarter_masks().bool()
    scores = detector.score(batch.anomalous())
    assert scores[mask].mean() > 0.9
    assert scores[~mask].mean() < 0.1


def test_an_even_start_keeps_the_first_steps_from_throwing_weights(monkeypatch):
    """See docs/methods/pfadseg.md#attentional-fusion."""
    largest = []
    for even in (False, True):
        torch.manual_seed(0)
        attention = AttentionSettings(aff_starts_even=even)
        detector, given = tiny_detector(monkeypatch, attention=attention, batch_size=4)
        phase = detector.phases(given)[0]
        batch = phase.batch(None, 0, range(4))
        batch.pairs = list(squares_of_noise(batch))
        for _ in range(4):
            phase.step(batch, nullcontext)
        norms = [module for module in detector.student.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        largest.append(max(float(norm.running_var.max()) for norm in norms))
    assert largest[1] < 0.1 * largest[0]


@pytest.mark.parametrize("attention", [PA, DESTSEG])
def test_segmentation_overfits_one_batch(attention):
    """See docs/methods/pfadseg.md#checks."""
    network = GuidedSegmentation((8, 16, 32), 32, attention)
    features = [torch.randn(4, channels, side, side) for channels, side in ((8, 16), (16, 8), (32, 4))]
    target = (F.avg_pool2d(torch.randn(4, 1, 18, 18), 3, 1)[:, 0] > 0.3).float()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    curve = []
    for _ in range(100):
        logits = network(features)
        losses = focal_loss(logits, target, 4.0), absolute_loss(logits, target)
        optimiser.zero_grad()
        sum(losses).backward()
        optimiser.step()
        curve.append([loss.item() for loss in losses])
    assert 0.3 < curve[0][1] < 0.7
    assert curve[-1][1] < 0.05
