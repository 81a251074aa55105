"""Families of backbones: their networks built, read and taken apart."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from seamark.backbones.table import TIMM, PublishedBackbone
from seamark.networks.efficientnet_lite import (
    build_efficientnet_lite0,
    efficientnet_parts,
    fold_batch_norms,
    published_names,
)
from seamark.networks.resnet import build_resnet, fold_resnet, resnet_parts, unread_names
from seamark.networks.timm_models import build_timm, renamed_for_timm, unread_timm
from seamark.networks.vision_transformer import VisionTransformer
from seamark.weights.reading import Renaming


@dataclass(frozen=True)
class Family:
    """What backbones have in common that only differ in their size."""

    build: Callable[[PublishedBackbone], nn.Module]
    """Builds the network with random weights."""
    names: Callable[[nn.Module], Mapping[str, str]] = lambda _: {}
    """Gives the network's state name by the file's, for tensors that are called otherwise in the file of weights."""
    renamed: Renaming | None = None
    """Gives tensors by the network's names where more than names differ."""
    unread: Callable[[PublishedBackbone], Collection[str]] = lambda _: ()
    """Gives the names of the tensors in the file of weights that the network does without."""
    parts: Callable[[nn.Module], Sequence[nn.Sequential]] = lambda _: ()
    """Gives one part of a convolutional network per layer that can be chosen; each takes what the one before gives."""
    fold: Callable[[nn.Module], None] = lambda _: None
    """Folds the batch norms of a convolutional network into the convolutions, in place."""


FAMILIES = {
    "efficientnet_lite": Family(
        build=lambda _: build_efficientnet_lite0(),
        names=published_names,
        parts=efficientnet_parts,
        fold=fold_batch_norms,
    ),
    "resnet": Family(
        build=lambda row: build_resnet(row.name),
        unread=lambda row: unread_names(row.name),
        parts=resnet_parts,
        fold=fold_resnet,
    ),
    "timm": Family(
        build=lambda row: build_timm(row.name.removeprefix(TIMM)),
        renamed=renamed_for_timm,
        unread=lambda row: unread_timm(row.name.removeprefix(TIMM)),
    ),
    "dinov2": Family(build=lambda row: VisionTransformer(row.channels[0], len(row.channels), row.heads)),
}
"""By the name that rows of the table give."""


def build_network(row: PublishedBackbone) -> nn.Module:
    """Build the network of a row of the table with random weights."""
    return FAMILIES[row.family].build(row)
