"""Checkpoints of a training: written by rename, loaded without unpickling code, kept only for the same work."""

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seamark.artifacts import committed_file

LOG = logging.getLogger(__name__)


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
        """Replace the checkpoint.

        Parameters
        ----------
        progress : mapping
            Tensors, numbers, text, and lists and dicts of these.
        """
        with committed_file(self.path) as draft:
            torch.save({"key": dict(self.key), "progress": dict(progress)}, draft)

    def load(self) -> dict[str, Any] | None:
        """Return the saved progress, with tensors on the CPU.

        Returns
        -------
        dict or None
            None if there is no checkpoint, if it cannot be read or if it belongs to other work; the log says which.
        """
        if not self.path.exists():
            return None
        try:
            stored = torch.load(self.path, map_location="cpu", weights_only=True)
            key, progress = stored["key"], stored["progress"]
        except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            LOG.warning("%s: cannot read the checkpoint (%s); starting afresh", self.path, error)
            return None
        changed = sorted(name for name in self.key.keys() | key.keys() if self.key.get(name) != key.get(name))
        if changed:
            LOG.info("%s: belongs to other %s; starting afresh", self.path, ", ".join(changed))
            return None
        return dict(progress)

    def remove(self) -> None:
        """Remove the file, once the training's output is complete."""
        self.path.unlink(missing_ok=True)
