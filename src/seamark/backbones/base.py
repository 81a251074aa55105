"""What every frozen backbone is: a row of the registry, normalisation, a feature pyramid and a token stack."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seamark.errors import ConfigError, DataError
from seamark.weights.finding import WeightsSource


@dataclass(frozen=True)
class Convolutions:
    """How a convolutional network comes apart."""

    parts: Callable[[nn.Module], Sequence[nn.Sequential]]
    """Gives one part per layer that can be chosen; each takes what the one before gives."""
    fold: Callable[[nn.Module], None]
    """Folds the batch norms into the convolutions, in place."""


@dataclass(frozen=True)
class BackboneEntry:
    """One row of the registry: how to build a backbone, and what its input and weights are."""

    name: str
    build: Callable[[], nn.Module]
    """Builds the network with random weights."""
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
    convolutions: Convolutions | None = None
    """What a convolutional network is made of, None for others."""
    names: Callable[[nn.Module], Mapping[str, str]] = lambda _: {}
    """Gives the network's state name by the file's, for tensors that are called otherwise in the file of weights."""
    unread: Callable[[nn.Module], Collection[str]] = lambda _: ()
    """Gives the names of the tensors in the file of weights that the network does without."""
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
    slices : tuple of slice
        Features that each token tensor fills, with zeros elsewhere; empty where every one fills all.
    """

    mean: Tensor
    std: Tensor
    slices: tuple[slice, ...] = ()

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
        return (planes - self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)

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
