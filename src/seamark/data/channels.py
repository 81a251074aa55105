"""Grey and RGB photographs, of which a category may have one kind only."""

from collections.abc import Iterable
from typing import Literal

from seamark.errors import DataError
from seamark.files.plain import shown

EXAMPLES = 3
"""Files of each kind that a message names."""


def require_one_kind(what: str, photographs: Iterable[tuple[Literal[1, 3], str]]) -> None:
    """Refuse grey and RGB photographs side by side, as a network sees other features in the one than in the other.

    Parameters
    ----------
    what : str
        What the photographs are, for the message.
    photographs : iterable of (int, str)
        Channels, 1 or 3, and file of each, of one split or of all that are learned from and scored together.

    Raises
    ------
    DataError
        If there are both, with their numbers and examples.
    """
    kinds: dict[int, list[str]] = {1: [], 3: []}
    for channels, file in photographs:
        kinds[channels].append(file)
    if not all(kinds.values()):
        return
    fewer, more = ("grey", "RGB") if len(kinds[1]) < len(kinds[3]) else ("RGB", "grey")
    raise DataError(
        f"{what}: {_listed('grey', kinds[1])} and {_listed('RGB', kinds[3])}, expected one kind in all splits; convert "
        f"the {fewer} ones to {more}, or all to grey"
    )


def _listed(kind: str, files: list[str]) -> str:
    names = ", ".join(map(shown, files[:EXAMPLES]))
    return f"{len(files)} {kind} photograph(s) ({names}{', ...' if len(files) > EXAMPLES else ''})"
