"""Anomalib's own models and AUPRO, called from its package as ``beside_anomalib.py`` times them.

Models are built without pre- and post-processing, evaluator and visualizer and with random weights; they get an image
that is normalised already and give a map of its size. A training step is the model's own ``training_step`` and its own
optimiser, with the trainer's gradient clipping but without Lightning's trainer around them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from seamark_models import TimedModel
from torch import Tensor, nn

from seamark.networks.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()  # before timm and anomalib import torchvision

import timm  # noqa: E402
from anomalib.data import ImageBatch  # type: ignore[import-not-found]  # noqa: E402
from anomalib.data.utils.tiler import Tiler  # type: ignore[import-not-found]  # noqa: E402
from anomalib.metrics import AUPRO  # type: ignore[import-not-found]  # noqa: E402
from anomalib.models import EfficientAd, InpFormer, ReverseDistillation  # type: ignore[import-not-found]  # noqa: E402
from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # type: ignore[import-not-found]  # noqa: E402
from lightning import Trainer  # type: ignore[import-not-found]  # noqa: E402

PLAIN = {"post_processor": False, "evaluator": False, "visualizer": False}
STEPS = 1000
"""Steps of a training, which some optimisers want to know."""


def aupro(maps: Tensor, truths: Tensor, limit: float) -> float:
    """Return AUPRO of maps (N, H, W) and truths (N, H, W) up to a false positive rate."""
    metric = AUPRO(fields=["anomaly_map", "gt_mask"], fpr_limit=limit)
    images = torch.zeros(len(maps), 3, *maps.shape[1:])
    metric.update(ImageBatch(image=images, anomaly_map=maps, gt_mask=truths))
    return float(metric.compute())


def reverse_distillation(backbone: str, side: int, batch: int) -> TimedModel:
    """Return reverse distillation; its bottleneck and decoder follow anomalib's rules for the backbone."""
    sized = ReverseDistillation.configure_pre_processor((side, side))
    model = ReverseDistillation(backbone=backbone, pre_trained=False, pre_processor=sized, **PLAIN)
    return _timed(model, side, batch)


def inp_former(encoder: str, side: int, batch: int) -> TimedModel:
    """Return INP-Former; it has no setting for random weights, so timm is kept from looking for trained ones."""

    def untrained(name: str, *arguments: Any, **named: Any) -> nn.Module:
        return create(name, *arguments, **(named | {"pretrained": False}))

    create: Callable[..., nn.Module] = timm.create_model
    with patch("timm.create_model", untrained):
        model = InpFormer(encoder_name=encoder, pre_processor=False, **PLAIN)
    return _timed(model, side, batch)


def efficientad(side: int) -> TimedModel:
    """Return EfficientAD-S; its training step wants ImageNette, so its network gets the penalty image from here."""
    whole = EfficientAd(pre_processor=False, **PLAIN)
    model = whole.model
    _set_statistics(model)
    trained = [*model.student.parameters(), *model.ae.parameters()]
    optimiser = torch.optim.Adam(trained, lr=1e-4, weight_decay=1e-5)
    images, penalty = torch.rand(1, 3, side, side), torch.rand(1, 3, side, side)

    def step() -> Tensor:
        model.train()
        optimiser.zero_grad()
        loss: Tensor = sum(model(images, penalty))
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        optimiser.step()
        return loss.detach()

    return TimedModel(partial(_map_of, model, images), step, sum(tensor.numel() for tensor in trained))


def patchcore(tile: int, stride: int, shape: tuple[int, int], bank: Tensor, trained: int) -> TimedModel:
    """Return PatchCore on EfficientNet-Lite0 with its own tiler; a step is a training on one picture.

    Pictures have ``shape`` (height, width); ``bank`` (M, D) is what scoring searches.
    """
    model = PatchcoreModel(backbone="tf_efficientnet_lite0", pre_trained=False, layers=["blocks.2", "blocks.4"])
    model.tiler = Tiler(tile_size=tile, stride=stride)
    images = torch.rand(1, 3, *shape)

    @torch.inference_mode()
    def score() -> object:
        model.memory_bank = bank
        return _map_of(model, images)

    @torch.inference_mode()
    def train() -> None:
        model.train()
        model.feature_extractor.eval()
        model.subsample_embedding(trained / len(model(images)))

    return TimedModel(score, train, 0)


def _set_statistics(model: nn.Module) -> None:
    """Give the teacher's features standard deviation 1 and the maps quantiles 0 and 0.1, as a training would."""
    values = {"mean_std.std": 1.0, "quantiles.qb_st": 0.1, "quantiles.qb_ae": 0.1}
    state = model.state_dict()
    model.load_state_dict(state | {name: torch.full_like(state[name], value) for name, value in values.items()})


def _timed(model: Any, side: int, batch: int) -> TimedModel:
    optimiser, clip = _optimiser(model), model.trainer_arguments.get("gradient_clip_val")
    trained = [tensor for group in optimiser.param_groups for tensor in group["params"]]
    images = torch.rand(batch, 3, side, side)

    def step() -> Tensor:
        model.train()
        optimiser.zero_grad()
        loss: Tensor = model.training_step(ImageBatch(image=images))["loss"]
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        if clip:
            nn.utils.clip_grad_norm_(trained, clip)
        optimiser.step()
        return loss.detach()

    return TimedModel(partial(_map_of, model.model, images[:1]), step, sum(tensor.numel() for tensor in trained))


def _optimiser(model: Any) -> torch.optim.Optimizer:
    """Return the model's own optimiser; a trainer is lent to it for the length of its training."""
    model.trainer = Trainer(max_steps=STEPS, accelerator="cpu", logger=False, enable_checkpointing=False)
    made = model.configure_optimizers()
    model.trainer = None
    if isinstance(made, torch.optim.Optimizer):
        return made
    found: torch.optim.Optimizer = made["optimizer"] if isinstance(made, dict) else made[0][0]
    return found


@torch.inference_mode()
def _map_of(model: nn.Module, image: Tensor) -> Tensor:
    if model.training:
        model.eval()
    anomaly_map: Tensor = model(image).anomaly_map
    return anomaly_map
