"""Functions applied to many files at once."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class MapItems(Protocol):
    """Something that applies a function to every item, in any order or at once, and returns the results in order."""

    def __call__(self, function: Callable[[Any], Any], items: Sequence[Any], what: str) -> list[Any]:
        """Return ``[function(item) for item in items]``; ``what`` is the plural of the item."""
        ...
