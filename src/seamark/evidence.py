"""What jobs leave in their provenance about the files they read and wrote, and what it says about them later."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from seamark.artifacts import file_digest

LARGEST_BYTES = 1 << 24
"""Files above this size are recorded by their size alone: their digests stand in the manifests beside them."""


def recorded(paths: Iterable[Path]) -> dict[str, dict[str, int | str]]:
    """Return size and digest of the files that are there.

    Parameters
    ----------
    paths : iterable of Path
        Declared inputs or outputs of a job.

    Returns
    -------
    dict of str to dict
        ``bytes``, and up to 16 MiB ``sha256``, by path.
    """
    facts: dict[str, dict[str, int | str]] = {}
    for path in paths:
        if path.is_file():
            size = path.stat().st_size
            facts[str(path)] = {"bytes": size} | ({"sha256": file_digest(path)} if size <= LARGEST_BYTES else {})
    return facts


def difference(path: Path, facts: Mapping[str, int | str]) -> str | None:
    """Say in what a file differs from what was recorded of it.

    Parameters
    ----------
    path : Path
        The file as it is now.
    facts : mapping
        What :func:`recorded` said of it.

    Returns
    -------
    str or None
        None if nothing differs, as far as it was recorded.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    size = path.stat().st_size
    if size != facts["bytes"]:
        return f"{size} bytes instead of {facts['bytes']}"
    if "sha256" in facts and file_digest(path) != facts["sha256"]:
        return "other bytes than its job wrote"
    return None
