"""EfficientNet-Lite0 of timm, and the names that its published weights use."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from seamark.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()
import timm  # noqa: E402  (timm imports torchvision, which needs the declaration above)

_WITHOUT_EXPANSION = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_WITH_EXPANSION = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}

_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def build_efficientnet_lite0() -> nn.Module:
    """Build the whole classifier with random weights.

    Returns
    -------
    Module
        timm's ``tf_efficientnet_lite0``: TensorFlow's "same" padding, which is what the published weights were trained
        with (timm's ``efficientnet_lite0`` pads symmetrically and would give other features).
    """
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return network


def stages(network: nn.Module) -> nn.Sequential:
    """Return the stages of a network of :func:`build_efficientnet_lite0`, each a sequence of blocks."""
    return cast(nn.Sequential, network.blocks)


def published_names(network: nn.Module) -> dict[str, str]:
    """Map the state names of the published file to those of timm.

    The file numbers its blocks throughout and names layers by their role; timm numbers blocks per stage and names
    layers by their order.

    Parameters
    ----------
    network : Module
        Network of :func:`build_efficientnet_lite0`.

    Returns
    -------
    dict of str to str
        Name in this network by name in the published file, one entry per tensor.
    """
    modules = dict(_OUTSIDE_BLOCKS)
    sizes = [len(cast(nn.Sequential, stage)) for stage in stages(network)]
    places = [(stage, block) for stage, size in enumerate(sizes) for block in range(size)]
    for number, (stage, block) in enumerate(places):
        layers = _WITH_EXPANSION if number else _WITHOUT_EXPANSION
        modules |= {f"_blocks.{number}.{old}": f"blocks.{stage}.{block}.{new}" for old, new in layers.items()}
    published = {new: old for old, new in modules.items()}
    split = [name.rpartition(".") for name in network.state_dict()]
    return {f"{published[module]}.{tensor}": f"{module}.{tensor}" for module, _, tensor in split}


class _Pointwise(nn.Module):
    """A 1 x 1 convolution whose rounding does not depend on the number of threads.

    On the CPU torch chooses between two libraries for these by the number of threads and the size of the batch; the
    results differ in the last bits. Naming one library settles it.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.bias = convolution.bias

    def forward(self, features: Tensor) -> Tensor:
        settled = features.device.type == "cpu" and features.dtype == torch.float32
        if settled and _ONEDNN:
            return torch.mkldnn_convolution(features, self.weight, self.bias, (0, 0), (1, 1), (1, 1), 1)
        return functional.conv2d(features, self.weight, self.bias)


def _fold(parent: nn.Module, convolution_name: str, norm_name: str) -> None:
    """Fold a batch norm into the convolution before it and leave the activation in its place."""
    convolution = cast(nn.Conv2d, parent.get_submodule(convolution_name))
    norm = cast(nn.BatchNorm2d, parent.get_submodule(norm_name))
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    folded = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    convolution.weight, convolution.bias = folded
    pointwise = convolution.kernel_size == (1, 1)
    setattr(parent, convolution_name, _Pointwise(convolution) if pointwise else convolution)
    setattr(parent, norm_name, norm.get_submodule("act"))


def fold_batch_norms(network: nn.Module) -> None:
    """Fold every batch norm before the head into its convolution, in place.

    Features change by rounding (2e-6 of their length) and take about half the time. The network can no longer be
    trained or loaded.

    Parameters
    ----------
    network : Module
        Network of :func:`build_efficientnet_lite0` with its final weights.
    """
    _fold(network, "conv_stem", "bn1")
    for number, block in enumerate(block for stage in stages(network) for block in cast(nn.Sequential, stage)):
        layers = list((_WITH_EXPANSION if number else _WITHOUT_EXPANSION).values())
        for convolution, norm in zip(layers[::2], layers[1::2], strict=True):
            _fold(block, convolution, norm)


MARGIN_PX = 32
"""Mirrored border that the network gets around its input and that is cut off its features."""


def margin_px(shape: Sequence[int], multiple: int) -> int:
    """Return the margin that an input gets.

    Parameters
    ----------
    shape : sequence of int
        Height and width of the input in px.
    multiple : int
        Coarsest stride in px, which the margin has to fit.

    Returns
    -------
    int
        Margin in px on each side: at most 32, and less than the input's sides, as mirroring needs.
    """
    return min(MARGIN_PX, min(shape) - 1) // multiple * multiple
