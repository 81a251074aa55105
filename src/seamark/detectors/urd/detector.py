"""URD: a teacher learns to see synthetic anomalies, a student rebuilds the clean features from what the teacher sees.

Paper: Unlocking the Potential of Reverse Distillation for Anomaly Detection, AAAI 2025 (docs/methods/urd.md). Three
networks: a frozen expert, a teacher that starts as its copy and is trained, a student that is trained.
Equations: docs/methods/urd.md#networks, docs/methods/urd.md#guided-injection, docs/methods/urd.md#losses,
docs/methods/urd.md#order-of-a-step, docs/methods/urd.md#score-map.
Reference: hito2448/URD at 95dd027 (no licence file); written from formulas alone.

parity: gii_mode similarity gates the injection as the paper says. The released script inverts the switch, so it never
used the gate; gii_mode concat is what it trains.
parity: the step that is kept is chosen on synthetic anomalies on validation tiles; the released code chooses an epoch
by its scores on the test images.
parity: a last incomplete batch is dropped, and training ends after exactly so many steps, not at the end of an epoch.
parity: anomalous tiles are rounded to 8 bits, which moves a value by at most half a grey value.
parity: score maps are the reference's map at full size, smoothed, averaged over its cells of 4 x 4 px.
parity: for a backbone whose features can be negative (EfficientNet), the student's levels do not end in a ReLU and a
negative similarity counts as 0; nothing changes for the paper's WideResNet50-2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seamark.backbones.registry import Backbone, load_pyramid
from seamark.backbones.table import PYRAMID_MULTIPLE, require_multiple
from seamark.detectors.feature_distances import DistanceMap, cell_distances
from seamark.detectors.urd.guided_injection import Student
from seamark.detectors.urd.losses import student_loss, teacher_losses
from seamark.learning.anomalous_pairs import PairBatch, PairMaker
from seamark.learning.batches import TrainingTiles
from seamark.learning.best_weights import EarlyStopping
from seamark.learning.detector import Detector
from seamark.learning.pair_phase import PairPhase
from seamark.learning.phases import Arithmetic, Phase
from seamark.networks.reverse_distillation import has_negatives
from seamark.settings.anomalous_pairs import PairAugmentationSettings
from seamark.settings.training import DetectorSettings
from seamark.settings.urd import UrdSettings


class Urd(Detector):
    """Expert, teacher and student over a pyramid of three levels."""

    Settings = UrdSettings

    def __init__(self, settings: UrdSettings, tile_shape: tuple[int, int], seed: int) -> None:
        require_multiple("urd: tile", tile_shape, PYRAMID_MULTIPLE)
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.student = Student(
                self.teacher.channels, settings.gii_mode, settings.student_width, signed=has_negatives(self.teacher)
            )
        self.map_of = DistanceMap(tile_shape, settings.smooth_sigma_px, align_corners=settings.align_corners)

    def _load_backbone(self, settings: DetectorSettings) -> Backbone:
        expert, self.teacher = load_pyramid(settings.backbone, settings.weights, self.seed)
        return expert

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:  # noqa: D102
        return [ReverseDistillationPhase(self, tiles, None)]

    def pyramids(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the levels (B, C_l, H_l, W_l) of teacher and student for normalised images (B, 3, H, W)."""
        teacher = self.teacher(images)
        return teacher, self.student(teacher)

    @torch.no_grad()
    def cosine_map(self, images: Tensor) -> Tensor:
        """Return how far the student is from the teacher, summed over levels, (B, H / 4, W / 4) of (B, 3, H, W)."""
        combined: Tensor = self.map_of(cell_distances(*self.pyramids(images)))
        return combined

    def score(self, batch: Tensor) -> Tensor:  # noqa: D102
        return self.cosine_map(batch)


class ReverseDistillationPhase(PairPhase):
    """Trains teacher and student with an optimiser each; the expert stays as it is.

    A step: expert without gradient; teacher in training mode on the clean and then on the anomalous batch, its update;
    updated teacher in evaluation mode without gradient; student in training mode on both, its update
    (docs/methods/urd.md#order-of-a-step). A tile and its anomalous twin share the augmentation.
    """

    name = "distillation"

    def __init__(self, detector: Urd, tiles: TrainingTiles, augmentation: PairAugmentationSettings | None) -> None:
        settings = detector.settings
        self.expert, self.teacher, self.student = detector.backbone, detector.teacher, detector.student
        super().__init__(
            steps=settings.steps,
            batch_size=settings.batch_size,
            make=PairMaker(tiles.train, settings.synthesis, augmentation),
            optimisers={
                "teacher": _adam(self.teacher, settings.teacher_learning_rate, settings.adam_betas),
                "student": _adam(self.student, settings.student_learning_rate, settings.adam_betas),
            },
            stopping=EarlyStopping(
                settings.early_stop,
                {"teacher": self.teacher, "student": self.student},
                PairMaker(tiles.validation, settings.synthesis),
                detector.cosine_map,
            ),
        )

    def learn(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        clean, anomalous = pairs.clean(), pairs.anomalous()
        with arithmetic():
            expert_clean, expert_anomalous = self.expert.pyramid(clean), self.expert.pyramid(anomalous)
        masks = pairs.level_masks([(level.shape[2], level.shape[3]) for level in expert_clean])
        self.teacher.train()
        with arithmetic():
            losses = teacher_losses(self.teacher(clean), self.teacher(anomalous), expert_clean, expert_anomalous, masks)
        self.update("teacher", list(losses.values()))
        self.teacher.eval()
        self.student.train()
        with arithmetic():
            with torch.no_grad():
                teacher_clean, teacher_anomalous = self.teacher(clean), self.teacher(anomalous)
            student = self.student(teacher_clean), self.student(teacher_anomalous)
            losses["student"] = student_loss(*student, teacher_clean, expert_clean)
        self.update("student", [losses["student"]])
        return losses


def _adam(module: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=rate, betas=betas)
