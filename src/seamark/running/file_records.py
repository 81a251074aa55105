"""Records in a job's provenance of the files it read and wrote, and what they say about them later."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from seamark.files.atomic import file_digest
from seamark.files.plain import require_plain_file
from seamark.manifests.base import Manifest, Record

LARGEST_BYTES = 1 << 24
"""Files above this size are recorded by their size alone: their digests stand in the manifests beside them."""


class FileRecord(Record):
    """What is known of a file that a job read or wrote."""

    size: int = Field(alias="bytes")
    sha256: str | None = None
    """None for a large file."""


class JobProvenance(Manifest):
    """What can be compared later in the provenance of a job; the rest of it is for people."""

    model_config = ConfigDict(extra="ignore")

    rule: str = ""
    versions: dict[str, str]
    params: dict[str, Any]
    inputs: dict[str, FileRecord] = Field(default_factory=dict)
    outputs: dict[str, FileRecord] = Field(default_factory=dict)

    def differing(self, wanted: Mapping[str, Any]) -> list[str]:
        """Return the names of params that the job would be given with other values now."""
        now = json.loads(json.dumps({name: wanted[name] for name in wanted if name in self.params}))
        return [name for name, value in now.items() if self.params[name] != value]


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


def difference(path: Path, facts: FileRecord) -> str | None:
    """Say in what a file differs from what was recorded of it.

    Parameters
    ----------
    path : Path
        The file as it is now.
    facts : FileRecord
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
    require_plain_file(path, 1 << 63)
    size = path.stat().st_size
    if size != facts.size:
        return f"{size} bytes instead of {facts.size}"
    if facts.sha256 is not None and file_digest(path) != facts.sha256:
        return "other bytes than its job wrote"
    return None
