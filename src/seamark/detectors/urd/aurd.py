"""AURD: URD under augmented light and placement, with a segmentation network in place of the sum of its maps.

Paper: AURD, an entry to the VAND 3.0 challenge 2025 on MVTec AD 2 (docs/methods/urd.md#aurd).
Equations: docs/methods/urd.md#shared-augmentation, docs/methods/urd.md#segmentation-network,
docs/methods/urd.md#segmentation-losses, docs/methods/urd.md#segmentation-target,
docs/methods/urd.md#segmentation-training.
Reference: no public code; what the paper leaves open follows DeSTSeg, apple/ml-destseg at f6ea31f (Apple's sample
licence), or is our own choice. Written from formulas alone.

parity: the paper names no strength of the augmentation, no input of the segmentation network, no momentum, no split of
the steps and no rule for early stopping; the defaults are DeSTSeg's or our own choice.
parity: the input is the product of the features of teacher and student; DeSTSeg takes its negative, which the first
convolution learns as well.
parity: probabilities come at a quarter of the tile's sides; the merge stage interpolates them to the image, where its
cells are, and aligns no corners.
parity: AURD's text puts the guided injection before the bottleneck; it sits between the stages of the decoder, as URD's
released code has it.
parity: all else as in URD.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seamark.detectors.feature_distances import cell_distances
from seamark.detectors.urd.detector import ReverseDistillationPhase, Urd
from seamark.detectors.urd.segmentation import SegmentationNetwork, distance_stack, feature_products
from seamark.errors import DataError
from seamark.learning.anomalous_pairs import PairBatch, PairMaker
from seamark.learning.batches import TrainingTiles
from seamark.learning.best_weights import EarlyStopping
from seamark.learning.pair_phase import SummedPairPhase
from seamark.learning.phases import Arithmetic, Phase
from seamark.networks.segmentation_network import segmentation_losses
from seamark.settings.aurd import AurdSettings, SegmentationSettings


class Aurd(Urd):
    """URD with shared augmentation and a segmentation network."""

    Settings = AurdSettings

    def __init__(self, settings: AurdSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__(settings, tile_shape, seed)
        self.settings: AurdSettings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.segmentation = self._segmentation(settings.segmentation)

    def _segmentation(self, settings: SegmentationSettings | None) -> SegmentationNetwork | None:
        if settings is None:
            return None
        channels = self.teacher.channels
        return SegmentationNetwork(sum(channels) if settings.input == "product" else len(channels), settings.width)

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:
        """Return distillation, then segmentation, if there is one.

        Raises
        ------
        DataError
            If there is a single training tile, which batch norms cannot train on.
        """
        if len(tiles.train) < 2:
            raise DataError("aurd: one training tile; it trains on at least 2: add images")
        distillation = ReverseDistillationPhase(self, tiles, self.settings.augmentation)
        if self.segmentation is None or self.settings.segmentation is None:
            return [distillation]
        return [distillation, SegmentationPhase(self, self.segmentation, self.settings.segmentation, tiles)]

    def segmentation_input(self, images: Tensor) -> Tensor:
        """Return what the segmentation network sees (B, C, H / 4, W / 4) of normalised images (B, 3, H, W)."""
        pyramids, settings = self.pyramids(images), self.settings.segmentation
        if settings is not None and settings.input == "cosine":
            return distance_stack(cell_distances(*pyramids), self.map_shape)
        return feature_products(*pyramids, self.map_shape)

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:  # noqa: D102
        if self.segmentation is None:
            return self.cosine_map(batch)
        return torch.sigmoid(self.segmentation(self.segmentation_input(batch)))


class SegmentationPhase(SummedPairPhase):
    """Trains the segmentation network on synthetic anomalies; teacher and student only score."""

    name = "segmentation"

    def __init__(
        self, detector: Aurd, network: SegmentationNetwork, own: SegmentationSettings, tiles: TrainingTiles
    ) -> None:
        settings = detector.settings
        self.detector, self.network, self.focal_gamma = detector, network, own.focal_gamma
        super().__init__(
            steps=own.steps,
            batch_size=settings.batch_size,
            make=PairMaker(tiles.train, settings.synthesis, settings.augmentation),
            optimisers={
                "segmentation": torch.optim.SGD(
                    network.parameters(), lr=own.learning_rate, momentum=own.momentum, weight_decay=own.weight_decay
                )
            },
            stopping=EarlyStopping(
                own.early_stop,
                {"segmentation": network},
                PairMaker(tiles.validation, settings.synthesis),
                detector.score,
            ),
        )

    def losses(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        self.detector.eval()
        with arithmetic():
            with torch.no_grad():
                features = self.detector.segmentation_input(pairs.anomalous())
            logits = self.network.train()(features).float()
        return segmentation_losses(logits, pairs.quarter_masks(), self.focal_gamma)
