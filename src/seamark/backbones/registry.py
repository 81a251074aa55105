"""The backbones by name: frozen, pretrained networks with two interfaces, a feature pyramid and a token stack.

``pyramid`` gives one map of features per chosen layer, each on the layer's own grid; ``tokens`` gives all chosen layers
on one grid. docs/backbones.md lists weights and licences. A detector that trains a copy of its backbone gets one from
:func:`load_pyramid`.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from seamark.backbones.base import Backbone
from seamark.backbones.convolutional import ConvolutionalBackbone, PyramidNetwork
from seamark.backbones.families import FAMILIES, build_network
from seamark.backbones.table import BACKBONES, TIMM, PublishedBackbone, published_backbone, timm_backbone
from seamark.backbones.timm_backbones import TimmLevels, TimmPyramid, TimmTokens
from seamark.files.atomic import file_digest
from seamark.networks.timm_models import describe
from seamark.networks.vision_transformer import VisionTransformer
from seamark.weights.finding import find_weights, is_published, verify_digest
from seamark.weights.reading import load_strictly

__all__ = ["BACKBONES", "Backbone", "PyramidNetwork", "load_backbone", "load_pyramid"]


class TransformerBackbone(Backbone):
    """The blocks of a vision transformer: tokens of one width on one grid, class and register tokens left out.

    As a pyramid it gives the same features as maps, all on the token grid.
    """

    def __init__(self, row: PublishedBackbone, network: nn.Module, digest: str, chosen: tuple[int, ...]) -> None:
        super().__init__(row, digest, chosen, row.channels[0])
        self.network = cast("VisionTransformer", network)

    def _features(self, batch: Tensor) -> list[Tensor]:
        grid = self.grid_shape(*batch.shape[2:])
        blocks = self.network.block_outputs(batch, self.chosen)
        return [tokens.transpose(1, 2).reshape(batch.shape[0], -1, *grid) for tokens in blocks]


def load_backbone(
    name: str, weights: str | Path = "pretrained", layers: Sequence[int] | None = None, seed: int = 0
) -> Backbone:
    """Build a frozen backbone and load its weights.

    Parameters
    ----------
    name : str
        Name in the table, or ``timm:<name>`` for a model of timm.
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
    row = _row(name)
    chosen = row.chosen(layers)
    network, digest = _weighted(row, weights, seed)
    wrap: Callable[[PublishedBackbone, nn.Module, str, tuple[int, ...]], Backbone] = ConvolutionalBackbone
    if row.family == "timm":
        wrap = TimmTokens if row.one_grid else TimmLevels
    elif isinstance(network, VisionTransformer):
        wrap = TransformerBackbone
    return _frozen(wrap(row, network, digest, chosen), row)


def load_pyramid(name: str, weights: str | Path = "pretrained", seed: int = 0) -> tuple[Backbone, PyramidNetwork]:
    """Build a convolutional network twice: frozen and to be trained, both with levels at strides 4, 8 and 16.

    Both give the same features at first, but for rounding: the frozen one has its batch norms folded, and it gets no
    mirrored margin here. Weights are given as for :func:`load_backbone`.

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
    row = _row(name)
    chosen = row.pyramid_layers
    network, digest = _weighted(row, weights, seed)
    levels, pyramid = (TimmLevels, TimmPyramid) if row.family == "timm" else (ConvolutionalBackbone, PyramidNetwork)
    trained = pyramid(row, deepcopy(network))
    return _frozen(levels(row, network, digest, chosen, margin=False), row), trained


def _row(name: str) -> PublishedBackbone:
    """Return the row of a backbone; timm is here, so nobody else need be asked about its models."""
    if name.startswith(TIMM):
        return timm_backbone(name, describe(name.removeprefix(TIMM)))
    return published_backbone(name)


def _frozen(backbone: Backbone, row: PublishedBackbone) -> Backbone:
    backbone.verified = row.weights.sha256 is not None and backbone.digest.startswith(row.weights.sha256)
    return backbone.freeze()


def _weighted(row: PublishedBackbone, weights: str | Path, seed: int) -> tuple[nn.Module, str]:
    """Return the network with its weights, and their digest."""
    if str(weights) == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_network(row), "random"
    path = find_weights(row.weights, weights)
    digest = verify_digest(path, row.weights) if is_published(weights) else file_digest(path)
    with torch.device("meta"):
        network = build_network(row)
    family = FAMILIES[row.family]
    load_strictly(network, path, family.names(network), family.unread(row), called=row.name, renamed=family.renamed)
    return network, digest
