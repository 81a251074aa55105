"""The frozen backbone: normalisation, a feature pyramid and a token stack."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seamark.backbones.table import BackboneShape
from seamark.errors import DataError
from seamark.networks.plain_form import tile_by_tile


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
        Whether the digest is that of the published file, which random weights and a file of one's own have not; who
        loads the weights says so.
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
    verified: bool = False

    def __init__(self, shape: BackboneShape, digest: str, chosen: tuple[int, ...], embed_dim: int) -> None:
        super().__init__()
        self.shape = shape
        self.name = shape.name
        self.digest = digest
        self.chosen = chosen
        self.layers = len(chosen)
        self.embed_dim = embed_dim
        self.stride = min(shape.strides[layer] for layer in chosen)
        self.multiple = max(shape.strides[layer] for layer in chosen)
        self.register_buffer("mean", 255.0 * torch.tensor(shape.mean, dtype=torch.float64), persistent=False)
        self.register_buffer("std", 255.0 * torch.tensor(shape.std, dtype=torch.float64), persistent=False)
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
            If a side is not a positive multiple of the coarsest stride, or the network works at another size only.
        """
        self.shape.require_shape((height, width), self.multiple)
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
        levels = zip(*[self._features(part) for part in tile_by_tile(batch)], strict=True)
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
