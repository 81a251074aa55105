"""URD over a tiny pyramid: layers, signs, and one batch learnt by heart."""

from contextlib import nullcontext
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seamark.backbones.registry import load_pyramid
from seamark.detectors.urd import detector as urd_module
from seamark.detectors.urd.detector import Urd, has_negatives
from seamark.learning.anomalous_pairs import Pair
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.networks.reverse_distillation import BottleneckBlock
from seamark.settings.urd import UrdSettings


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_backbones_with_and_without_negative_features():
    assert has_negatives(load_pyramid("efficientnet_lite0", "random")[1])
    assert not has_negatives(load_pyramid("resnet18", "random")[1])


def test_layers_are_fixed():
    with pytest.raises(ValueError, match="leave it null"):
        UrdSettings(layers=[1, 2, 3])


class TinyPyramid(torch.nn.Module):
    """WideResNet50-2 at an eighth of its widths, one block per stage; also stands for the frozen backbone."""

    channels = (32, 64, 128)
    digest = "random"

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 7, 2, 3, bias=False),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(3, 2, 1),
        )
        self.stages = torch.nn.ModuleList(
            [
                BottleneckBlock(8, 16, 32),
                BottleneckBlock(32, 32, 64, "halve"),
                BottleneckBlock(64, 64, 128, "halve"),
            ]
        )

    def forward(self, batch):
        batch, levels = self.stem(batch), []
        for stage in self.stages:
            batch = stage(batch)
            levels.append(batch)
        return levels

    @torch.no_grad()
    def pyramid(self, batch):
        return self(batch)

    def normalise(self, pixels):
        return (pixels.permute(0, 3, 1, 2).float() - 128) / 64

    def grid_shape(self, height, width):
        return height // 4, width // 4


def smooth_tiles(number=8, side=64):
    """Smooth coloured noise, something that a small network can learn."""
    coarse = torch.rand(number, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    fine = F.interpolate(256 * coarse, (side, side), mode="bicubic").clamp(0, 255)
    return fine.permute(0, 2, 3, 1).byte().numpy()


def tiny_detector(monkeypatch, kind=Urd, **settings):
    """A detector over tiny pyramids whose batch norms have seen the tiles, and those tiles."""
    expert = TinyPyramid()
    reader = TileReader(smooth_tiles(), expert.normalise, "cpu", 3)
    for _ in range(30):
        expert(reader.images(smooth_tiles()))
    monkeypatch.setattr(urd_module, "load_pyramid", lambda *_: (expert.requires_grad_(False).eval(), deepcopy(teacher)))
    teacher = deepcopy(expert).train()
    block = {"batch_size": 4, "early_stop": None} | settings
    return kind(kind.Settings(**block), (64, 64), seed=3), TrainingTiles(reader, reader)


def squares_of_noise(batch):
    """Give each tile of a batch a square of noise that covers a fifth of it."""
    random = np.random.default_rng(1)
    for tile in batch.tiles:
        clean, mask = batch.reader.pixels(tile), np.zeros((64, 64), bool)
        top, left = random.integers(2, 34, 2)
        mask[top : top + 28, left : left + 28] = True
        noise = random.integers(0, 256, clean.shape, dtype=np.uint8)
        yield Pair(clean, np.where(mask[..., None], noise, clean), mask)


def test_overfits_one_batch(monkeypatch):
    """See docs/methods/urd.md#checks."""
    detector, given = tiny_detector(monkeypatch)
    (phase,) = detector.phases(given)
    batch = phase.batch(None, 0, range(4))
    batch.pairs = list(squares_of_noise(batch))
    curve = [{name: float(loss) for name, loss in phase.step(batch, nullcontext).items()} for _ in range(60)]
    student = [losses.pop("student") for losses in curve]
    teacher = [sum(losses.values()) for losses in curve]
    assert 7.0 < student[0] < 12.5
    assert student[20] < 3.0
    assert student[-1] < 0.15 * student[0]
    assert teacher[-1] < 0.7 * teacher[0]
    detector.eval()
    mask = batch.quarter_masks().bool()
    scores = detector.score(batch.anomalous())
    assert scores[mask].mean() > 2 * scores[~mask].mean()
