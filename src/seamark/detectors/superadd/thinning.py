"""Choosing the vectors of a bank: rounds of random draws, each thinned where vectors lie close together.

Source: docs/methods/superadd.md#bank. Which vectors are drawn is decided before any of them is known: as a few of them
may have been kept by then, each round draws some more than it needs. So no vector need be kept for a later round, and
the photographs can be looked at as often as memory asks for, with the same outcome.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seamark.files.images import BoolArray, Float64Array
from seamark.settings.superadd import SuperAddSettings

Places = npt.NDArray[np.int64]
"""Numbers of vectors, counted over all tiles."""
SPARE_DEVIATIONS = 8.0
"""Standard deviations of the number of drawn vectors that are kept already, for which a round draws more."""
THINNING_BLOCK = 1 << 24
"""Distances computed at a time."""


class Draws(NamedTuple):
    """What is drawn for a layer of so many vectors, before any of them is known."""

    rounds: tuple[Places, ...]
    """Candidates of each round in the order in which they are taken, those kept already passed over."""
    chances: tuple[Float64Array, ...]
    """0..1 for each vector that a round takes."""
    rest: Places
    """All vectors, in the order in which the bank is filled up."""


def draw(count: int, settings: SuperAddSettings, random: np.random.Generator) -> Draws:
    """Draw for a layer of so many vectors; without a round where the bank holds them all."""
    rounds = settings.rounds if count > settings.bank_size else 0
    taken = count // max(1, rounds)
    candidates, chances = [], []
    for number in range(rounds):
        kept = number * (settings.bank_size // rounds) / count
        spare = (taken * kept + SPARE_DEVIATIONS * (math.sqrt(taken * kept) + 1.0)) / (1.0 - kept)
        candidates.append(random.choice(count, min(count, taken + math.ceil(spare)), replace=False))
        chances.append(random.random(taken))
    return Draws(tuple(candidates), tuple(chances), random.permutation(count))


def thin(vectors: Tensor, chances: Float64Array, most: int, neighbours: int) -> BoolArray:
    """Say which vectors of a draw stay: each with a chance that falls with the number of others close to it.

    Parameters
    ----------
    vectors : Tensor of float32, shape (n, D)
        The draw.
    chances : ndarray of float64, shape (n,)
        A vector stays while its number is below 1 / (1 + c), where c counts those of its neighbours, itself among them,
        that are nearer than a distance which grows by a tenth until no more than ``most`` stay.
    most : int
        How many may stay.
    neighbours : int
        How many of the nearest are looked at.

    Returns
    -------
    ndarray of bool, shape (n,)
        Where the distance has outgrown all neighbours and too many stay, those with the lowest numbers; the released
        code does not end there, nor where features are not finite.
    """
    distances = neighbour_distances(vectors, min(neighbours, len(vectors)))
    threshold, farthest = float(distances.mean(dtype=torch.float64)) / 10.0, float(distances.max())
    while True:
        stays = np.asarray(chances < 1.0 / (1.0 + (distances < threshold).sum(dim=1).cpu().numpy()), np.bool_)
        if stays.sum() <= most:
            return stays
        if threshold == 0.0 or not threshold <= farthest < math.inf:
            return np.asarray(stays & (chances <= np.sort(chances[stays])[most - 1]), np.bool_)
        threshold *= 1.1


def neighbour_distances(vectors: Tensor, count: int) -> Tensor:
    """Return the distances, float32 (n, count), of vectors (n, D) to the nearest among them, 0 to itself, unsorted."""
    centred = vectors - vectors.mean(dim=0)
    squares = centred.square().sum(dim=1)
    found = []
    for rows in torch.split(torch.arange(len(vectors), device=vectors.device), max(1, THINNING_BLOCK // len(vectors))):
        block = torch.addmm(squares, centred[rows], centred.T, alpha=-2.0) + squares[rows, None]
        block[torch.arange(len(rows), device=rows.device), rows] = 0.0
        found.append(block.clamp_(min=0.0).topk(count, dim=1, largest=False, sorted=False).values.sqrt_())
    return torch.cat(found)


class Held(NamedTuple):
    """Vectors of a layer that are at hand."""

    places: Places
    """In ascending order."""
    vectors: Tensor
    """Float32 (R, D), on the CPU."""

    def rows(self, places: Places) -> Tensor:
        """Return the vectors of some of the places, in their order."""
        return self.vectors[torch.from_numpy(np.searchsorted(self.places, places))]

    def take(self, vectors: Tensor, first: int) -> None:
        """Copy those of some vectors (n, D), the first of which has this place, that are held."""
        start, end = np.searchsorted(self.places, (first, first + len(vectors)))
        rows = torch.from_numpy(self.places[start:end] - first).to(vectors.device)
        self.vectors[start:end] = vectors[rows].cpu()


class LayerChoice:
    """The choice of one layer, round by round.

    Parameters
    ----------
    count : int
        Vectors of the layer.
    settings : SuperAddSettings
        Size of the bank, rounds, neighbours.
    drawn : Draws
        What is drawn.
    """

    def __init__(self, count: int, settings: SuperAddSettings, drawn: Draws) -> None:
        self.settings, self.drawn = settings, drawn
        self._is_kept = np.zeros(count, np.bool_)
        self._chosen: list[tuple[Places, Tensor]] = []

    def candidates(self, number: int) -> Places:
        """Return the vectors that a round may take, none where the layer has no such round."""
        return self.drawn.rounds[number] if number < len(self.drawn.rounds) else np.zeros(0, np.int64)

    def wanted(self, rounds: Sequence[int]) -> Places:
        """Return all vectors that some rounds may take, ascending."""
        return np.unique(np.concatenate([self.candidates(number) for number in rounds] or [np.zeros(0, np.int64)]))

    def thin(self, number: int, held: Held, device: torch.device) -> None:
        """Do a round, its candidates among those at hand."""
        candidates = self.candidates(number)
        if not len(candidates):
            return
        chances = self.drawn.chances[number]
        taken = candidates[~self._is_kept[candidates]][: len(chances)]
        vectors = held.rows(taken)
        most = self.settings.bank_size // len(self.drawn.rounds)
        stays = thin(vectors.to(device), chances[: len(taken)], most, self.settings.neighbours)
        self._keep(taken[stays], vectors[torch.from_numpy(stays)])

    def fill(self) -> Places:
        """Return the vectors, ascending, by which the bank is filled up to its size."""
        rest = self.drawn.rest[~self._is_kept[self.drawn.rest]]
        return np.sort(rest[: self.settings.bank_size - int(self._is_kept.sum())])

    def bank(self, held: Held) -> Tensor:
        """Return the bank, float32 (M, D), in the order of the tiles, once those that fill it up are at hand."""
        places = self.fill()
        self._keep(places, held.rows(places))
        order = torch.from_numpy(np.argsort(np.concatenate([own for own, _ in self._chosen])))
        return torch.cat([vectors for _, vectors in self._chosen])[order]

    def _keep(self, places: Places, vectors: Tensor) -> None:
        self._is_kept[places] = True
        self._chosen.append((places, vectors))
