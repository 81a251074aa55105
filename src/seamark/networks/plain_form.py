"""The plain form of networks: operators that every library has, on batches of any size.

On the CPU networks name a library, take tiles one by one or multiply what belongs to one tile alone, because that is
faster or settles the last bits. None of it can be written into a graph for another library.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_PLAIN = ContextVar("plain", default=False)


@contextmanager
def plain_form() -> Iterator[None]:
    """Make networks that run within this block, in this thread, take their plain form."""
    before = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(before)


def in_plain_form() -> bool:
    """Say whether networks take their plain form now."""
    return _PLAIN.get()


def tile_by_tile(batch: Tensor) -> Sequence[Tensor]:
    """Split a batch (B, ...) into what goes through a network together.

    Single tiles (1, ...) on the CPU, where it is faster and the bits of a tile do not depend on its batch; the whole
    batch on a GPU and in plain form.
    """
    return torch.split(batch, 1) if batch.device.type == "cpu" and not in_plain_form() else [batch]
