"""The nearest vectors of a bank, found by rough products and settled by full ones, as a plain search finds them.

The product of all vectors with the whole bank is most of what a bank costs. Processors with instructions for bfloat16
multiply several times faster in it, and its error has a bound; so rough squared distances say, block by block of the
bank, where the nearest ones can be at all, and only there they are computed in float32
(docs/methods/feature_bank.md#search).
"""

import math

import torch
from torch import Tensor

from seamark.networks.onednn import multiplies_bfloat16

BLOCK = 256
"""Vectors of the bank whose rough products are made at a time and that are looked into together."""


class NearestVectors:
    """A bank made ready to be searched on the CPU.

    Parameters
    ----------
    bank : Tensor of float32, shape (M, D)
        What is searched.
    rough : dtype, optional
        What rough products are made in: bfloat16 where the processor multiplies it, float32 elsewhere.
    """

    def __init__(self, bank: Tensor, rough: torch.dtype | None = None) -> None:
        self.bank = bank
        self.rough = rough or (torch.bfloat16 if multiplies_bfloat16() else torch.float32)
        self.centre = bank.mean(dim=0)
        keys = bank - self.centre
        self.squares = keys.square().sum(dim=1)
        self.longest = self.squares.amax().sqrt()
        # Squared lengths ride along in two more columns, less what all have in common, as two numbers of few digits.
        common = (self.squares.amax() + self.squares.amin()) / 2.0
        rest = self.squares - common
        self.spread = rest.abs().amax()
        coarse = rest.to(self.rough)
        columns = [keys.to(self.rough), coarse.unsqueeze(1), (rest - coarse).to(self.rough).unsqueeze(1)]
        self.keys = torch.cat(columns, dim=1)

    def distances(self, vectors: Tensor, count: int = 1) -> Tensor:
        """Return the mean Euclidean distance, float32 (N,), of vectors (N, D) to the ``count`` nearest of the bank.

        They are computed from the differences of the vectors themselves; a smaller bank gives all it has.
        """
        places = self.places(vectors, min(count, len(self.bank)))
        found = [torch.linalg.vector_norm(vectors - self.bank[column], dim=1) for column in places.T]
        return torch.stack(found).mean(dim=0)

    def places(self, vectors: Tensor, count: int) -> Tensor:
        """Return the places, int64 (N, count), of the nearest vectors of the bank, in no order."""
        queries = vectors - self.centre
        ones = torch.ones(len(queries), 2, dtype=self.rough)
        rough = torch.cat([queries.to(self.rough) * -2.0, ones], dim=1)
        minima = [(rough @ keys.T).amin(dim=1) for keys in torch.split(self.keys, BLOCK)]
        lowest = torch.stack(minima, dim=1).to(torch.float32)
        worth = lowest <= self._limits(queries, lowest, count).unsqueeze(1)
        best = torch.full((len(queries), count), math.inf)
        places = torch.zeros(len(queries), count, dtype=torch.int64)
        for block, rows in enumerate(worth.T):
            own = rows.nonzero().squeeze(1)
            if len(own):
                first, last = block * BLOCK, (block + 1) * BLOCK
                # The bank itself instead of what is left of it beside its centre adds the same to a whole row.
                full = torch.addmm(self.squares[first:last], queries[own], self.bank[first:last].T, alpha=-2.0)
                _take_lowest(best, places, own, full, first)
        return places

    def _limits(self, queries: Tensor, lowest: Tensor, count: int) -> Tensor:
        """Return what the rough minimum (N, blocks) of a block must not exceed for it to hold one of the nearest.

        A block with one of the nearest has a rough value above it by at most the error, and the same holds for those
        blocks that the limit comes from, so twice the bound of the error is allowed.
        """
        if count > lowest.shape[1]:
            return torch.full((len(queries),), math.inf)
        unit, single = (torch.finfo(kind).eps / 2.0 for kind in (self.rough, torch.float32))
        terms = self.keys.shape[1] * single
        products = 2.0 * torch.linalg.vector_norm(queries, dim=1) * self.longest
        # Rounding of both factors and of the result, and of every sum; 1 % is for the products of these.
        error = 1.01 * ((3.0 * unit + terms) * products + (unit + terms) * self.spread)
        limits: Tensor = lowest.topk(count, dim=1, largest=False).values[:, -1] + 2.0 * error
        return limits


def _take_lowest(best: Tensor, places: Tensor, rows: Tensor, values: Tensor, first: int) -> None:
    """Put values (n, K), whose places start at ``first``, into rows of the best (N, count) where they are lower."""
    count = best.shape[1]
    if count == 1:
        lowest = values.min(dim=1)
        better = lowest.values < best[rows, 0]
        best[rows[better], 0] = lowest.values[better]
        places[rows[better], 0] = lowest.indices[better] + first
        return
    own = torch.arange(first, first + values.shape[1]).expand(len(rows), -1)
    both = torch.cat([best[rows], values], dim=1).topk(count, dim=1, largest=False)
    best[rows] = both.values
    places[rows] = torch.cat([places[rows], own], dim=1).gather(1, both.indices)
