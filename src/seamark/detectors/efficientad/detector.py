"""EfficientAD with collaborative discrepancy optimisation: a student that predicts a teacher, and an autoencoder.

Paper: Batzner et al., EfficientAD: Accurate Visual Anomaly Detection at Millisecond-Level Latencies, WACV 2024; the
loss on noise patches is that of Cao et al., Collaborative Discrepancy Optimization, IEEE TII 2023, as a thesis
(Politecnico di Torino 2025) brings it to EfficientAD.
Equations: docs/methods/efficientad.md#networks, docs/methods/efficientad.md#teacher-statistics,
docs/methods/efficientad.md#losses, docs/methods/efficientad.md#map-normalisation, docs/methods/efficientad.md#scoring.
Reference: nelson1425/EfficientAD at fcab514 (Apache-2.0), caoyunkang/CDO at b4d6f3a (MIT); written from formulas alone.
The code of the thesis is not published.

parity: cells that see a patch beside their middle are ignored (ring); maps lie where the cells do (exact_centres).
parity: the weights of the last step are kept, nothing is chosen on test images.
parity: changes of appearance come after resizing, which differs by rounding.
parity: L_CDO compares normalised features of the teacher, because that is what the student predicts.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from seamark.backbones.pdn import PdnTeacher, load_teacher
from seamark.backbones.registry import Backbone
from seamark.detectors.efficientad.autoencoder import Autoencoder, FoldedAutoencoder
from seamark.detectors.efficientad.folded_networks import FoldedNetworks
from seamark.detectors.efficientad.training import RISE, LearningPhase, QuantilesPhase, StatisticsPhase
from seamark.learning.batches import TrainingTiles
from seamark.learning.detector import ComponentDetector
from seamark.learning.phases import Phase
from seamark.manifests.tilemaps import CellGeometry
from seamark.networks.pdn import CENTRE, MARGIN_CELLS, STRIDE, Pdn, pdn_layers
from seamark.networks.plain_form import in_plain_form
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.training import DetectorSettings

REFERENCE_SHIFT_PX = 1.5
"""How far the reference's resizing moves a map down and right, in tile px."""


class EfficientAd(ComponentDetector):
    """Teacher, student and autoencoder."""

    Settings = EfficientAdSettings
    components = ("student", "autoencoder")
    backbone: PdnTeacher
    teacher_mean: Tensor
    teacher_std: Tensor
    map_quantiles: Tensor

    def __init__(self, settings: EfficientAdSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        self.grid = self.map_shape
        self.margin = MARGIN_CELLS if settings.border == "zeros" else 0
        self.map_shape = (self.grid[0] + 2 * self.margin, self.grid[1] + 2 * self.margin)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.student = Pdn(pdn_layers(settings.network, 2 * settings.channels, settings.width))
            self.autoencoder = Autoencoder(settings.channels)
        self.register_buffer("teacher_mean", torch.zeros(settings.channels))
        self.register_buffer("teacher_std", torch.ones(settings.channels))
        self.register_buffer("map_quantiles", torch.tensor([[0.0, RISE]] * len(self.components)))
        self._folded: tuple[FoldedNetworks, FoldedAutoencoder] | None = None

    def _load_backbone(self, settings: DetectorSettings) -> Backbone:
        chosen = cast("EfficientAdSettings", settings)
        return load_teacher(chosen.teacher, chosen, self.seed)

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:  # noqa: D102
        return [StatisticsPhase(self), LearningPhase(self, tiles), QuantilesPhase(self, tiles)]

    @torch.no_grad()
    def teacher_features(self, images: Tensor) -> Tensor:
        """Return normalised features of the teacher (B, C, h, w) for normalised images (B, 3, H, W)."""
        features = self.backbone.pyramid(images)[0]
        return (features - self.teacher_mean.view(1, -1, 1, 1)) / self.teacher_std.view(1, -1, 1, 1)

    @torch.no_grad()
    def raw_maps(self, images: Tensor) -> Tensor:
        """Return the student's and the autoencoder's map (B, 2, h, w), without border and not normalised."""
        networks, autoencoder = self._networks()
        difference, prediction = networks(images)
        rebuilt = autoencoder(images, self.grid)
        if self.settings.autoencoder_map == "teacher":
            prediction = self.teacher_features(images)
        return torch.stack([difference.square().mean(dim=1), (rebuilt - prediction).square().mean(dim=1)], dim=1)

    def _networks(self) -> tuple[FoldedNetworks, FoldedAutoencoder]:
        """Return the networks as they score; the plain form is not kept."""
        if self._folded is not None and not in_plain_form():
            return self._folded
        networks = FoldedNetworks(self.backbone.network, self.student, self.teacher_mean, self.teacher_std)
        folded = networks, FoldedAutoencoder(self.autoencoder)
        self._folded = None if in_plain_form() else folded
        return folded

    def component_scores(self, batch: Tensor) -> Tensor:  # noqa: D102
        lower, span = self.map_quantiles.unbind(dim=1)
        maps = (self.raw_maps(batch) - lower.view(1, -1, 1, 1)) * (RISE / span).view(1, -1, 1, 1)
        return functional.pad(maps, (self.margin,) * 4)

    @property
    def cells(self) -> CellGeometry:
        """Where the cells lie: the first one around pixel 16, with a border of zeros around pixel 0."""
        first = CENTRE - STRIDE * self.margin + 0.5 + (0.0 if self.settings.exact_centres else REFERENCE_SHIFT_PX)
        return CellGeometry(stride_px=(float(STRIDE), float(STRIDE)), offset_px=(first, first))

    def load(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        super().load(state)
        self._folded = None

    def train(self, mode: bool = True) -> "EfficientAd":
        """Switch between training and scoring, for which networks are folded anew with the weights they then have."""
        super().train(mode)
        self._folded = None
        return self
