"""PFADSeg: a student rebuilds the clean features of a frozen teacher, a segmentation network reads where they differ.

Paper: PFADSeg, a pyramid attention and feature fusion form of DeSTSeg (docs/methods/pfadseg.md).
Equations: docs/methods/pfadseg.md#attention-block, docs/methods/pfadseg.md#student,
docs/methods/pfadseg.md#guided-segmentation, docs/methods/pfadseg.md#cosine-loss, docs/methods/pfadseg.md#training.
Reference: no public code of PFADSeg; what its paper leaves open follows DeSTSeg, apple/ml-destseg at f6ea31f (Apple's
sample licence), open-aff at 0bcfd8a (no licence file), CGRSeg at b6c70fa (Apache-2.0) and MSPANet at d804689 (GPL-3).
Written from formulas alone. With attention pcar, aff and rcm off the networks are DeSTSeg's.

parity: the cosine loss is a sum over the batch, as in DeSTSeg's code; learning_rate belongs to it.
parity: the input of the segmentation network is the product of the features; DeSTSeg takes its negative, which the
first convolutions learn as well.
parity: the calibration's branch starts with layer_scale 1; the released 1e-6 leaves it idle under these learning rates.
parity: the student's encoder starts as an identity where aff is off, as DeSTSeg's does, and not where it is on.
parity: aff starts with scattered weights unless aff_starts_even, though with its gain of 2 it is meant to start as a
plain sum.
parity: probabilities come at a quarter of the tile's sides; the merge stage interpolates them to the image, aligning no
corners, and the score of an image is that of the evaluation, not DeSTSeg's mean of the 100 highest probabilities.
parity: anomalous tiles are rounded to 8 bits, which moves a value by at most half a grey value.
parity: for a backbone whose features can be negative (EfficientNet), the student's levels do not end in a ReLU; nothing
changes for the papers' ResNet18.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seamark.backbones.registry import Backbone, load_pyramid
from seamark.backbones.table import PYRAMID_MULTIPLE, require_multiple
from seamark.detectors.pfadseg.networks import DenoisingStudent, GuidedSegmentation
from seamark.detectors.pfadseg.rotated_pairs import RotatedPairMaker
from seamark.errors import DataError
from seamark.learning.anomalous_pairs import PairBatch, PairMaker
from seamark.learning.batches import Batch, TrainingTiles
from seamark.learning.best_weights import EarlyStopping
from seamark.learning.detector import Detector
from seamark.learning.pair_phase import SummedPairPhase
from seamark.learning.phases import Arithmetic, Phase
from seamark.networks.plain_form import tile_by_tile
from seamark.networks.reverse_distillation import has_negatives
from seamark.networks.segmentation_network import level_products, resized, segmentation_losses
from seamark.settings.pfadseg import PfadsegSettings
from seamark.settings.training import DetectorSettings


class Pfadseg(Detector):
    """Frozen teacher, denoising student and segmentation network over a pyramid of three levels."""

    Settings = PfadsegSettings

    def __init__(self, settings: PfadsegSettings, tile_shape: tuple[int, int], seed: int) -> None:
        require_multiple("pfadseg: tile", tile_shape, PYRAMID_MULTIPLE)
        settings.require_turnable(tile_shape)
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.student = DenoisingStudent(
                self.channels, settings.attention, settings.student_width, signed=self.signed
            )
            self.segmentation = GuidedSegmentation(self.channels, settings.segmentation.width, settings.attention)

    def _load_backbone(self, settings: DetectorSettings) -> Backbone:
        backbone, unfrozen = load_pyramid(settings.backbone, settings.weights, self.seed)
        self.channels, self.signed = unfrozen.channels, has_negatives(unfrozen)
        return backbone

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:
        """Return the phase of the student, then that of the segmentation network.

        Raises
        ------
        DataError
            If there is a single training tile, which batch norms cannot train on.
        """
        if len(tiles.train) < 2:
            raise DataError("pfadseg: one training tile; its batch norms need at least 2: add images")
        return [StudentPhase(self, tiles), GuidedSegmentationPhase(self, tiles)]

    def products(self, images: Tensor) -> list[Tensor]:
        """Return what the segmentation network sees of normalised images (B, 3, H, W): (B, C_l, H_l, W_l)."""
        return level_products(self.backbone.pyramid(images), self.student(images))

    @torch.no_grad()
    def cosine_map(self, images: Tensor) -> Tensor:
        """Return 1 - cosine of teacher and student, multiplied over levels, (B, H / 4, W / 4) of (B, 3, H, W)."""
        distances = [1.0 - level.sum(dim=1, keepdim=True) for level in self.products(images)]
        levels = [resized(level, self.map_shape)[:, 0] for level in distances]
        return torch.stack(levels).prod(dim=0)

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:
        """Return probabilities (B, H / 4, W / 4).

        On the CPU tiles go through one by one, so that a score has the same bits whatever else is in the batch: the
        student is deep, and while it has made few steps it magnifies the rounding of kernels for other batch sizes.
        """
        return torch.cat([torch.sigmoid(self.segmentation(self.products(part))) for part in tile_by_tile(batch)])


class StudentPhase(SummedPairPhase):
    """Trains the student to give, on anomalous twins, what the teacher gives on the clean ones.

    The segmentation network does not run here (docs/methods/pfadseg.md#training).
    """

    name = "student"

    def __init__(self, detector: Pfadseg, tiles: TrainingTiles) -> None:
        settings = detector.settings
        self.detector = detector
        super().__init__(
            steps=settings.steps,
            batch_size=settings.batch_size,
            make=_rotated(settings, tiles),
            optimisers={"student": _descent([(detector.student, settings.learning_rate)], settings)},
            stopping=EarlyStopping(
                settings.early_stop,
                {"student": detector.student},
                PairMaker(tiles.validation, settings.synthesis),
                detector.cosine_map,
            ),
        )

    def losses(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        with arithmetic():
            teacher = self.detector.backbone.pyramid(pairs.clean())
            student = self.detector.student.train()(pairs.anomalous())
        return {"cosine": denoising_loss(level_products(teacher, student))}


class GuidedSegmentationPhase(SummedPairPhase):
    """Trains the segmentation network on synthetic anomalies; teacher and student only look at them."""

    name = "segmentation"

    def __init__(self, detector: Pfadseg, tiles: TrainingTiles) -> None:
        settings, network = detector.settings, detector.segmentation
        self.detector, self.focal_gamma = detector, settings.segmentation.focal_gamma
        blocks, rest = settings.segmentation.block_learning_rate, settings.segmentation.head_learning_rate
        super().__init__(
            steps=settings.segmentation.steps,
            batch_size=settings.batch_size,
            make=_rotated(settings, tiles),
            optimisers={
                "segmentation": _descent(
                    [(network.first, blocks), (network.second, blocks), (network.context, rest), (network.head, rest)],
                    settings,
                )
            },
            stopping=EarlyStopping(
                settings.segmentation.early_stop,
                {"segmentation": network},
                PairMaker(tiles.validation, settings.synthesis),
                detector.score,
            ),
        )

    def losses(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        self.detector.eval()
        with arithmetic():
            with torch.no_grad():
                products = self.detector.products(pairs.anomalous())
            logits = self.detector.segmentation.train()(products).float()
        return segmentation_losses(logits, pairs.quarter_masks(), self.focal_gamma)

    def step(self, batch: Batch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        scale = self.detector.segmentation.layer_scale()
        return super().step(batch, arithmetic) | ({} if scale is None else {"layer_scale": scale})


def denoising_loss(products: Sequence[Tensor]) -> Tensor:
    """Return 1 - cosine of teacher and student, summed over levels and over the batch.

    Parameters
    ----------
    products : sequence of Tensor, shape (B, C_l, H_l, W_l)
        As :func:`seamark.networks.segmentation_network.level_products` gives them.

    Returns
    -------
    Tensor, scalar
        Means over cells, sums over the rest: 0..6 B for three levels (docs/methods/pfadseg.md#cosine-loss).
    """
    return torch.stack([(1.0 - level.float().sum(dim=1)).mean(dim=(1, 2)).sum() for level in products]).sum()


def _descent(groups: Sequence[tuple[torch.nn.Module, float]], settings: PfadsegSettings) -> torch.optim.SGD:
    parameters = [{"params": list(module.parameters()), "lr": rate} for module, rate in groups]
    return torch.optim.SGD(parameters, lr=0.0, momentum=settings.momentum, weight_decay=settings.weight_decay)


def _rotated(settings: PfadsegSettings, tiles: TrainingTiles) -> PairMaker:
    return RotatedPairMaker(
        tiles.train, settings.synthesis, quarter_turns=settings.quarter_turns, turn_deg=settings.turn_deg
    )
