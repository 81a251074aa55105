"""Batch norms folded into the convolutions before them, for networks that are no longer trained."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from seamark.networks.onednn import in_one_pass, settled

_IN_ONE_PASS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""What oneDNN can do to a value of a convolution before it writes it, by activation."""


class _Pointwise(nn.Module):
    """A 1 x 1 convolution whose rounding does not depend on the number of threads.

    On the CPU torch chooses between two libraries for these by the number of threads and the size of the batch; the
    results differ in the last bits. Naming one library settles it.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.bias = convolution.bias
        self.stride = (convolution.stride[0], convolution.stride[1])

    def forward(self, features: Tensor) -> Tensor:
        if settled(features):
            return torch.mkldnn_convolution(features, self.weight, self.bias, (0, 0), self.stride, (1, 1), 1)
        return functional.conv2d(features, self.weight, self.bias, self.stride)


class _Fused(nn.Module):
    """A convolution and its activation; on the CPU both in one pass over the features, and without a padded copy.

    Bits are those of one after the other. TensorFlow's "same" padding with stride 2 adds one more row and column at the
    far sides than at the near ones; a kernel with a row and a column of zeros before its own does the same with equal
    padding on all sides.
    """

    wide: Tensor

    def __init__(self, plain: nn.Module, convolution: nn.Conv2d, activation: nn.Module, *, same: bool) -> None:
        super().__init__()
        self.plain, self.activation = plain, activation
        self.stride, self.groups, self.same = convolution.stride, convolution.groups, same
        half = [side // 2 for side in convolution.kernel_size]
        self.padding = half if same else [int(side) for side in convolution.padding]
        weight = convolution.weight.detach()
        self.register_buffer("wide", functional.pad(weight, (1, 0, 1, 0)) if same else weight, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        if not self._in_one_pass(features):
            return cast(Tensor, self.activation(self.plain(features)))
        name, bounds = _IN_ONE_PASS[type(self.activation)]
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            features, self.wide, self.plain.bias, self.padding, self.stride, (1, 1), self.groups, name, bounds, ""
        )
        return found

    def _in_one_pass(self, features: Tensor) -> bool:
        """Say whether there is such a pass; odd sides pad otherwise."""
        even = features.shape[2] % 2 == 0 and features.shape[3] % 2 == 0
        return in_one_pass(features) and (even or not self.same)


def fold_batch_norm(
    parent: nn.Module, convolution_name: str, norm_name: str, activation: nn.Module, *, same: bool = False
) -> None:
    """Fold a batch norm into the convolution before it, in place.

    Parameters
    ----------
    parent : Module
        Holds both.
    convolution_name, norm_name : str
        Their names within it.
    activation : Module
        Follows the batch norm; ReLU and ReLU6 become one with the convolution.
    same : bool
        Whether the convolution has stride 2 and TensorFlow's "same" padding, which depends on the input.
    """
    convolution = cast(nn.Conv2d, parent.get_submodule(convolution_name))
    norm = cast(nn.BatchNorm2d, parent.get_submodule(norm_name))
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    folded = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    convolution.weight, convolution.bias = folded
    settled = _Pointwise(convolution) if convolution.kernel_size == (1, 1) else convolution
    fused = type(activation) in _IN_ONE_PASS
    setattr(parent, convolution_name, _Fused(settled, convolution, activation, same=same) if fused else settled)
    setattr(parent, norm_name, nn.Identity() if fused else activation)
