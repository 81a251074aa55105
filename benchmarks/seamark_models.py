"""Seamark's detectors as ``beside_anomalib.py`` times them: one tile, random weights, paper settings, nothing kept.

Scoring is what the infer and the merge stage do with a tile: from a normalised tile to a map of the tile's size. A
training step is what the train stage does with a batch whose tiles are read and augmented already.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seamark.detectors.aand.detector import Aand
from seamark.detectors.efficientad.detector import EfficientAd
from seamark.detectors.feature_bank import BankPhase, FeatureBank
from seamark.detectors.inp_former.detector import InpFormer
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.learning.detector import Detector
from seamark.learning.phases import SteppedPhase
from seamark.maps.merging import merge_tiles
from seamark.settings.aand import AandSettings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.settings.grid import GridSettings
from seamark.settings.inp_former import InpFormerSettings
from seamark.settings.merge import MergeSettings
from seamark.tiles.geometry import tile_boxes

FIRST_STEP = 200
"""A step behind every warm-up."""


@dataclass(frozen=True)
class TimedModel:
    """What is timed of a model."""

    score: Callable[[], object]
    """Scores one normalised image."""
    step: Callable[[], object]
    """Makes a training step on a batch."""
    trained: int
    """Numbers that the training changes."""


def reverse_distillation(backbone: str, side: int, batch: int) -> TimedModel:
    """Return plain reverse distillation: AAND without amplification and without the loss of hard cells."""
    settings = AandSettings(
        backbone=backbone, weights="random", amplification=None, hard_cells=0, align_corners=False, batch_size=batch
    )
    detector = Aand(settings, (side, side), seed=0)
    return _timed(detector, MergeSettings(smooth_sigma_px=0.0), batch)


def efficientad(side: int) -> TimedModel:
    """Return EfficientAD-S with the penalty of the paper, the student's features on other photographs."""
    settings = EfficientAdSettings(teacher="random", penalty="images")
    return _timed(EfficientAd(settings, (side, side), seed=0), MergeSettings(smooth_sigma_px=0.0), 1)


def inp_former(backbone: str, side: int, batch: int) -> TimedModel:
    """Return INP-Former."""
    settings = InpFormerSettings(backbone=backbone, weights="random", batch_size=batch)
    return _timed(InpFormer(settings, (side, side), seed=0), MergeSettings(), batch)


def feature_bank(tile: int, overlap: float, shape: tuple[int, int], bank: Tensor, trained: int) -> TimedModel:
    """Return the bank on EfficientNet-Lite0 with the default's layers; a step is a training on one picture.

    Pictures have ``shape`` (height, width); ``bank`` (M, D) is what scoring searches.
    """
    grid = GridSettings(layout="even", window_px=tile, overlap=overlap, input_px=tile)
    boxes = tile_boxes(shape[1], shape[0], grid)
    settings = FeatureBankSettings(backbone="efficientnet_lite0", weights="random", layers=(2, 3), bank_size=trained)
    detector = FeatureBank(settings, (tile, tile), seed=0)
    reader = TileReader(drawn_tiles(len(boxes), tile), detector.backbone.normalise, "cpu", 0)

    @torch.inference_mode()
    def score() -> object:
        detector.bank = bank
        scores = torch.cat([detector.score(reader.images([reader.pixels(row)])) for row in range(len(boxes))]).numpy()
        return merge_tiles(scores, boxes, detector.cells, (tile, tile), image_shape=shape, settings=MergeSettings())

    @torch.inference_mode()
    def train() -> None:
        BankPhase(detector).run(TrainingTiles(reader, reader), lambda items, _: items)

    return TimedModel(score, train, 0)


def drawn_tiles(count: int, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return tiles (count, side, side, 3) of noise."""
    return np.random.default_rng(0).normal(128, 30, (count, side, side, 3)).clip(0, 255).astype(np.uint8)


def _timed(detector: Detector, merge: MergeSettings, batch: int) -> TimedModel:
    side = detector.tile_shape[0]
    reader = TileReader(drawn_tiles(batch, side), detector.backbone.normalise, "cpu", 0)
    phase = next(phase for phase in detector.phases(TrainingTiles(reader, reader)) if isinstance(phase, SteppedPhase))
    ready = phase.batch(reader, FIRST_STEP, range(batch)).prepare()
    image = reader.images([reader.pixels(0)])

    def step() -> object:
        detector.train()
        return phase.step(ready, nullcontext)

    return TimedModel(
        lambda: _map_of(detector.eval() if detector.training else detector, image, merge),
        step,
        sum(tensor.numel() for name, tensor in detector.named_parameters() if not name.startswith("backbone.")),
    )


@torch.inference_mode()
def _map_of(detector: Detector, image: Tensor, merge: MergeSettings) -> object:
    height, width = detector.tile_shape
    scores = detector.score(image).numpy()
    return merge_tiles(
        scores,
        [(0, 0, width, height)],
        detector.cells,
        detector.tile_shape,
        image_shape=detector.tile_shape,
        settings=merge,
    )
