"""The phase of a detector that learns from pairs of a tile and its anomalous twin with one optimiser."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from seamark.learning.anomalous_pairs import PairBatch, PairMaker
from seamark.learning.batches import Batch, TileReader
from seamark.learning.early_stopping import EarlyStopping
from seamark.learning.phases import Arithmetic, SteppedPhase


class PairPhase(SteppedPhase):
    """Minimises the sum of its losses; it may end early on synthetic anomalies.

    Parameters
    ----------
    steps, batch_size : int
        Number of steps at most, tiles per step.
    make : PairMaker
        Makes the pairs of training tiles.
    optimiser : Optimizer
        Updates what is trained.
    stopping : EarlyStopping
        Watches it.
    """

    def __init__(
        self, *, steps: int, batch_size: int, make: PairMaker, optimiser: torch.optim.Optimizer, stopping: EarlyStopping
    ) -> None:
        self.steps, self.batch_size, self.make = steps, batch_size, make
        self.optimiser, self.stopping = optimiser, stopping

    @abstractmethod
    def losses(self, pairs: PairBatch, arithmetic: Arithmetic) -> dict[str, Tensor]:
        """Return the losses of a batch, by name; their sum is minimised."""

    def batch(self, reader: TileReader, step: int, tiles: Sequence[int]) -> Batch:  # noqa: D102, ARG002
        return PairBatch(self.make, self.name, step, tiles)

    def step(self, batch: Batch, arithmetic: Arithmetic) -> dict[str, Tensor]:  # noqa: D102
        losses = self.losses(cast("PairBatch", batch), arithmetic)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]  # torch ships no type
        self.optimiser.step()
        self.stopping.after_step(batch.step + 1, self.steps)
        self.stopped = self.stopping.stopped
        return {name: loss.detach() for name, loss in losses.items()} | self.stopping.note()

    def state(self) -> dict[str, Any]:  # noqa: D102
        return {"optimiser": self.optimiser.state_dict(), "stopping": self.stopping.state()}

    def load(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.optimiser.load_state_dict(state["optimiser"])
        self.stopping.load(state["stopping"])

    def finish(self) -> None:  # noqa: D102
        self.stopping.restore_best()
