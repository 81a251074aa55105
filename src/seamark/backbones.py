"""Frozen backbones and their two interfaces: a feature pyramid and a token stack.

A backbone is chosen by name and never trained. ``pyramid`` gives one map of features per chosen layer, each on the
layer's own grid; ``tokens`` gives all chosen layers on one grid. docs/backbones.md lists weights and licences.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from seamark.artifacts import file_digest
from seamark.backbone_weights import BACKBONE_WEIGHTS
from seamark.efficientnet_lite import build_efficientnet_lite0, fold_batch_norms, margin_px, published_names, stages
from seamark.errors import ConfigError, DataError
from seamark.vision_transformer import VisionTransformer
from seamark.weights import load_strictly
from seamark.weights_files import WeightsSource, find_weights, verify_digest


@dataclass(frozen=True)
class BackboneEntry:
    """One row of the registry: how to build a backbone, and what its input and weights are."""

    name: str
    build: Callable[[], nn.Module]
    """Builds the whole published network with random weights."""
    wrap: Callable[["BackboneEntry", nn.Module, str, tuple[int, ...]], "Backbone"]
    """Makes a backbone of entry, network, digest and chosen layers."""
    weights: WeightsSource
    mean: tuple[float, float, float]
    """Mean of each channel (R, G, B) for intensities in 0..1."""
    std: tuple[float, float, float]
    """Standard deviation of each channel (R, G, B) for intensities in 0..1."""
    strides: tuple[int, ...]
    """Pixels of the input per cell of the grid, for each layer that can be chosen (0-based)."""
    channels: tuple[int, ...]
    """Features per cell of each layer."""
    layers: tuple[int, ...]
    """Layers that are chosen by default, shallow to deep."""
    names: Callable[[nn.Module], Mapping[str, str]] = lambda _: {}
    """Gives the network's state name by the file's, for tensors that are called otherwise in the file of weights."""
    lengths: tuple[float, ...] = ()
    """Typical length of each layer's feature vectors, where a token stack needs them to weigh layers alike."""


class Backbone(nn.Module, ABC):
    """A frozen network that turns tiles into features.

    It is always in evaluation mode, and no parameter of it takes a gradient.

    Attributes
    ----------
    name : str
        Name in the registry.
    digest : str
        SHA-256 of the file of weights, or ``random``.
    verified : bool
        Whether the digest is that of the published file, which random weights and a file of one's own have not.
    embed_dim : int
        Features D per token, a multiple of 8.
    layers : int
        Number of token tensors and of pyramid levels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, entry: BackboneEntry, digest: str, chosen: tuple[int, ...], embed_dim: int) -> None:
        super().__init__()
        self.name = entry.name
        self.digest = digest
        self.verified = entry.weights.sha256 is not None and digest.startswith(entry.weights.sha256)
        self.chosen = chosen
        self.layers = len(chosen)
        self.embed_dim = embed_dim
        self.stride = min(entry.strides[layer] for layer in chosen)
        self.multiple = max(entry.strides[layer] for layer in chosen)
        self.register_buffer("mean", 255.0 * torch.tensor(entry.mean, dtype=torch.float64), persistent=False)
        self.register_buffer("std", 255.0 * torch.tensor(entry.std, dtype=torch.float64), persistent=False)
        self.mean = self.mean.to(torch.float32).view(1, 3, 1, 1)
        self.std = self.std.to(torch.float32).view(1, 3, 1, 1)

    def freeze(self) -> "Backbone":
        """Switch to evaluation mode, detach all parameters from training and return the backbone."""
        self.requires_grad_(False)
        return self.train(False)

    def train(self, mode: bool = True) -> "Backbone":  # noqa: ARG002
        """Stay in evaluation mode: batch statistics would make a tile's features depend on its batch."""
        super().train(False)
        return self

    def normalise(self, tiles: Tensor) -> Tensor:
        """Turn stored tiles into the network's input.

        Parameters
        ----------
        tiles : Tensor
            (B, H, W, C) uint8, C = 1 (grey, repeated) or 3 (R, G, B).

        Returns
        -------
        Tensor
            (B, 3, H, W) float32, channels last in memory: intensities minus mean over standard deviation.

        Raises
        ------
        DataError
            If shape or type is another one.
        """
        if tiles.dtype != torch.uint8 or tiles.ndim != 4 or tiles.shape[3] not in (1, 3):
            raise DataError(
                f"{self.name}: expected tiles (B, H, W, 1 or 3) of uint8, got {tuple(tiles.shape)} of {tiles.dtype}"
            )
        planes = tiles.permute(0, 3, 1, 2).to(torch.float32)
        return ((planes - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of the token grid for an input of this size.

        Parameters
        ----------
        height, width : int
            Size of the input in pixels.

        Returns
        -------
        tuple of int
            Rows h and columns w; a token stack holds N = h * w tokens in row-major order.

        Raises
        ------
        ConfigError
            If a side is not a positive multiple of the coarsest stride.
        """
        for what, side in (("height", height), ("width", width)):
            if side < self.multiple or side % self.multiple:
                below = max(side // self.multiple, 1) * self.multiple
                raise ConfigError(
                    f"{self.name}: input {what} {side} px is not a positive multiple of {self.multiple} px; "
                    f"set the grid's input_px to {below} or {below + self.multiple}"
                )
        return height // self.stride, width // self.stride

    @abstractmethod
    def _features(self, batch: Tensor) -> list[Tensor]:
        """Compute what :meth:`pyramid` returns, for a batch whose size fits."""

    @torch.no_grad()
    def pyramid(self, batch: Tensor) -> list[Tensor]:
        """Return the features of each chosen layer on the layer's own grid.

        On the CPU images go through one by one: it is faster than a batch (twice so for EfficientNet), and features are
        the same to the last bit whatever else is in the batch.

        Parameters
        ----------
        batch : Tensor
            (B, 3, H, W) float32 as :meth:`normalise` gives it.

        Returns
        -------
        list of Tensor
            (B, C_k, H_k, W_k) float32 per chosen layer, shallow to deep, as the network computes them.

        Raises
        ------
        ConfigError
            If the size does not fit, see :meth:`grid_shape`.
        """
        self.grid_shape(*batch.shape[2:])
        parts = torch.split(batch, 1) if batch.device.type == "cpu" else [batch]
        levels = zip(*[self._features(part) for part in parts], strict=True)
        return [torch.cat(level).to(torch.float32) for level in levels]

    @torch.no_grad()
    def tokens(self, batch: Tensor) -> list[Tensor]:
        """Return the features of each chosen layer as tokens on one grid.

        Parameters
        ----------
        batch : Tensor
            (B, 3, H, W) float32 as :meth:`normalise` gives it.

        Returns
        -------
        list of Tensor
            (B, N, D) float32 per chosen layer, shallow to deep; N = h * w in row-major order.

        Raises
        ------
        ConfigError
            If the size does not fit, see :meth:`grid_shape`.
        """
        return [level.flatten(2).transpose(1, 2).contiguous() for level in self.pyramid(batch)]


_LAST_STAGE_OF_LAYER = (0, 1, 2, 4, 6)
"""The last stage of EfficientNet at strides 2, 4, 8, 16 and 32: the deepest features of each resolution."""


class ConvolutionalBackbone(Backbone):
    """The stages of an EfficientNet, usable as a pyramid and as a token stack.

    The layers of a convolutional network differ in grid, width and magnitude, and a detector that averages token layers
    (as those for vision transformers do) would mix channels that have nothing to do with each other. So the stack is
    built as follows. Each chosen layer is interpolated to the finest chosen grid (bilinear, cell centres aligned), is
    multiplied with a constant, and fills a slice of its own in D = sum of C_k channels, with zeros elsewhere. Then

    - a cosine between two tokens of one layer is the cosine of that layer's features, because the zeros and the
      constant cancel;
    - the mean over the layers is the concatenation of the layers divided by their number, so nothing is lost in it;
    - layers weigh alike in the concatenation, because the constants bring tokens of every layer to the typical length
      sqrt(D), which makes single features of order one. The typical length of a layer is the root mean square over
      the tokens of 13 photographs inside scikit-image at 512 px; nothing depends on the data at hand.

    All widths of EfficientNet-Lite0 are multiples of 8, so D is one too and 8 heads divide it without padding.

    The network pads with zeros, which makes tokens at the border of a tile unlike all others. So the input gets a
    mirrored margin, which is cut off the features again.
    """

    def __init__(self, entry: BackboneEntry, network: nn.Module, digest: str, chosen: tuple[int, ...]) -> None:
        widths = [entry.channels[layer] for layer in chosen]
        super().__init__(entry, digest, chosen, sum(widths))
        self.widths = tuple(widths)
        self.scales = tuple(math.sqrt(self.embed_dim) / entry.lengths[layer] for layer in chosen)
        fold_batch_norms(network)
        self.taken = tuple(_LAST_STAGE_OF_LAYER[layer] for layer in chosen)
        self.stem = nn.Sequential(network.get_submodule("conv_stem"), network.get_submodule("bn1"))
        self.stages = nn.ModuleList(list(stages(network))[: max(self.taken) + 1])

    def _features(self, batch: Tensor) -> list[Tensor]:
        margin = margin_px(batch.shape[2:], self.multiple)
        current = self.stem(functional.pad(batch, (margin,) * 4, mode="reflect"))
        levels = []
        for index, stage in enumerate(self.stages):
            current = stage(current)
            if index in self.taken:
                cells = margin * current.shape[2] // (batch.shape[2] + 2 * margin)
                levels.append(functional.pad(current, (-cells,) * 4))
        return levels

    @torch.no_grad()
    def tokens(self, batch: Tensor) -> list[Tensor]:  # noqa: D102
        grid = self.grid_shape(*batch.shape[2:])
        stack = []
        start = 0
        for level, width, scale in zip(self.pyramid(batch), self.widths, self.scales, strict=True):
            resized = level if level.shape[2:] == grid else functional.interpolate(level, grid, mode="bilinear")
            tokens = resized.flatten(2).transpose(1, 2) * scale
            stack.append(functional.pad(tokens, (start, self.embed_dim - start - width)))
            start += width
        return stack


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


_EFFICIENTNET_LITE0 = BackboneEntry(
    name="efficientnet_lite0",
    build=build_efficientnet_lite0,
    names=published_names,
    wrap=ConvolutionalBackbone,
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
    if name not in BACKBONES:
        raise ConfigError(f"unknown backbone {name!r}; expected one of {', '.join(BACKBONES)}")
    entry = BACKBONES[name]
    chosen = _chosen_layers(entry, layers)
    network, digest = _random(entry, seed) if str(weights) == "random" else _trained(entry, weights)
    return entry.wrap(entry, network, digest, chosen).freeze()


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
    load_strictly(network, path, entry.names(network))
    return network, digest
