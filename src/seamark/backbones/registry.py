"""The backbones by name: frozen, pretrained networks with two interfaces, a feature pyramid and a token stack.

``pyramid`` gives one map of features per chosen layer, each on the layer's own grid; ``tokens`` gives all chosen layers
on one grid. docs/backbones.md lists weights and licences. A detector that trains a copy of its backbone gets one from
:func:`load_pyramid`.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from seamark.backbones.base import Backbone, BackboneEntry, Convolutions
from seamark.backbones.convolutional import ConvolutionalBackbone, PyramidNetwork, pyramid_layers
from seamark.errors import ConfigError
from seamark.files.atomic import file_digest
from seamark.networks.efficientnet_lite import (
    build_efficientnet_lite0,
    efficientnet_parts,
    fold_batch_norms,
    published_names,
)
from seamark.networks.resnet import (
    RESNET18,
    RESNET34,
    RESNET50,
    WIDE_RESNET50_2,
    Architecture,
    ResNet,
    fold_resnet,
    resnet_parts,
    stage_channels,
    unread_names,
)
from seamark.networks.vision_transformer import VisionTransformer
from seamark.weights.finding import find_weights, verify_digest
from seamark.weights.published import BACKBONE_WEIGHTS
from seamark.weights.reading import load_strictly

__all__ = ["BACKBONES", "Backbone", "PyramidNetwork", "load_backbone", "load_pyramid", "pyramid_channels"]


class TransformerBackbone(Backbone):
    """The blocks of a vision transformer: tokens of one width on one grid, class and register tokens left out.

    As a pyramid it gives the same features as maps, all on the token grid.
    """

    def __init__(self, entry: BackboneEntry, network: nn.Module, digest: str, chosen: tuple[int, ...]) -> None:
        super().__init__(entry, digest, chosen, entry.channels[0])
        self.network = network

    def _features(self, batch: Tensor) -> list[Tensor]:
        grid = self.grid_shape(*batch.shape[2:])
        return [tokens.transpose(1, 2).unflatten(2, grid) for tokens in self.network(batch, self.chosen)]


def _dinov2(size: str, embed_dim: int, depth: int, heads: int, layers: Sequence[int]) -> BackboneEntry:
    """Return the entry of a DINOv2 with registers; ``size`` is s, b or l."""
    name = f"dinov2_vit{size}14_reg"
    return BackboneEntry(
        name=name,
        build=partial(VisionTransformer, embed_dim, depth, heads),
        wrap=TransformerBackbone,
        weights=BACKBONE_WEIGHTS[name],
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        strides=(14,) * depth,
        channels=(embed_dim,) * depth,
        layers=tuple(layers),
    )


def _resnet(name: str, architecture: Architecture) -> BackboneEntry:
    """Return the entry of a ResNet."""
    return BackboneEntry(
        name=name,
        build=partial(ResNet, architecture),
        wrap=ConvolutionalBackbone,
        convolutions=Convolutions(resnet_parts, fold_resnet),
        weights=BACKBONE_WEIGHTS[name],
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        strides=(4, 8, 16),
        channels=stage_channels(architecture)[:3],
        layers=(1, 2),
        unread=unread_names,
    )


_EFFICIENTNET_LITE0 = BackboneEntry(
    name="efficientnet_lite0",
    build=build_efficientnet_lite0,
    names=published_names,
    wrap=ConvolutionalBackbone,
    convolutions=Convolutions(efficientnet_parts, fold_batch_norms),
    weights=BACKBONE_WEIGHTS["efficientnet_lite0"],
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
    strides=(2, 4, 8, 16, 32),
    channels=(16, 24, 40, 112, 320),
    layers=(2, 3),
    lengths=(23.0, 39.8, 44.6, 58.0, 50.1),
)

BACKBONES: dict[str, BackboneEntry] = {
    entry.name: entry
    for entry in (
        _EFFICIENTNET_LITE0,
        _dinov2("s", 384, 12, 6, range(2, 10)),
        _dinov2("b", 768, 12, 12, range(2, 10)),
        _dinov2("l", 1024, 24, 16, range(4, 19, 2)),
        _resnet("resnet18", RESNET18),
        _resnet("resnet34", RESNET34),
        _resnet("resnet50", RESNET50),
        _resnet("wide_resnet50_2", WIDE_RESNET50_2),
    )
}
"""All backbones by name."""


def _chosen_layers(entry: BackboneEntry, layers: Sequence[int] | None) -> tuple[int, ...]:
    chosen = entry.layers if layers is None else tuple(layers)
    count = len(entry.strides)
    if not chosen or list(chosen) != sorted(set(chosen)) or min(chosen) < 0 or max(chosen) >= count:
        raise ConfigError(
            f"{entry.name}: layers {list(chosen)}; expected increasing numbers within 0..{count - 1}, "
            f"for example {list(entry.layers)}"
        )
    return chosen


def load_backbone(
    name: str, weights: str | Path = "pretrained", layers: Sequence[int] | None = None, seed: int = 0
) -> Backbone:
    """Build a frozen backbone and load its weights.

    Parameters
    ----------
    name : str
        Name in :data:`BACKBONES`.
    weights : str or Path
        ``pretrained`` (the published weights, found and verified), ``download`` (the same, fetched when missing),
        ``random`` (for tests), or the path of a file, whose names and shapes must agree with the network's; a file
        given by path may be one of your own, so its digest is noted and not compared.
    layers : sequence of int, optional
        Layers to give, 0-based and increasing; None for the backbone's own choice.
    seed : int
        Seed of random weights.

    Returns
    -------
    Backbone
        On the CPU, in evaluation mode, without gradients.

    Raises
    ------
    ConfigError
        If the name or a layer does not exist.
    WeightsError
        If the weights are missing, damaged or of another network.
    """
    entry = _entry(name)
    chosen = _chosen_layers(entry, layers)
    return entry.wrap(entry, *_weighted(entry, weights, seed), chosen).freeze()


def load_pyramid(name: str, weights: str | Path = "pretrained", seed: int = 0) -> tuple[Backbone, PyramidNetwork]:
    """Build a convolutional network twice: frozen and to be trained, both with levels at strides 4, 8 and 16.

    Both give the same features at first, but for rounding: the frozen one has its batch norms folded, and it gets no
    mirrored margin here.

    Parameters
    ----------
    name : str
        Name in :data:`BACKBONES` of a convolutional network.
    weights : str or Path
        As for :func:`load_backbone`.
    seed : int
        Seed of random weights.

    Returns
    -------
    Backbone
        The frozen one.
    PyramidNetwork
        The one to be trained, in training mode.

    Raises
    ------
    ConfigError
        If the name does not exist or is no convolutional network's.
    WeightsError
        If the weights are missing, damaged or of another network.
    """
    entry = _entry(name)
    chosen = pyramid_layers(entry)
    network, digest = _weighted(entry, weights, seed)
    trained = PyramidNetwork(entry, deepcopy(network))
    return ConvolutionalBackbone(entry, network, digest, chosen, margin=False).freeze(), trained


def pyramid_channels(name: str) -> tuple[int, int, int]:
    """Return the channels of a convolutional backbone at strides 4, 8 and 16.

    Raises
    ------
    ConfigError
        If the name does not exist or is no convolutional network's.
    """
    entry = _entry(name)
    first, second, third = (entry.channels[layer] for layer in pyramid_layers(entry))
    return first, second, third


def _entry(name: str) -> BackboneEntry:
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name]


def _weighted(entry: BackboneEntry, weights: str | Path, seed: int) -> tuple[nn.Module, str]:
    return _random(entry, seed) if str(weights) == "random" else _trained(entry, weights)


def _random(entry: BackboneEntry, seed: int) -> tuple[nn.Module, str]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return entry.build(), "random"


def _trained(entry: BackboneEntry, weights: str | Path) -> tuple[nn.Module, str]:
    path = find_weights(entry.weights, weights)
    published = str(weights) in ("pretrained", "download")
    digest = verify_digest(path, entry.weights) if published else file_digest(path)
    with torch.device("meta"):
        network = entry.build()
    load_strictly(network, path, entry.names(network), entry.unread(network))
    return network, digest
