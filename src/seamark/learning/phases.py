"""Training phases: what a detector does between its first tile and its last weight."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from seamark.learning.batches import Batch, TileReader, TrainingTiles
from seamark.settings.augmentation import AugmentationSettings

Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Yields items and reports progress."""
Arithmetic = Callable[[], AbstractContextManager[Any]]
"""Opens a block in which the forward pass runs in the configured arithmetic."""


class ComputedPhase(ABC):
    """A phase without steps that just runs: statistics, quantiles, a feature bank; no other has its name."""

    name: str

    @abstractmethod
    def run(self, tiles: TrainingTiles, track: Track) -> None:
        """Do the work; what it makes is part of the detector's state."""


class SteppedPhase(ABC):
    """A phase of optimiser steps; it may have several optimisers and its own choreography.

    Attributes
    ----------
    name : str
        Unique within the detector.
    steps : int
        Number of steps, at most.
    batch_size : int
        Tiles per step.
    augmentation : AugmentationSettings or None
        How training tiles are augmented.
    stopped : bool
        Set by a step after which the phase is over, though it has not made all its steps.
    """

    name: str
    steps: int
    batch_size: int
    augmentation: AugmentationSettings | None = None
    stopped: bool = False

    def batch(self, reader: TileReader, step: int, tiles: Sequence[int]) -> Batch:
        """Return the batch of a step; a phase that makes more of its tiles than augmented ones gives its own kind."""
        return Batch(reader, self.name, step, tiles, self.augmentation)

    @abstractmethod
    def step(self, batch: Batch, arithmetic: Arithmetic) -> dict[str, Tensor]:
        """Make one step and return the losses it saw, by name, detached scalars.

        ``batch.step`` counts from 0; ``with arithmetic():`` is to surround the forward pass.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what a later step needs besides the detector's state, that is the optimisers."""

    @abstractmethod
    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""

    def finish(self) -> None:  # noqa: B027  (most phases have nothing left to do)
        """Do what is left after the last step, such as restoring the best weights."""


Phase = ComputedPhase | SteppedPhase


class GradientPhase(SteppedPhase):
    """The plain case: one optimiser, one loss, a learning rate per step.

    Parameters
    ----------
    name : str
        Name of the phase.
    steps, batch_size : int
        Number of steps, tiles per step.
    module : Module
        Its parameters are clipped together; the optimiser was made for them.
    optimiser : Optimizer
        Updates the parameters.
    rate : callable
        Learning rate of a step, counted from 0.
    loss : callable
        Turns a batch into losses by name; the first one is minimised, the others are noted.
    clip : float or None
        Largest L2 norm of the gradient of all parameters together.
    augmentation : AugmentationSettings or None
        How training tiles are augmented.
    """

    def __init__(
        self,
        name: str,
        *,
        steps: int,
        batch_size: int,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        rate: Callable[[int], float],
        loss: Callable[[Batch], dict[str, Tensor]],
        clip: float | None = None,
        augmentation: AugmentationSettings | None = None,
    ) -> None:
        self.name, self.steps, self.batch_size, self.augmentation = name, steps, batch_size, augmentation
        self.module, self.optimiser, self.rate, self.loss, self.clip = module, optimiser, rate, loss, clip

    def step(self, batch: Batch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(batch.step)
        with arithmetic():
            losses = self.loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        minimised = next(iter(losses.values()))
        if minimised.requires_grad:  # a batch of synthetic anomalies may be without any, and teach nothing
            minimised.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)
        self.optimiser.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def state(self) -> dict[str, Any]:  # noqa: D102
        return {"optimiser": self.optimiser.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.optimiser.load_state_dict(state["optimiser"])


def warmup_cosine(step: int, steps: int, warmup: int, highest: float, final: float) -> float:
    """Return the learning rate of a step: linear warm-up that includes both ends, then half a cosine.

    Parameters
    ----------
    step : int
        Step from 0; the first update has rate 0 when there is a warm-up.
    steps : int
        Steps of the whole training.
    warmup : int
        Steps of the warm-up; it is cut to the number of steps.
    highest, final : float
        Rate at the end of the warm-up and at the end of the cosine.

    Notes
    -----
    docs/methods/robis.md#learning-rate.
    """
    warmup = min(warmup, steps)
    if step < warmup:
        return highest * step / max(1, warmup - 1)
    if step >= steps:
        return final
    return final + 0.5 * (highest - final) * (1.0 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
