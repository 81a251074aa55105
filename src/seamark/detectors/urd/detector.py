"""URD: a teacher learns to see synthetic anomalies, a student rebuilds the clean features from what the teacher sees.

Paper: Unlocking the Potential of Reverse Distillation for Anomaly Detection, AAAI 2025 (URD specification, sections 1
and 2). Three networks: a frozen expert, a teacher that starts as its copy and is trained, a student that is trained.
Equations: networks (2.2), guided information injection (2.3), losses (2.4), order of a step (2.5), map (2.6).
Reference: hito2448/URD at 95dd027 (no licence file); written from a specification.

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

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from seamark.backbones.registry import Backbone, load_pyramid
from seamark.detectors.feature_distances import DistanceMap, cell_distances, student_loss, teacher_losses
from seamark.detectors.urd.guided_injection import Student
from seamark.learning.anomalous_pairs import PairBatch, PairMaker
from seamark.learning.batches import Batch, TileReader, TrainingTiles
from seamark.learning.detector import Detector
from seamark.learning.early_stopping import EarlyStopping
from seamark.learning.phases import Arithmetic, Phase, SteppedPhase
from seamark.networks.reverse_distillation import check_sides, has_negatives
from seamark.settings.anomalous_pairs import PairAugmentationSettings
from seamark.settings.training import DetectorSettings
from seamark.settings.urd import UrdSettings


class Urd(Detector):
    """Expert, teacher and student over a pyramid of three levels."""

    Settings = UrdSettings

    def __init__(self, settings: UrdSettings, tile_shape: tuple[int, int], seed: int) -> None:
        check_sides("urd", tile_shape)
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


class ReverseDistillationPhase(SteppedPhase):
    """Trains teacher and student with an optimiser each; the expert stays as it is.

    A step: expert without gradient; teacher in training mode on the clean and then on the anomalous batch, its update;
    updated teacher in evaluation mode without gradient; student in training mode on both, its update (URD specification
    section 2.5).

    Parameters
    ----------
    detector : Urd
        What is trained.
    tiles : TrainingTiles
        Defect-free tiles.
    augmentation : PairAugmentationSettings or None
        What a tile and its anomalous twin share.
    """

    name = "distillation"

    def __init__(self, detector: Urd, tiles: TrainingTiles, augmentation: PairAugmentationSettings | None) -> None:
        settings = detector.settings
        self.expert, self.teacher, self.student = detector.backbone, detector.teacher, detector.student
        self.detector, self.steps, self.batch_size = detector, settings.steps, settings.batch_size
        self.make = PairMaker(tiles.train, settings.synthesis, augmentation)
        self.optimisers = {
            "teacher": _adam(self.teacher, settings.teacher_learning_rate, settings.adam_betas),
            "student": _adam(self.student, settings.student_learning_rate, settings.adam_betas),
        }
        self.stopping = EarlyStopping(
            settings.early_stop,
            {"teacher": self.teacher, "student": self.student},
            PairMaker(tiles.validation, settings.synthesis),
            detector.cosine_map,
        )

    def batch(self, reader: TileReader, step: int, tiles: Sequence[int]) -> Batch:  # noqa: D102, ARG002
        return PairBatch(self.make, self.name, step, tiles)

    def step(self, batch: Batch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        pairs = cast("PairBatch", batch)
        clean, anomalous = pairs.clean(), pairs.anomalous()
        with arithmetic():
            expert_clean, expert_anomalous = self.expert.pyramid(clean), self.expert.pyramid(anomalous)
        masks = pairs.level_masks([(level.shape[2], level.shape[3]) for level in expert_clean])
        self.teacher.train()
        with arithmetic():
            losses = teacher_losses(self.teacher(clean), self.teacher(anomalous), expert_clean, expert_anomalous, masks)
        self._update("teacher", torch.stack(list(losses.values())).sum())
        self.teacher.eval()
        self.student.train()
        with arithmetic():
            with torch.no_grad():
                teacher_clean, teacher_anomalous = self.teacher(clean), self.teacher(anomalous)
            student = self.student(teacher_clean), self.student(teacher_anomalous)
            losses["student"] = student_loss(*student, teacher_clean, expert_clean)
        self._update("student", losses["student"])
        self.stopping.after_step(batch.step + 1, self.steps)
        self.stopped = self.stopping.stopped
        return {name: loss.detach() for name, loss in losses.items()} | self.stopping.note()

    def _update(self, name: str, loss: Tensor) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        optimiser.step()

    def state(self) -> dict[str, Any]:  # noqa: D102
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        return {"optimisers": optimisers, "stopping": self.stopping.state()}

    def load(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.stopping.load(state["stopping"])

    def finish(self) -> None:  # noqa: D102
        self.stopping.restore_best()


def _adam(module: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=rate, betas=betas)
