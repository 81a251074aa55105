"""Linear layers of networks that are no longer trained: on the CPU with their activation or sum in one pass."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from seamark.networks.onednn import in_one_pass


def linear(
    features: Tensor, weight: Tensor, bias: Tensor | None, activation: Literal["none", "gelu"] = "none"
) -> Tensor:
    """Multiply, add a bias, and apply an activation.

    Parameters
    ----------
    features : Tensor, shape (B, N, I)
        Of B tiles.
    weight : Tensor, shape (O, I) or (B, O, I)
        For all tiles or for each.
    bias : Tensor, shape (O,), optional
        For all tiles.
    activation : {"none", "gelu"}
        Applied to what comes out.

    Returns
    -------
    Tensor, shape (B, N, O)
        Up to rounding the same whichever way it is computed.
    """
    shared = weight[0] if len(weight) == 1 and weight.ndim == 3 else weight
    if shared.ndim == 2 and in_one_pass(features):
        found: Tensor = torch.ops.mkldnn._linear_pointwise(features, shared, bias, activation, [], "none")
        return found
    if shared.ndim == 2:
        found = F.linear(features, shared, bias)
    else:
        found = (
            features @ shared.transpose(1, 2) if bias is None else torch.baddbmm(bias, features, shared.transpose(1, 2))
        )
    return F.gelu(found) if activation == "gelu" else found


def linear_added(features: Tensor, weight: Tensor, bias: Tensor, other: Tensor) -> Tensor:
    """Multiply with a weight (O, I), add a bias (O,) and another tensor (B, N, O) to features (B, N, I)."""
    if in_one_pass(features):
        found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(features, other, weight, bias, "add")
        return found
    return F.linear(features, weight, bias) + other
