"""The StableAdamW variant that INP-Former trains with (docs/methods/robis.md#stableadamw)."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

BETAS = 0.9, 0.999
"""Decay of the running means of the gradient and of its square."""
EPSILON = 1e-10
"""Added to the denominator."""


class StableAdamW(torch.optim.Optimizer):
    """AdamW whose step shrinks where a tensor's gradient is large for its history.

    Differences to AdamW with AMSGrad: the running maximum is taken of the second moment before its bias is corrected,
    and the learning rate of each tensor is divided by ``max(1, rms)``, where ``rms`` is the root mean square of the
    gradient (not of its running mean) over the denominator.

    Parameters
    ----------
    parameters : iterable of Tensor
        What to optimise; decay applies to all of them, biases included.
    lr : float
        Learning rate.
    weight_decay : float
        Decoupled decay per unit of learning rate.

    References
    ----------
    Wortsman et al., Stable and low-precision training for large-scale vision-language models, 2023.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float = 1e-3, weight_decay: float = 1e-4) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no phase computes its loss anew
        """Update every tensor that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            for name in ("mean", "square", "square_max"):
                state[name] = torch.zeros_like(parameter)
        state["step"] += 1
        step = int(state["step"])
        beta1, beta2 = BETAS
        parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
        mean: Tensor = state["mean"].lerp_(gradient, 1.0 - beta1)
        square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
        torch.maximum(state["square_max"], square, out=state["square_max"])
        denominator = (state["square_max"].sqrt() / math.sqrt(1.0 - beta2**step)).add_(EPSILON)
        rms = (gradient / denominator).square_().mean().sqrt_()
        shrink = rms.clamp_(min=1.0)
        parameter.sub_((mean / denominator).mul_(group["lr"] / (1.0 - beta1**step) / shrink))
