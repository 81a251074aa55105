"""constant: every tile gets the same score map. It finds nothing and is there to rehearse a run.

A rehearsal tells what a run will take in time, memory and disk, and whether it arrives at an accepted archive, before
any network is trained: all stages do their work, but no feature is computed and no pretrained weight is needed.

Paper: none.
Equations: score + bump * exp(-r^2 / (2 s^2)) + brightness * (b - b0), with r the distance from the middle of the tile,
s a twelfth of its side, b the mean intensity of the tile in 0..1 and b0 that of the training tiles.
Reference: none.

parity: there is nothing to be equal to.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seamark.learning.batches import TrainingTiles
from seamark.learning.detector import Detector
from seamark.learning.phases import ComputedPhase, Phase, Track
from seamark.settings.constant import ConstantSettings

BUMP_WIDTH = 1.0 / 12.0
"""Standard deviation of the bump as a share of the tile's side: about 3 % of a tile exceed mean + 3 std."""


class Constant(Detector):
    """The same score map for every tile, up to a share of its brightness."""

    Settings = ConstantSettings
    usual_brightness: Tensor
    pattern: Tensor

    def __init__(self, settings: ConstantSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        self.register_buffer("usual_brightness", torch.zeros(()))
        self.register_buffer("pattern", settings.score + settings.bump * _bump(self.map_shape), persistent=False)

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:  # noqa: D102, ARG002
        return [BrightnessPhase(self)]

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:  # noqa: D102
        intensities = batch * self.backbone.std + self.backbone.mean
        brightness = intensities.mean(dim=(1, 2, 3)) / 255.0 - self.usual_brightness
        return self.pattern + self.settings.brightness * brightness[:, None, None]


class BrightnessPhase(ComputedPhase):
    """Reads every training tile once, as a training would, and keeps their mean intensity."""

    name = "brightness"

    def __init__(self, detector: Constant) -> None:
        self.detector = detector

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102
        total = sum(float(tiles.train.pixels(tile).mean()) for tile in track(range(len(tiles.train)), "tiles read"))
        self.detector.usual_brightness.fill_(total / len(tiles.train) / 255.0)


def _bump(shape: tuple[int, int]) -> Tensor:
    """Return a Gaussian of height 1 in the middle of a tile, sampled at the centres of the cells."""
    down, across = (
        torch.exp(-0.5 * (((torch.arange(cells) + 0.5) / cells - 0.5) / BUMP_WIDTH) ** 2) for cells in shape
    )
    return down[:, None] * across[None, :]
