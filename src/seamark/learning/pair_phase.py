"""Phases of detectors that learn from pairs of a tile and its anomalous twin."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from seamark.learning.anomalous_pairs import PairBatch, PairMaker
from seamark.learning.batches import Batch, TileReader
from seamark.learning.best_weights import EarlyStopping
from seamark.learning.phases import Arithmetic, SteppedPhase


class PairPhase(SteppedPhase):
    """Learns from pairs with one or several optimisers; it may end early on synthetic anomalies.

    Parameters
    ----------
    steps, batch_size : int
        Number of steps at most, tiles per step.
    make : PairMaker
        Makes the pairs of training tiles.
    optimisers : mapping of str to Optimizer
        Update what is trained.
    stopping : EarlyStopping
        Watches it.
    """

    def __init__(
        self,
        *,
        steps: int,
        batch_size: int,
        make: PairMaker,
        optimisers: Mapping[str, torch.optim.Optimizer],
        stopping: EarlyStopping,
    ) -> None:
        self.steps, self.batch_size, self.make = steps, batch_size, make
        self.optimisers, self.stopping = optimisers, stopping

    @abstractmethod
    def learn(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:
        """Make all updates of a step and return the losses, by name."""

    def update(self, name: str, losses: Sequence[Tensor]) -> None:
        """Let an optimiser make a step that minimises the sum of losses."""
        self.optimisers[name].zero_grad(set_to_none=True)
        torch.stack(list(losses)).sum().backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        self.optimisers[name].step()

    def batch(self, reader: TileReader, step: int, tiles: Sequence[int]) -> Batch:  # noqa: D102, ARG002
        return PairBatch(self.make, self.name, step, tiles)

    def step(self, batch: Batch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        losses = self.learn(cast("PairBatch", batch), arithmetic)
        self.stopping.after_step(batch.step + 1, self.steps)
        self.stopped = self.stopping.stopped
        return {name: loss.detach() for name, loss in losses.items()} | self.stopping.note()

    def state(self) -> dict[str, Any]:  # noqa: D102
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        return {"optimisers": optimisers, "stopping": self.stopping.state()}

    def load(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.stopping.load(state["stopping"])

    def finish(self) -> None:  # noqa: D102
        self.stopping.restore_best()


class SummedPairPhase(PairPhase):
    """The plain case: the only optimiser minimises the sum of all losses."""

    @abstractmethod
    def losses(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:
        """Return the losses of a batch, by name."""

    def learn(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        losses = self.losses(pairs, arithmetic)
        (name,) = self.optimisers
        self.update(name, list(losses.values()))
        return losses
