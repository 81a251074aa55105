"""Batch norms folded into the convolutions before them, for networks that are no longer trained."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


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
        settled = features.device.type == "cpu" and features.dtype == torch.float32
        if settled and _ONEDNN:
            return torch.mkldnn_convolution(features, self.weight, self.bias, (0, 0), self.stride, (1, 1), 1)
        return functional.conv2d(features, self.weight, self.bias, self.stride)


def fold_batch_norm(parent: nn.Module, convolution_name: str, norm_name: str, activation: nn.Module) -> None:
    """Fold a batch norm into the convolution before it, in place.

    Parameters
    ----------
    parent : Module
        Holds both.
    convolution_name, norm_name : str
        Their names within it.
    activation : Module
        Takes the place of the batch norm.
    """
    convolution = cast(nn.Conv2d, parent.get_submodule(convolution_name))
    norm = cast(nn.BatchNorm2d, parent.get_submodule(norm_name))
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    folded = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    convolution.weight, convolution.bias = folded
    pointwise = convolution.kernel_size == (1, 1)
    setattr(parent, convolution_name, _Pointwise(convolution) if pointwise else convolution)
    setattr(parent, norm_name, activation)
