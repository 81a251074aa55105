"""Residual anomaly amplification: a gate that finds anomalous cells and a residual that changes their features.

Source: docs/methods/aand.md#amplification. A cell is a vector of C features; cells have their channels last here, so
both networks are plain linear layers over cells.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.errors import ConfigError
from seamark.settings.aand import Residual

NARROWEST, WIDEST = 128, 1024
"""Bounds of the width inside."""


def hidden_width(channels: int) -> int:
    """Return the width inside both networks of a level: twice its channels within 128..1024."""
    return min(max(2 * channels, NARROWEST), WIDEST)


def position_encoding(channels: int, shape: tuple[int, int]) -> Tensor:
    """Return the sines and cosines that tell cells of a grid apart.

    Parameters
    ----------
    channels : int
        Channels C, a multiple of 4: the first half encodes the column, the second the row.
    shape : tuple of int
        Rows H and columns W.

    Returns
    -------
    Tensor of float32, shape (H, W, C)
        Every cell's squared length is C / 2.

    Raises
    ------
    ConfigError
        If the channels are no multiple of 4.
    """
    if channels % 4:
        raise ConfigError(f"a level of {channels} channels has no position encoding; choose another backbone")
    half = channels // 2
    frequencies = 10_000.0 ** (-torch.arange(0, half, 2, dtype=torch.float64) / half)
    rows, columns = (torch.outer(torch.arange(side, dtype=torch.float64), frequencies) for side in shape)
    row, column = (torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1) for angles in (rows, columns))
    return torch.cat([column.expand(shape[0], -1, -1), row[:, None].expand(-1, shape[1], -1)], dim=2).float()


def cell_network(channels: int) -> nn.Sequential:
    """Return three linear layers over the C features of a cell, with Kaiming normal weights."""
    width = hidden_width(channels)
    layers = [nn.Linear(channels, width), nn.Linear(width, width), nn.Linear(width, channels)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    first, second, third = layers
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)


class MatchingGate(nn.Module):
    """Says how anomalous a cell is by what it resembles more: normal or anomalous memories.

    Parameters
    ----------
    channels : int
        Channels C of the level.
    shape : tuple of int
        Rows H and columns W of the level.
    memories : int
        Normal memories L; as many are anomalous.
    temperature : float
        Divides the similarities; the gate stays between 1 / (1 + exp(2 / temperature)) and one minus that.
    """

    def __init__(self, channels: int, shape: tuple[int, int], memories: int, temperature: float) -> None:
        super().__init__()
        self.memories, self.temperature = memories, temperature
        self.query = cell_network(channels)
        self.memory = nn.Parameter(torch.randn(2 * memories, channels))
        self.register_buffer("position", position_encoding(channels, shape), persistent=False)

    def similarities(self, cells: Tensor) -> Tensor:
        """Return the cosines (B, H, W, 2 L) of cells (B, H, W, C) with the memories, normal ones first."""
        queries = F.normalize(self.query(cells + self.get_buffer("position")), dim=3)
        return queries @ F.normalize(self.memory, dim=1).T

    def log_odds(self, similarities: Tensor) -> Tensor:
        """Return the gate before the sigmoid, (B, H, W) of similarities (B, H, W, 2 L).

        It is the share of the anomalous memories in a softmax over all of them, as a difference of two logarithms.
        """
        normal, anomalous = torch.split(similarities / self.temperature, self.memories, dim=3)
        return torch.logsumexp(anomalous, dim=3) - torch.logsumexp(normal, dim=3)

    def forward(self, cells: Tensor) -> Tensor:
        """Return the log-odds (B, H, W) that cells (B, H, W, C) are anomalous."""
        return self.log_odds(self.similarities(cells))


class AttributeScaling(nn.Module):
    """Changes the features of a cell, each by a factor of its own, or freely."""

    def __init__(self, channels: int, kind: Residual = "tanh") -> None:
        super().__init__()
        self.kind = kind
        self.scale = cell_network(channels)

    def forward(self, cells: Tensor) -> Tensor:
        """Return what is added to cells (..., C): themselves times factors, within -1..1 for tanh."""
        given: Tensor = self.scale(cells)
        if self.kind == "free":
            return given
        return (torch.tanh(given) if self.kind == "tanh" else torch.sigmoid(given)) * cells


class LevelAmplification(nn.Module):
    """Gate and residual of one level; without a gate the residual is added in full."""

    def __init__(
        self,
        channels: int,
        shape: tuple[int, int],
        memories: int,
        temperature: float,
        *,
        residual: Residual = "tanh",
        gate: bool = True,
    ) -> None:
        super().__init__()
        self.gate = MatchingGate(channels, shape, memories, temperature) if gate else None
        self.residual = AttributeScaling(channels, residual)

    def opened(self, level: Tensor) -> Tensor:
        """Return how anomalous the cells of a level (B, C, H, W) are, (B, H, W) within 0..1; 1 without a gate."""
        cells = level.permute(0, 2, 3, 1)
        return cells.new_ones(cells.shape[:3]) if self.gate is None else torch.sigmoid(self.gate(cells))

    def forward(self, level: Tensor) -> Tensor:
        """Amplify a level (B, C, H, W)."""
        cells = level.permute(0, 2, 3, 1)
        amplified: Tensor = cells + self.opened(level).unsqueeze(3) * self.residual(cells)
        return amplified.permute(0, 3, 1, 2)


class ResidualAmplification(nn.Module):
    """One amplification per level of a pyramid; none reaches the next level of the teacher."""

    def __init__(
        self,
        channels: Sequence[int],
        shapes: Sequence[tuple[int, int]],
        memories: int,
        temperature: float,
        *,
        residual: Residual = "tanh",
        gate: bool = True,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            LevelAmplification(wide, shape, memories, temperature, residual=residual, gate=gate)
            for wide, shape in zip(channels, shapes, strict=True)
        )

    def gates(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Return how anomalous the cells of every level (B, C_l, H_l, W_l) are, (B, H_l, W_l) within 0..1."""
        return [
            cast("LevelAmplification", level).opened(cells) for level, cells in zip(self.levels, pyramid, strict=True)
        ]

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Amplify every level (B, C_l, H_l, W_l) of a pyramid."""
        return [amplify(level) for amplify, level in zip(self.levels, pyramid, strict=True)]
