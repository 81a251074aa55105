"""Losses of AAND: of gate and residual or of a teacher that learns in their place, and of the distillation.

Sources: docs/methods/aand.md#amplification-losses, docs/methods/aand.md#distillation-losses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from seamark.files.images import BoolArray
from seamark.synthesis.pyramids import pooled_masks

LEAST_LENGTH = 1e-8
"""Shorter vectors count as being as long as this."""
Residual = Callable[[Tensor], Tensor]
"""Gives what is added to cells (n, C)."""


@dataclass(frozen=True)
class ChosenCells:
    """Some cells of a level, as positions in all the cells of a batch."""

    anomalous: Tensor
    """int64 (a,)."""
    normal: Tensor
    """int64 (n,)."""


def level_masks(masks: Sequence[BoolArray], shapes: Sequence[tuple[int, int]]) -> list[BoolArray]:
    """Shrink the masks of a batch, B times (H, W), to every level, (B, H_l, W_l) each."""
    levels = zip(*(pooled_masks(mask, shapes) for mask in masks), strict=True)
    return [np.stack(level) for level in levels]


def choose_cells(
    anomalous: BoolArray, foreground: BoolArray, limits: tuple[int, int], random: np.random.Generator
) -> ChosenCells:
    """Choose anomalous cells, and normal ones on the product, of the whole batch.

    Parameters
    ----------
    anomalous, foreground : ndarray of bool, shape (B, H, W)
        Where anomalies are, and where the product is.
    limits : tuple of int
        At most so many anomalous and normal cells; more are thinned at random.
    random : Generator
        Source of the choice.

    Returns
    -------
    ChosenCells
        Either kind may be empty.
    """
    chosen = []
    for mask, limit in zip((anomalous, foreground & ~anomalous), limits, strict=True):
        places = np.flatnonzero(mask)
        chosen.append(torch.from_numpy(random.permutation(places)[:limit] if len(places) > limit else places))
    return ChosenCells(*chosen)


def amplification_loss(cells: Tensor, residual: Residual, chosen: ChosenCells, margin: float) -> Tensor:
    """Return by how much anomalous cells fail to become less like normal ones than they were, by a margin.

    For an anomalous cell i and a normal cell j the amplified cell's cosine with j shall be ``margin`` below that of the
    cell as the teacher sees it. The difference of both cosines is one inner product, that of j with the difference of
    two unit vectors, so one matrix product serves; and the residual is computed for the chosen anomalous cells only,
    because no other enters a loss (docs/methods/aand.md#amplification-losses).

    Parameters
    ----------
    cells : Tensor, shape (N, C)
        The teacher's cells of a level, of the whole batch.
    residual : callable
        Gives what is added to cells.
    chosen : ChosenCells
        Which of them count.
    margin : float
        0..2.

    Returns
    -------
    Tensor, scalar
        Mean over all pairs; 0 without gradient where there is no pair.
    """
    if not len(chosen.anomalous) or not len(chosen.normal):
        return cells.new_zeros(())
    before, normal = (cells[places.to(cells.device)] for places in (chosen.anomalous, chosen.normal))
    turn = F.normalize(before + residual(before), dim=1) - F.normalize(before, dim=1)
    return F.relu(turn @ F.normalize(normal, dim=1).T + margin).mean()


def contrastive_loss(cells: Tensor, before: Tensor, chosen: ChosenCells, margin: float) -> Tensor:
    """Return how far normal cells are from each other, and by how much anomalous ones fail to leave them by a margin.

    The mean cosine over all pairs of normal cells is the squared length of the mean of their directions
    (docs/methods/aand.md#ablations).

    Parameters
    ----------
    cells, before : Tensor, shape (N, C)
        A level, of the whole batch, as the teacher that learns sees it and as it saw it at first.
    chosen : ChosenCells
        Which of them count.
    margin : float
        0..2.

    Returns
    -------
    Tensor, scalar
        A part without cells is 0.
    """
    normal, normal_before = (F.normalize(level[chosen.normal.to(cells.device)], dim=1) for level in (cells, before))
    loss = cells.new_zeros(())
    if len(chosen.normal):
        loss = loss + 1.0 - normal.mean(dim=0).square().sum()
    if len(chosen.normal) and len(chosen.anomalous):
        places = chosen.anomalous.to(cells.device)
        anomalous, anomalous_before = (F.normalize(level[places], dim=1) for level in (cells, before))
        loss = loss + F.relu(anomalous @ normal.T - anomalous_before @ normal_before.T + margin).mean()
    return loss


def distillation_losses(targets: Sequence[Tensor], rebuilt: Sequence[Tensor], hard_cells: int) -> dict[str, Tensor]:
    """Return how far a rebuilt pyramid is from its target as a whole and in its worst cells.

    Both need the same three numbers per cell, the inner product and two squared lengths; for a level as a whole they
    are summed over its cells, so features are gone through once (docs/methods/aand.md#distillation-losses).

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
