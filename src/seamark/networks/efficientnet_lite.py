"""EfficientNet-Lite0 of timm, and the names that its published weights use."""

from collections.abc import Sequence
from typing import cast

from torch import nn

from seamark.networks.folding import fold_batch_norm
from seamark.networks.in_strips import InStrips
from seamark.networks.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()
import timm  # noqa: E402  (timm imports torchvision, which needs the declaration above)
from timm.layers.conv2d_same import Conv2dSame  # noqa: E402

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


def build_efficientnet_lite0() -> nn.Module:
    """Build the whole classifier with random weights: timm's ``tf_efficientnet_lite0``.

    It has TensorFlow's "same" padding, which is what the published weights were trained with (timm's
    ``efficientnet_lite0`` pads symmetrically and would give other features).
    """
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return network


def stages(network: nn.Module) -> nn.Sequential:
    """Return the stages of a network of :func:`build_efficientnet_lite0`, each a sequence of blocks."""
    return cast(nn.Sequential, network.blocks)


def published_names(network: nn.Module) -> dict[str, str]:
    """Map the state names of the published file to those of timm, one entry per tensor.

    The file numbers its blocks throughout and names layers by their role; timm numbers blocks per stage and names
    layers by their order.
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


def _fold(parent: nn.Module, convolution_name: str, norm_name: str) -> None:
    """Fold a batch norm into the convolution before it and keep its activation."""
    activation = parent.get_submodule(f"{norm_name}.act")
    same = isinstance(parent.get_submodule(convolution_name), Conv2dSame)
    fold_batch_norm(parent, convolution_name, norm_name, activation, same=same)


def fold_batch_norms(network: nn.Module) -> None:
    """Fold every batch norm before the head into its convolution, in place.

    Features change by rounding (2e-6 of their length) and take about half the time. The first block of the second
    stage, whose inner features are the largest of all, works in strips of rows. The network can no longer be trained or
    loaded.
    """
    _fold(network, "conv_stem", "bn1")
    second = cast(nn.Sequential, stages(network)[1])
    channels = cast(nn.Conv2d, second.get_submodule("0.conv_pw")).out_channels
    for number, block in enumerate(block for stage in stages(network) for block in cast(nn.Sequential, stage)):
        layers = list((_WITH_EXPANSION if number else _WITHOUT_EXPANSION).values())
        for convolution, norm in zip(layers[::2], layers[1::2], strict=True):
            _fold(block, convolution, norm)
    second[0] = InStrips(second[0], stride=2, reach=2, channels=channels)


_STAGES_OF_LAYER = ((0,), (1,), (2,), (3, 4), (5, 6))
"""The stages at strides 2, 4, 8, 16 and 32; the deepest features of each resolution are the layer."""


def efficientnet_parts(network: nn.Module) -> Sequence[nn.Sequential]:
    """Return the parts of a network whose outputs are the layers at strides 2, 4, 8, 16 and 32.

    Each takes what the one before gives.
    """
    built = list(stages(network))
    stem = (network.get_submodule("conv_stem"), network.get_submodule("bn1"))
    parts = [[built[number] for number in numbers] for numbers in _STAGES_OF_LAYER]
    return [nn.Sequential(*stem, *parts[0]), *(nn.Sequential(*part) for part in parts[1:])]
