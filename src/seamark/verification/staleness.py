"""Staleness of results: older than what they were made from, as the provenance of their jobs tells."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seamark.errors import ManifestError
from seamark.files.atomic import atomic_write
from seamark.flow import STAGES
from seamark.manifests.base import read_manifest
from seamark.running.file_records import FileRecord, JobProvenance, difference


@dataclass
class Staleness:
    """Looks through the jobs behind a result for one whose inputs or settings are others by now.

    Equal bytes are the same input, whenever they were written. Code does not count: ``--touch`` accepts what other code
    has made, and provenance does not learn of it.

    Parameters
    ----------
    expected : mapping of str to mapping
        Settings of now by the names of params, by path of a declared output.
    """

    expected: Mapping[str, Mapping[str, Any]]
    _known: dict[Path, str | None] = field(default_factory=dict)

    def reason(self, provenance: Path) -> str | None:
        """Say since when the outputs of a job are stale.

        Parameters
        ----------
        provenance : Path
            What the job left beside its manifest, or beside its log where it has none.

        Returns
        -------
        str or None
            ``made before binarize ran again``; None if nothing has changed, or nothing is known of the job.
        """
        if provenance not in self._known:
            self._known[provenance] = self._found(provenance)
        return self._known[provenance]

    def _found(self, provenance: Path) -> str | None:
        try:
            facts = read_manifest(provenance, JobProvenance)
        except ManifestError:
            return None
        wanted = next((self.expected[name] for name in facts.outputs if name in self.expected), {})
        if {*facts.differing(wanted)} - {"code"}:
            return f"made before the settings of {facts.rule} changed"
        sources = {Path(name): record for name, record in facts.inputs.items()}
        behind = (self.reason(_provenance_of(path)) for path in sources)
        changed = (_changed(path, record) for path, record in sources.items())
        return next((reason for reasons in (behind, changed) for reason in reasons if reason), None)


def mark_page(page: Path, why: str) -> None:
    """Write beside a page what it shows above all else when it is opened; nothing if the text is empty."""
    with atomic_write(page.with_name("stale.js")) as draft:
        draft.write_text(f"seamarkStale({json.dumps(why)});\n", encoding="ascii")


def _provenance_of(manifest: Path) -> Path:
    return manifest.with_suffix(".prov.json")


def _changed(path: Path, record: FileRecord) -> str | None:
    """Say which stage has written a file since it was read; tiles may have been deleted when all had read them."""
    try:
        if difference(path, record) is None:
            return None
    except (OSError, ValueError):
        return None if STAGES["crop"].folder in path.parts else f"made before {path} was lost"
    try:
        return f"made before {read_manifest(_provenance_of(path), JobProvenance).rule} ran again"
    except ManifestError:
        return f"made from another {path}"
