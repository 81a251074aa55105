"""The target of fuzzing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """One parser under fire.

    Parameters
    ----------
    seeds : callable
        Makes valid and known hostile inputs.
    run : callable
        Takes an input and an empty folder; may raise nothing but errors of Seamark.
    memory_mb : int
        What one input may add to the memory of the process.
    """

    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes, Path], None]
    memory_mb: int = 256
