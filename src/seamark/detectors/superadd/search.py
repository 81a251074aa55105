"""The distance of vectors to the nearest of a bank, in chunks, exact for the winner."""

import torch
from torch import Tensor

CPU_BLOCK, GPU_BLOCK = 1 << 21, 1 << 27
"""Distances computed at a time: few enough to stay in a core's cache (of one tile), or in some 2 GB of a GPU."""
RECHECKED = 8
"""Winners of a search in half precision whose distances are computed in full."""
RECHECKED_ROWS = 1024


def nearest_distances(vectors: Tensor, bank: Tensor, *, half: bool) -> Tensor:
    """Return the Euclidean distance of each vector to the nearest of a bank.

    Parameters
    ----------
    vectors : Tensor of float32, shape (..., N, D)
        Queries, N of each tile.
    bank : Tensor of float32, shape (M, D)
        What is searched.
    half : bool
        Whether products are computed in float16, of vectors that are centred and scaled so that nothing overflows.

    Returns
    -------
    Tensor of float32, shape (..., N)
        From the differences of the vectors themselves, in float32, for the best found by products: one, or of products
        in half precision eight.
    """
    centre, rows = bank.mean(dim=0), vectors.flatten(0, -2)
    queries, keys = rows - centre, bank - centre
    if not half:
        places = _best(queries, keys, 1, CPU_BLOCK // vectors.shape[-2])
        return (rows - bank[places[:, 0]]).square().sum(dim=1).sqrt().view(vectors.shape[:-1])
    scale = keys.square().sum(dim=1).max().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    places = _best((queries / scale).half(), keys / scale, min(RECHECKED, len(bank)), GPU_BLOCK // len(queries))
    chunks = zip(torch.split(rows, RECHECKED_ROWS), torch.split(places, RECHECKED_ROWS), strict=True)
    squares = [(own.unsqueeze(1) - bank[found]).square().sum(dim=2).amin(dim=1) for own, found in chunks]
    return torch.cat(squares).sqrt().view(vectors.shape[:-1])


def _best(queries: Tensor, keys: Tensor, count: int, columns: int) -> Tensor:
    """Return the places, int64 (N, count), of the keys nearest to the queries; products have the queries' precision."""
    columns = max(count, columns)
    squares, others = keys.square().sum(dim=1), keys.to(queries.dtype)
    values, places = [], []
    for start in range(0, len(keys), columns):
        products = (queries @ others[start : start + columns].T).to(torch.float32)
        found = products.mul_(-2.0).add_(squares[start : start + columns])
        lowest = found.topk(min(count, found.shape[1]), dim=1, largest=False) if count > 1 else found.min(1, True)
        values.append(lowest.values)
        places.append(lowest.indices + start)
    best = torch.cat(values, dim=1)
    chosen = best.topk(count, dim=1, largest=False) if count > 1 else best.min(1, True)
    return torch.cat(places, dim=1).gather(1, chosen.indices)
