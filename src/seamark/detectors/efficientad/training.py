"""The training phases of EfficientAD: statistics of the teacher, student and autoencoder, quantiles of the maps."""

import logging
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seamark.backbones.base import Backbone
from seamark.detectors.efficientad.autoencoder import Autoencoder
from seamark.detectors.efficientad.batches import ViewBatch, ViewMaker
from seamark.detectors.efficientad.discrepancy import (
    ABNORMAL,
    NORMAL,
    collaborative_loss,
    direction_distances,
    hard_loss,
    window_pixels,
)
from seamark.files.images import Float32Array
from seamark.learning.batches import Batch, FeatureCache, TileReader, TrainingTiles, counted_random
from seamark.learning.feature_statistics import feature_statistics
from seamark.learning.phases import ComputedPhase, GradientPhase, Track
from seamark.networks.pdn import Pdn
from seamark.settings.efficientad import EfficientAdSettings

LOG = logging.getLogger(__name__)
RATE_DROPS_AT, RATE_FACTOR = 0.95, 0.1
"""Share of the steps after which the learning rate is multiplied with the factor."""
SMALLEST_RANGE = 1e-12
"""Quantiles are at least this far apart."""
RISE = 0.1
"""Score of the upper quantile; that of the lower one is 0."""


class Networks(Protocol):
    """What the phases need of the detector."""

    settings: EfficientAdSettings
    student: Pdn
    autoencoder: Autoencoder
    teacher_mean: Tensor
    teacher_std: Tensor
    map_quantiles: Tensor

    @property
    def backbone(self) -> Backbone:
        """The teacher."""

    def teacher_features(self, images: Tensor) -> Tensor:
        """Return normalised features of the teacher (B, C, h, w) for normalised images (B, 3, H, W)."""

    def raw_maps(self, images: Tensor) -> Tensor:
        """Return the student's and the autoencoder's map (B, 2, h, w)."""


class StatisticsPhase(ComputedPhase):
    """Takes mean and standard deviation of the teacher's features over the training tiles as they are."""

    name = "statistics"

    def __init__(self, detector: Networks) -> None:
        self.detector = detector

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102
        reader, teacher = tiles.train, self.detector.backbone
        maps = (
            teacher.pyramid(reader.images([reader.pixels(tile)]))[0] for tile in track(range(len(reader)), "tiles read")
        )
        mean, std = feature_statistics(maps)
        self.detector.teacher_mean.copy_(mean)
        self.detector.teacher_std.copy_(std)


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Return the learning rate of a step, counted from 0: a tenth after 95 % of the steps."""
    return highest if step < int(RATE_DROPS_AT * steps) else highest * RATE_FACTOR


class LearningPhase(GradientPhase):
    """Trains student and autoencoder together."""

    def __init__(self, detector: Networks, tiles: TrainingTiles) -> None:
        settings = detector.settings
        self.detector, self.settings, self.make = detector, settings, ViewMaker(tiles.train, settings)
        self.channels = settings.channels
        self.cache = FeatureCache(detector.teacher_features, settings.feature_cache_mb)
        trained = [*detector.student.parameters(), *detector.autoencoder.parameters()]
        super().__init__(
            "training",
            steps=settings.steps,
            batch_size=settings.batch_size,
            module=nn.ModuleList([detector.student, detector.autoencoder]),
            optimiser=torch.optim.Adam(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay),
            rate=lambda step: learning_rate(step, settings.steps, settings.learning_rate),
            loss=lambda batch: self.losses(cast("ViewBatch", batch)),
        )

    def batch(self, reader: TileReader, step: int, tiles: Sequence[int]) -> Batch:  # noqa: D102, ARG002
        return ViewBatch(self.make, self.name, step, tiles)

    def losses(self, batch: ViewBatch) -> dict[str, Tensor]:
        """Return the weighted sum of all losses, then each of them.

        The clean and the jittered tiles go through the student's trunk as one batch; of its head, each gets the
        half that it needs.
        """
        student, settings = self.detector.student, self.settings
        clean, teacher = batch.images(), self.cache(batch)
        jittered = batch.jittered() if settings.autoencoder_weight or settings.student_autoencoder_weight else clean[:0]
        hidden = student.trunk(torch.cat([clean, jittered]))
        own = student.outputs(hidden[: len(clean)], slice(self.channels))
        losses = {"hard": hard_loss(teacher, own, settings.hard_share)}
        weights = {"hard": settings.hard_weight}
        if settings.penalty != "none" and settings.penalty_weight:
            weights["penalty"] = settings.penalty_weight
            if settings.penalty == "cdo":
                losses |= self.discrepancy(batch, clean, teacher, own)
            else:
                losses["penalty"] = (
                    student.outputs(student.trunk(batch.penalty()), slice(self.channels)).square().mean()
                )
        if len(jittered):
            losses |= self.autoencoder_losses(jittered, hidden[len(clean) :])
            weights |= {
                "autoencoder": settings.autoencoder_weight,
                "student_autoencoder": settings.student_autoencoder_weight,
            }
        total = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
        return {"total": total} | losses

    def discrepancy(self, batch: ViewBatch, clean: Tensor, teacher: Tensor, own: Tensor) -> dict[str, Tensor]:
        """Return the loss on tiles with noise patches and the mean distance of normal and of abnormal cells.

        Only cells that see a patch are computed anew; all others are those of the clean tile.
        """
        patched = [
            self._patched(batch, place, teacher[place : place + 1], own[place : place + 1])
            for place in range(len(clean))
        ]
        distances = direction_distances(*(torch.cat(maps) for maps in zip(*patched, strict=True)))
        labels = batch.labels((distances.shape[1], distances.shape[2]))
        normal, seen = labels == NORMAL, distances.detach()
        abnormal = labels == ABNORMAL
        return {
            "penalty": collaborative_loss(distances, labels, self.settings.cdo_gamma),
            "normal_distance": _mean_or_zero(seen[normal]),
            "abnormal_distance": _mean_or_zero(seen[abnormal]),
            "abnormal_share": abnormal.float().mean(),
            "ignored_share": 1.0 - (normal | abnormal).float().mean(),
        }

    def _patched(self, batch: ViewBatch, place: int, teacher: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        views = batch.views[place]
        if views.patched is None or views.touched is None:
            return teacher, own
        image = batch.reader.images([views.patched])
        teacher, own = teacher.clone(), own.clone()
        for window in views.touched.windows:
            rows, columns = window_pixels(window)
            crop, (top, bottom, left, right) = image[:, :, rows, columns], window
            with torch.no_grad():
                teacher[:, :, top:bottom, left:right] = self.detector.teacher_features(crop)
            student = self.detector.student
            own[:, :, top:bottom, left:right] = student.outputs(student.trunk(crop), slice(self.channels))
        return teacher, own

    def autoencoder_losses(self, jittered: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Return the autoencoder's loss against the teacher and the student's against the autoencoder."""
        with torch.no_grad():
            teacher = self.detector.teacher_features(jittered)
        grid = (teacher.shape[2], teacher.shape[3])
        rebuilt = self.detector.autoencoder(jittered, grid)
        predicted = self.detector.student.outputs(hidden, slice(self.channels, 2 * self.channels))
        return {
            "autoencoder": functional.mse_loss(rebuilt, teacher),
            "student_autoencoder": functional.mse_loss(predicted, rebuilt),
        }


def _mean_or_zero(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.new_zeros(())


class QuantilesPhase(ComputedPhase):
    """Takes the quantiles of both maps over all cells of all validation tiles."""

    name = "quantiles"

    def __init__(self, detector: Networks, tiles: TrainingTiles) -> None:
        self.detector, self.make = detector, ViewMaker(tiles.train, detector.settings)

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102
        reader, detector = tiles.validation, self.detector
        maps = [
            detector.raw_maps(reader.images([reader.pixels(tile)]))[0].cpu().numpy()
            for tile in track(range(len(reader)), "validation tiles read")
        ]
        stacked = np.stack(maps, axis=1)
        bounds = [map_quantiles(component, detector.settings.quantiles) for component in stacked]
        detector.map_quantiles.copy_(torch.tensor(bounds))
        self._report_contrast(reader, stacked[0])

    def _report_contrast(self, reader: TileReader, clean: Float32Array) -> None:
        """Log how much higher the student's map is where validation tiles have noise patches than on clean ones."""
        touched = []
        for tile in range(len(reader)):
            pixels, cells = self.make.patched(reader.pixels(tile), counted_random(reader.seed, "contrast", tile))
            if pixels is not None and cells is not None:
                scores = self.detector.raw_maps(reader.images([pixels]))[0, 0].cpu().numpy()
                touched.append(scores[cells.labels == ABNORMAL])
        if sum(map(len, touched)):
            ratio = float(np.median(np.concatenate(touched)) / max(float(np.median(clean)), SMALLEST_RANGE))
            LOG.info("median of the student's map under noise patches / on clean validation tiles: %.2f", ratio)


def map_quantiles(scores: Float32Array, shares: tuple[float, float]) -> tuple[float, float]:
    """Return the lower quantile of all scores and the distance of the upper one, at least 1e-12."""
    lower, upper = np.quantile(scores.ravel(), shares)
    return float(lower), max(float(upper - lower), SMALLEST_RANGE)
