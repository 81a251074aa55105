"""Losses of the distillation of normality: whole levels, and their worst cells (AAND specification section A.7)."""

from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_LENGTH = 1e-8
"""Shorter vectors count as being as long as this."""


def distillation_losses(targets: Sequence[Tensor], rebuilt: Sequence[Tensor], hard_cells: int) -> dict[str, Tensor]:
    """Return how far a rebuilt pyramid is from its target as a whole and in its worst cells.

    Both need the same three numbers per cell, the inner product and two squared lengths; for a level as a whole they
    are summed over its cells, so features are gone through once (AAND specification section A.10, item 10).

    Parameters
    ----------
    targets, rebuilt : sequence of Tensor, shape (B, C_l, H_l, W_l)
        Amplified features of the teacher and what the student makes of them; targets get no gradient.
    hard_cells : int
        How many cells of each tile and level count as its worst; 0 for no such loss.

    Returns
    -------
    dict of str to Tensor
        ``whole``: 1 - cosine of all features of a level as one vector; ``hard`` (not with 0 cells): mean of 1 - cosine
        over the worst cells. Means over the batch, sums over the levels.
    """
    whole, hard = [], []
    for target, level in zip(targets, rebuilt, strict=True):
        inner, lengths = _sums(target.detach().float(), level.float())
        whole.append(_distance(inner.sum(dim=1), [squares.sum(dim=1) for squares in lengths]).mean())
        if hard_cells:
            distances = _distance(inner, lengths)
            hard.append(distances.topk(min(hard_cells, distances.shape[1]), dim=1).values.mean())
    losses = {"whole": torch.stack(whole).sum()}
    return losses | {"hard": torch.stack(hard).sum()} if hard else losses


def _sums(target: Tensor, level: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the inner products (B, N) of cells and the squared lengths of both."""
    inner, *lengths = (
        (one * other).sum(dim=1).flatten(1) for one, other in ((target, level), (target, target), (level, level))
    )
    return inner, lengths


def _distance(inner: Tensor, lengths: Sequence[Tensor]) -> Tensor:
    """Return 1 - cosine of inner products and squared lengths."""
    first, second = (squares.clamp_min(LEAST_LENGTH**2).rsqrt() for squares in lengths)
    return 1.0 - inner * first * second
