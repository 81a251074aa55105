"""Distilling a pretrained backbone's features into a patch description network, the teacher of EfficientAD.

Source: Batzner et al., EfficientAD, WACV 2024 (docs/methods/efficientad.md#distillation). The backbone sees a crop of
twice the size that the network sees, so that the cells of both lie on the same places, to a quarter of a pixel.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from seamark.backbones.table import IMAGENET_MEAN, IMAGENET_STD
from seamark.errors import ConfigError
from seamark.files.images import UInt8Array
from seamark.learning.batches import Batch, TileReader, TrainingTiles, counted_random
from seamark.learning.best_weights import BestWeights
from seamark.learning.detector import Detector
from seamark.learning.feature_statistics import feature_statistics
from seamark.learning.phases import Arithmetic, ComputedPhase, GradientPhase, Phase, Track
from seamark.networks.pdn import MARGIN_CELLS, STRIDE, Pdn, pdn_layers
from seamark.settings.teacher import TeacherSettings
from seamark.teachers.crops import CroppedPhotographs, halved
from seamark.teachers.features import PatchCoreFeatures

LOG = logging.getLogger(__name__)
HELD_OUT_CROPS = 32
"""Held-out crops on which a distillation is measured."""
WEAKEST = 0.05
"""Features of which less than this share of the variance is predicted are switched off."""


class Distiller(Detector):
    """A patch description network that learns to give a backbone's features; its score is how badly it does.

    Parameters
    ----------
    settings : TeacherSettings
        Network, backbone and distillation.
    tile_shape : tuple of int
        Height and width of what the backbone sees in px, twice what the network sees.
    seed : int
        Seed of the initial weights.
    """

    Settings = TeacherSettings
    target_mean: Tensor
    target_std: Tensor
    measures: Tensor

    def __init__(self, settings: TeacherSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        side = settings.distill.input_px // STRIDE
        self.margin = 0 if settings.distill.padded else MARGIN_CELLS
        self.grid, self.map_shape = (side, side), (side - 2 * self.margin,) * 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Pdn(pdn_layers(settings.network, settings.channels, settings.width))
        levels = self.backbone.pyramid(torch.zeros(1, 3, *tile_shape))
        self.features = PatchCoreFeatures(tuple(level.shape[1] for level in levels), settings.channels)
        self.register_buffer("target_mean", torch.zeros(settings.channels))
        self.register_buffer("target_std", torch.ones(settings.channels))
        self.register_buffer("measures", torch.zeros(3))
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(f"pixel_{name}", 255.0 * torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:  # noqa: D102
        held_out = HeldOut(self, tiles.validation)
        return [TargetStatisticsPhase(self), TeacherPhase(self, held_out), MeasurementPhase(self, held_out)]

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """Return the backbone's features (B, C, h, w) where the network gives its own, for its input (B, 3, H, W)."""
        features = self.features(self.backbone.pyramid(images), self.grid)
        cut = slice(self.margin, -self.margin or None)
        return cast("Tensor", features[:, :, cut, cut])

    def normalised(self, features: Tensor) -> Tensor:
        """Return features (B, C, h, w) of mean 0 and standard deviation 1."""
        return (features - self.target_mean.view(1, -1, 1, 1)) / self.target_std.view(1, -1, 1, 1)

    def prediction(self, pixels: Sequence[UInt8Array]) -> Tensor:
        """Return the network's features (B, C, h, w) of crops, uint8 (H, W, 3), of the size that the backbone sees."""
        small = torch.from_numpy(np.stack([halved(crop) for crop in pixels])).to(self.measures.device)
        images = (small.permute(0, 3, 1, 2).float() - self.get_buffer("pixel_mean")) / self.get_buffer("pixel_std")
        return cast("Tensor", self.network(images, padded=self.settings.distill.padded))

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:
        """Return how far the network is from the backbone, averaged over features, (B, h, w) of (B, 3, H, W)."""
        pixels = (batch * self.backbone.std + self.backbone.mean).round().clamp(0.0, 255.0).to(torch.uint8)
        crops = list(pixels.permute(0, 2, 3, 1).cpu().numpy())
        return (self.normalised(self.targets(batch)) - self.prediction(crops)).square().mean(dim=1)


def photographs_of(reader: TileReader) -> CroppedPhotographs:
    """Return the photographs that a reader of a distillation reads.

    Raises
    ------
    ConfigError
        If it reads stored tiles instead.
    """
    photographs: object = reader.tiles
    if not isinstance(photographs, CroppedPhotographs):
        raise ConfigError("a distillation reads photographs, not stored tiles")
    return photographs


class CropBatch(Batch):
    """Crops of the photographs of one step."""

    @property
    def crops(self) -> list[UInt8Array]:
        """One per place, as the backbone sees it."""
        return [self.pixels(place) for place in range(len(self))]

    def pixels(self, place: int) -> UInt8Array:  # noqa: D102
        if place not in self._ready:
            photographs, random = photographs_of(self.reader), self.random("crop", place)
            corrupt = bool(random.random() < photographs.settings.corrupted_share)
            self._ready[place] = photographs.crop(self.tiles[place], random, corrupt=corrupt)
        return self._ready[place]


class TargetStatisticsPhase(ComputedPhase):
    """Takes mean and standard deviation of the backbone's features over crops."""

    name = "statistics"

    def __init__(self, distiller: Distiller) -> None:
        self.distiller = distiller

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102
        distiller, reader = self.distiller, tiles.train
        photographs = photographs_of(reader)
        crops = distiller.settings.distill.statistics_crops
        if distiller.settings.distill.crop_scale is None:
            crops = min(crops, len(reader))
        maps = (
            distiller.targets(
                reader.images(
                    [
                        photographs.crop(
                            number % len(reader), counted_random(reader.seed, "statistics", number), corrupt=False
                        )
                    ]
                )
            )
            for number in track(range(crops), "crops read")
        )
        mean, std = feature_statistics(maps)
        distiller.target_mean.copy_(mean)
        distiller.target_std.copy_(std)


class HeldOut:
    """Crops of photographs that the distillation does not see, clean and corrupted, the same ones each time."""

    def __init__(self, distiller: Distiller, reader: TileReader) -> None:
        self.distiller, self.reader = distiller, reader
        self._targets: dict[int, Tensor] = {}

    @torch.no_grad()
    def explained(self, *, corrupt: bool) -> Tensor:
        """Return the share of the variance of each feature that the network predicts, float64 (C,), at most 1."""
        errors = []
        for number in range(HELD_OUT_CROPS):
            random = counted_random(self.reader.seed, "held out", number)
            crop = photographs_of(self.reader).crop(number % len(self.reader), random, corrupt=corrupt)
            target = self._targets.get(number)
            if corrupt or target is None:
                target = self.distiller.targets(self.reader.images([crop]))
            if not corrupt:
                self._targets[number] = target
            difference = self.distiller.normalised(target) - self.distiller.prediction([crop])
            errors.append(difference.double().square().mean(dim=(0, 2, 3)))
        return 1.0 - torch.stack(errors).mean(dim=0)


class TeacherPhase(GradientPhase):
    """Trains the network and keeps the weights that predict the held-out crops best."""

    def __init__(self, distiller: Distiller, held_out: HeldOut) -> None:
        self.distiller, self.held_out, self.settings = distiller, held_out, distiller.settings.distill
        settings, network = self.settings, distiller.network
        super().__init__(
            "distillation",
            steps=settings.steps,
            batch_size=settings.batch_size,
            module=network,
            optimiser=torch.optim.Adam(
                network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
            ),
            rate=self._rate,
            loss=self._loss,
        )
        self.best = BestWeights(network)

    def batch(self, reader: TileReader, step: int, tiles: Sequence[int]) -> Batch:  # noqa: D102
        return CropBatch(reader, self.name, step, tiles, None)

    def step(self, batch: Batch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        losses = super().step(batch, arithmetic)
        done = batch.step + 1
        if done % self.settings.evaluate_every == 0 or done == self.steps:
            self.best.measured(float(self.held_out.explained(corrupt=False).mean()))
            self.stopped = self.settings.patience is not None and self.best.fruitless >= self.settings.patience
        return losses | {"held_out_explained": torch.tensor(self.best.latest)}

    def _rate(self, step: int) -> float:
        settings = self.settings
        if settings.schedule == "constant":
            return settings.learning_rate
        return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / self.steps))

    def _loss(self, batch: Batch) -> dict[str, Tensor]:
        crops = cast("CropBatch", batch).crops
        target = self.distiller.normalised(self.distiller.targets(batch.images()))
        return {"error": torch.nn.functional.mse_loss(self.distiller.prediction(crops), target)}

    def state(self) -> dict[str, Any]:  # noqa: D102
        return super().state() | {"best": self.best.state()}

    def load(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        super().load(state)
        self.best.load(state["best"])

    def finish(self) -> None:  # noqa: D102
        self.best.restore_best()


class MeasurementPhase(ComputedPhase):
    """Notes how much of the backbone's features the network predicts, and switches off those it does not."""

    name = "measurement"

    def __init__(self, distiller: Distiller, held_out: HeldOut) -> None:
        self.distiller, self.held_out = distiller, held_out

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102, ARG002
        clean, corrupt = (self.held_out.explained(corrupt=corrupt) for corrupt in (False, True))
        weak = clean < WEAKEST
        if bool(weak.all()):
            LOG.warning("not one of %d features is predicted on held-out crops; raise distill.steps", len(weak))
            weak = torch.zeros_like(weak)
        head = self.distiller.network.head
        head.weight[weak] = 0.0
        cast("Tensor", head.bias)[weak] = 0.0
        kept = [float(values[~weak].mean()) for values in (clean, corrupt)]
        self.distiller.measures.copy_(torch.tensor([*kept, float(weak.sum())]))
        LOG.info(
            "share of the held-out variance predicted: clean %.3f, corrupted %.3f; %d features off", *kept, weak.sum()
        )
