"""Ending a training phase when it gains nothing more on synthetic anomalies, and keeping its best weights."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seamark.files.images import BoolArray, Float32Array
from seamark.learning.anomalous_pairs import PairMaker, SyntheticValidation
from seamark.settings.anomalous_pairs import EarlyStopSettings


def average_precision(scores: Float32Array, truth: BoolArray) -> float:
    """Return the area under precision over recall, cells of equal score taken together.

    Parameters
    ----------
    scores : ndarray of float32, shape (n,)
        Higher is more anomalous.
    truth : ndarray of bool, shape (n,)
        At least one is True.

    Returns
    -------
    float
        0..1.
    """
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order], dtype=np.int64)
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision = found[last] / (last + 1)
    gained = np.diff(found[last], prepend=0)
    return float((precision * gained).sum() / found[-1])


class EarlyStopping:
    """Watches a phase on synthetic anomalies and remembers the best weights of some modules.

    Parameters
    ----------
    settings : EarlyStopSettings or None
        When to evaluate and when to end; None for never.
    modules : mapping of str to Module
        What is evaluated, remembered and restored, parameters and buffers.
    make : PairMaker
        Makes anomalies on validation tiles, without augmentation.
    score : callable
        Gives scores (B, H / 4, W / 4) of network inputs (B, 3, H, W).
    """

    def __init__(
        self,
        settings: EarlyStopSettings | None,
        modules: Mapping[str, nn.Module],
        make: PairMaker,
        score: Callable[[Tensor], Tensor],
    ) -> None:
        self.settings, self.modules, self.score = settings, nn.ModuleDict(modules), score
        self.validation = SyntheticValidation(make, settings) if settings else None
        self.latest, self.best, self.fruitless = 0.0, -1.0, 0
        self.stopped = False
        self.kept: dict[str, Tensor] = {}

    def after_step(self, done: int, steps: int) -> None:
        """Evaluate where it is due, after ``done`` of at most ``steps`` steps."""
        if self.settings is None or (done % self.settings.every_steps and done != steps):
            return
        self.latest = self._measure()
        if self.latest > self.best + self.settings.min_improvement:
            self.best, self.fruitless = self.latest, 0
            self.kept = {name: tensor.detach().clone() for name, tensor in self.modules.state_dict().items()}
        else:
            self.fruitless += 1
        self.stopped = self.fruitless >= self.settings.patience and done >= self.settings.min_steps

    @torch.no_grad()
    def _measure(self) -> float:
        """Return the average precision over the cells of all validation images together."""
        self.modules.eval()
        scores, truth = [], []
        for image, mask in self.validation or ():
            scores.append(self.score(image).float().cpu().numpy().ravel())
            truth.append(mask.ravel())
        return average_precision(np.concatenate(scores), np.concatenate(truth))

    def note(self) -> dict[str, Tensor]:
        """Return the latest average precision for the curves, 0 before the first; nothing without settings."""
        return {} if self.settings is None else {"validation_ap": torch.tensor(self.latest)}

    def restore_best(self) -> None:
        """Give the modules the weights of the best evaluation, if there was one."""
        if self.kept:
            self.modules.load_state_dict(self.kept)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`load` needs to go on."""
        return {"latest": self.latest, "best": self.best, "fruitless": self.fruitless, "kept": self.kept}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.latest, self.best, self.fruitless = state["latest"], state["best"], state["fruitless"]
        self.kept = dict(state["kept"])
