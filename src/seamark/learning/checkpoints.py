"""Checkpoints of a training: written by rename, loaded without unpickling code, kept only for the same work."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seamark.files.atomic import atomic_write, file_digest
from seamark.files.plain import require_plain_file
from seamark.weights.reading import UNLOADABLE, load_restricted

LOG = logging.getLogger(__name__)
DIGEST_BYTES = 64
"""The file ends with the SHA-256 of all before it: torch itself does not notice flipped bits."""


@dataclass(frozen=True)
class Checkpoint:
    """One file that says how far a training has come.

    Parameters
    ----------
    path : Path
        The file, beside the output of the training.
    key : mapping of str to str
        Digests of everything the result depends on, by name: settings, tiles, code, seed. A checkpoint with another key
        is not used.
    """

    path: Path
    key: Mapping[str, str]

    def save(self, progress: Mapping[str, Any]) -> None:
        """Replace the checkpoint."""
        with atomic_write(self.path) as draft:
            torch.save({"key": dict(self.key), "progress": dict(progress)}, draft)
            digest = file_digest(draft)
            with draft.open("ab") as stream:
                stream.write(digest.encode())

    def load(self) -> dict[str, Any] | None:
        """Return the saved progress, with tensors on the CPU.

        None if there is no checkpoint, if it is damaged or if it belongs to other work; the log says which.
        """
        if not self.path.exists():
            return None
        try:
            require_plain_file(self.path, 1 << 63)
            if not self._intact():
                LOG.warning("%s: the checkpoint is damaged (other bytes than were written); starting afresh", self.path)
                return None
            stored = load_restricted(self.path)
            key, progress = dict(stored["key"]), dict(stored["progress"])
            if not all(isinstance(word, str) for word in (*key, *key.values())):
                raise TypeError("its key holds more than digests by name")
        except UNLOADABLE as error:
            LOG.warning("%s: cannot read the checkpoint (%s); starting afresh", self.path, error)
            return None
        changed = sorted(name for name in self.key.keys() | key.keys() if self.key.get(name) != key.get(name))
        if changed:
            LOG.info("%s: belongs to other %s; starting afresh", self.path, ", ".join(changed))
            return None
        return progress

    def _intact(self) -> bool:
        digest, left = hashlib.sha256(), self.path.stat().st_size - DIGEST_BYTES
        with self.path.open("rb") as stream:
            while left > 0 and (part := stream.read(min(left, 1 << 20))):
                digest.update(part)
                left -= len(part)
            return stream.read() == digest.hexdigest().encode()

    def remove(self) -> None:
        """Remove the file, once the training's output is complete."""
        self.path.unlink(missing_ok=True)
