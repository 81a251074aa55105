"""AAND: a teacher whose view of anomalies is amplified, and a student that rebuilds that view of normal tiles only.

Paper: Advancing Pre-trained Teacher: Towards Robust Feature Discrepancy for Anomaly Detection, arXiv 2405.02068
(docs/methods/aand.md). Without amplification and without the loss of hard cells it is reverse distillation as in RD4AD
(Deng and Li, CVPR 2022).
Equations: docs/methods/aand.md#amplification, docs/methods/aand.md#synthetic-anomalies,
docs/methods/aand.md#amplification-losses, docs/methods/aand.md#student, docs/methods/aand.md#distillation-losses,
docs/methods/aand.md#training, docs/methods/aand.md#score-map, docs/methods/aand.md#ablations.
Reference: Hui-design/AAND at 376c4e4 (no licence file); written from formulas alone.

parity: the last step's weights are kept in both phases; the released code chooses both by scores on the test images.
parity: temperature 0.2 and weight 0.1 of the amplification loss are the released code's; the paper has neither.
parity: a last incomplete batch is dropped, and a category with fewer tiles than a batch has smaller batches.
parity: textures are not augmented and not read in BGR order, and anomalous tiles are rounded to 8 bits.
parity: score maps are the reference's map at full size, smoothed, averaged over its cells of 4 x 4 px.
parity: a level without normal cells on the product has no amplification loss, where the released code gets NaN.
parity: for a backbone whose features can be negative (EfficientNet), the student's levels do not end in a ReLU, and the
margin is within reach everywhere; nothing changes for the paper's WideResNet50-2.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from seamark.backbones.convolutional import PyramidNetwork
from seamark.backbones.registry import Backbone, load_pyramid
from seamark.backbones.table import PYRAMID_MULTIPLE, PYRAMID_STRIDES, require_multiple
from seamark.detectors.aand.losses import (
    ChosenCells,
    amplification_loss,
    choose_cells,
    contrastive_loss,
    distillation_losses,
    level_masks,
)
from seamark.detectors.aand.residual_amplification import LevelAmplification, ResidualAmplification
from seamark.detectors.feature_distances import DistanceMap, cell_distances
from seamark.errors import DataError
from seamark.files.images import BoolArray
from seamark.learning.anomalous_pairs import PairBatch, PairMaker
from seamark.learning.batches import Batch, FeatureCache, TileReader, TrainingTiles, step_count
from seamark.learning.detector import Detector
from seamark.learning.phases import GradientPhase, Phase
from seamark.networks.reverse_distillation import ReverseStudent, has_negatives
from seamark.networks.segmentation_network import focal_loss
from seamark.settings.aand import AandSettings, AmplificationSettings
from seamark.settings.training import DetectorSettings


class Aand(Detector):
    """Frozen teacher, amplification and student over a pyramid of three levels."""

    Settings = AandSettings

    def __init__(self, settings: AandSettings, tile_shape: tuple[int, int], seed: int) -> None:
        require_multiple("aand: tile", tile_shape, PYRAMID_MULTIPLE)
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        height, width = tile_shape
        self.shapes = [(height // stride, width // stride) for stride in PYRAMID_STRIDES]
        self.map_of = DistanceMap(tile_shape, settings.smooth_sigma_px, align_corners=settings.align_corners)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.student = self._student(settings)
            self.amplification = self._amplification(settings.amplification)

    def _load_backbone(self, settings: DetectorSettings) -> Backbone:
        teacher, pyramid = load_pyramid(settings.backbone, settings.weights, self.seed)
        self.channels, self.signed = pyramid.channels, has_negatives(pyramid)
        self.learned = pyramid if cast("AandSettings", settings).contrastive else None
        return teacher

    def _student(self, settings: AandSettings) -> nn.Module:
        if settings.score == "gate":
            return nn.Identity()
        return ReverseStudent(self.channels, settings.student_width, signed=self.signed)

    def _amplification(self, settings: AmplificationSettings | None) -> ResidualAmplification | None:
        if settings is None or settings.how == "contrastive":
            return None
        return ResidualAmplification(
            self.channels,
            self.shapes,
            settings.memories,
            settings.temperature,
            residual=settings.residual,
            gate=settings.gate,
        )

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:
        """Return amplification, if there is one, then distillation, unless the gates give the score.

        Raises
        ------
        DataError
            If a batch has a single cell at the student's narrowest place, which batch norms cannot train on.
        """
        batch_size = min(self.settings.batch_size, len(tiles.train))
        if batch_size * self.tile_shape[0] * self.tile_shape[1] < 2 * PYRAMID_MULTIPLE**2:
            raise DataError(
                f"aand: {batch_size} tile of {self.tile_shape[0]} x {self.tile_shape[1]} px per step is too little; "
                "add images, raise batch_size or the grid's input_px"
            )
        phases: list[Phase] = []
        settings = self.settings.amplification
        if settings is not None and self.amplification is not None:
            phases.append(AmplificationPhase(self, self.amplification, settings, tiles))
        if settings is not None and self.learned is not None:
            phases.append(ContrastivePhase(self, self.learned, settings, tiles))
        if self.settings.score == "student":
            phases.append(HardDistillationPhase(self, tiles))
        return phases

    @torch.no_grad()
    def teacher(self, images: Tensor) -> list[Tensor]:
        """Return the amplified levels (B, C_l, H_l, W_l) of normalised images (B, 3, H, W)."""
        pyramid: list[Tensor] = self.backbone.pyramid(images) if self.learned is None else self.learned.eval()(images)
        return pyramid if self.amplification is None else self.amplification(pyramid)

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:  # noqa: D102
        if self.settings.score == "gate" and self.amplification is not None:
            levels = self.amplification.gates(self.backbone.pyramid(batch))
        else:
            teacher = self.teacher(batch)
            levels = cell_distances(teacher, self.student(teacher))
        combined: Tensor = self.map_of(levels)
        return combined


class SyntheticPhase(GradientPhase):
    """Trains a module that makes anomalies stand out in the teacher's features, on synthetic ones."""

    def __init__(
        self, detector: Aand, module: nn.Module, settings: AmplificationSettings, tiles: TrainingTiles
    ) -> None:
        self.settings = settings
        self.limits = settings.anomalous_cells, settings.normal_cells
        self.backbone, self.shapes = detector.backbone, detector.shapes
        self.make = PairMaker(tiles.train, detector.settings.synthesis)
        steps = step_count(settings.epochs, settings.max_steps, detector.settings.batch_size, len(tiles.train))
        super().__init__(
            "amplification",
            steps=steps,
            batch_size=detector.settings.batch_size,
            module=module,
            optimiser=_adam(module, detector.settings),
            rate=lambda step: decayed_rate(step, steps, detector.settings),
            loss=self.losses,
        )

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the sum to be minimised and its parts."""

    def batch(self, reader: TileReader, step: int, tiles: Sequence[int]) -> Batch:  # noqa: D102, ARG002
        return PairBatch(self.make, self.name, step, tiles)

    def chosen(self, batch: Batch, level: int, anomalous: BoolArray, foreground: BoolArray) -> ChosenCells:
        """Choose cells of a level of a batch, given both masks (B, H_l, W_l) of it."""
        return choose_cells(anomalous, foreground, self.limits, batch.random("cells", level))

    def masks(self, pairs: PairBatch) -> tuple[list[BoolArray], list[BoolArray]]:
        """Return per level which cells (B, H_l, W_l) of the batch are anomalous, and which are the product's."""
        grounds = [self.make.foregrounds(tile) for tile in pairs.tiles]
        whole = [
            np.ones_like(pair.mask) if ground is None else ground
            for pair, ground in zip(pairs.pairs, grounds, strict=True)
        ]
        return level_masks([pair.mask for pair in pairs.pairs], self.shapes), level_masks(whole, self.shapes)


class AmplificationPhase(SyntheticPhase):
    """Trains gates and residuals of a frozen teacher.

    A level's residual is where the anomaly is, not where the gate says, so the focal loss teaches gates alone and the
    amplification loss residuals alone (docs/methods/aand.md#amplification-losses).
    """

    def __init__(
        self,
        detector: Aand,
        amplification: ResidualAmplification,
        settings: AmplificationSettings,
        tiles: TrainingTiles,
    ) -> None:
        self.amplification = amplification
        super().__init__(detector, amplification, settings, tiles)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the sum to be minimised and its two parts, without gates its only one."""
        pairs = cast("PairBatch", batch)
        anomalous, foreground = self.masks(pairs)
        levels = zip(
            self.amplification.levels, self.backbone.pyramid(pairs.anomalous()), anomalous, foreground, strict=True
        )
        focal, amplification = [], []
        for number, (amplify, level, places, ground) in enumerate(levels):
            cells, own = level.permute(0, 2, 3, 1), cast("LevelAmplification", amplify)
            if own.gate is not None:
                focal.append(self.gate_loss(own.gate(cells), places))
            chosen = self.chosen(batch, number, places, ground)
            amplification.append(amplification_loss(cells.flatten(0, 2), own.residual, chosen, self.settings.margin))
        parts = {"focal": torch.stack(focal).sum()} if focal else {}
        parts["amplification"] = torch.stack(amplification).sum()
        return {"loss": parts.get("focal", 0.0) + self.settings.weight * parts["amplification"]} | parts

    def gate_loss(self, log_odds: Tensor, anomalous: BoolArray) -> Tensor:
        """Return the focal loss of a level's gate, given before the sigmoid (B, H, W)."""
        target = torch.from_numpy(anomalous).to(log_odds.device, torch.float32)
        return focal_loss(log_odds.float(), target, self.settings.focal_gamma, alpha=self.settings.focal_alpha)


class ContrastivePhase(SyntheticPhase):
    """Trains the teacher itself, whose norms stay, to see anomalous cells apart from normal ones."""

    def __init__(
        self, detector: Aand, teacher: PyramidNetwork, settings: AmplificationSettings, tiles: TrainingTiles
    ) -> None:
        self.teacher = teacher
        super().__init__(detector, teacher, settings, tiles)

    def losses(self, batch: Batch) -> dict[str, Tensor]:  # noqa: D102
        pairs = cast("PairBatch", batch)
        images, masks = pairs.anomalous(), self.masks(pairs)
        levels = zip(self.teacher.eval()(images), self.backbone.pyramid(images), *masks, strict=True)
        parts = [
            contrastive_loss(
                level.permute(0, 2, 3, 1).flatten(0, 2),
                before.permute(0, 2, 3, 1).flatten(0, 2),
                self.chosen(batch, number, places, ground),
                self.settings.margin,
            )
            for number, (level, before, places, ground) in enumerate(levels)
        ]
        return {"loss": torch.stack(parts).sum()}


class HardDistillationPhase(GradientPhase):
    """Trains the student on normal tiles; the teacher's amplified features of a tile never change and may be kept."""

    def __init__(self, detector: Aand, tiles: TrainingTiles) -> None:
        settings = detector.settings
        self.detector, self.hard_cells = detector, settings.hard_cells
        self.features = FeatureCache(self.packed_teacher, settings.feature_cache_mb)
        steps = step_count(settings.epochs, settings.max_steps, settings.batch_size, len(tiles.train))
        super().__init__(
            "distillation",
            steps=steps,
            batch_size=settings.batch_size,
            module=detector.student,
            optimiser=_adam(detector.student, settings),
            rate=lambda step: decayed_rate(step, steps, settings),
            loss=self.losses,
        )

    def packed_teacher(self, images: Tensor) -> Tensor:
        """Return the amplified levels of normalised images (B, 3, H, W) as one row (B, F) per image."""
        return torch.cat([level.flatten(1) for level in self.detector.teacher(images)], dim=1)

    def unpacked(self, rows: Tensor) -> list[Tensor]:
        """Return the levels (B, C_l, H_l, W_l) of rows (B, F)."""
        forms = [(wide, *shape) for wide, shape in zip(self.detector.channels, self.detector.shapes, strict=True)]
        parts = torch.split(rows, [wide * height * width for wide, height, width in forms], dim=1)
        return [part.reshape(-1, *form) for part, form in zip(parts, forms, strict=True)]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the sum to be minimised and its parts."""
        teacher = self.unpacked(self.features(batch))
        parts = distillation_losses(teacher, self.detector.student(teacher), self.hard_cells)
        return {"loss": torch.stack(list(parts.values())).sum()} | parts


def decayed_rate(step: int, steps: int, settings: AandSettings) -> float:
    """Return the learning rate of a step, counted from 0: it falls at the set shares of the phase."""
    falls = sum(step >= share * steps for share in settings.decay_at)
    return settings.learning_rate * settings.decay_factor**falls


def _adam(module: nn.Module, settings: AandSettings) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=settings.learning_rate, betas=settings.adam_betas)
