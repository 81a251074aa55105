"""The distance of vectors to the nearest of a bank, in chunks, exact for the winner."""

import torch
from torch import Tensor

CPU_BLOCK, GPU_BLOCK = 1 << 21, 1 << 27
"""Distances computed at a time: few enough to stay in a core's cache, or in some 2 GB of a GPU."""
RECHECKED = 8
"""Winners of a search in half precision whose distances are computed in full."""
RECHECKED_ROWS = 1024


def nearest_distances(vectors: Tensor, bank: Tensor, *, half: bool) -> Tensor:
    """Return the Euclidean distance of each vector to the nearest of a bank.

    Parameters
    ----------
    vectors, bank : Tensor of float32, shapes (N, D) and (M, D)
        Queries, and what is searched.
    half : bool
        Whether products are computed in float16, of vectors that are centred and scaled so that nothing overflows.

    Returns
    -------
    Tensor of float32, shape (N,)
        From the differences of the vectors themselves, in float32, for the best found by products: one, or of products
        in half precision eight.
    """
    centre = bank.mean(dim=0)
    queries, keys = vectors - centre, bank - centre
    if half:
        scale = keys.square().sum(dim=1).max().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
        queries, keys = queries / scale, keys / scale
    places = _best(queries, keys, min(RECHECKED, len(bank)) if half else 1, half=half)
    chunks = zip(torch.split(vectors, RECHECKED_ROWS), torch.split(places, RECHECKED_ROWS), strict=True)
    return torch.cat([(own.unsqueeze(1) - bank[found]).square().sum(dim=2).amin(dim=1).sqrt() for own, found in chunks])


def _best(queries: Tensor, keys: Tensor, count: int, *, half: bool) -> Tensor:
    """Return the places, int64 (N, count), of the keys nearest to the queries by matrix products."""
    squares = keys.square().sum(dim=1)
    factors, others = (queries.half(), keys.half()) if half else (queries, keys)
    columns = max(count, (CPU_BLOCK if queries.device.type == "cpu" else GPU_BLOCK) // len(queries))
    values, places = queries.new_full((len(queries), 0), 0.0), squares.new_zeros((len(queries), 0), dtype=torch.int64)
    for start in range(0, len(keys), columns):
        products = (factors @ others[start : start + columns].T).to(torch.float32)
        found = products.mul_(-2.0).add_(squares[start : start + columns])
        few = min(count, found.shape[1])
        lowest = found.topk(few, dim=1, largest=False) if few > 1 else found.min(dim=1, keepdim=True)
        values = torch.cat([values, lowest.values], dim=1)
        places = torch.cat([places, lowest.indices + start], dim=1)
        if values.shape[1] > count:
            best = values.topk(count, dim=1, largest=False)
            values, places = best.values, places.gather(1, best.indices)
    return places
