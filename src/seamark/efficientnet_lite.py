"""EfficientNet-Lite0 of timm, and the names that its published weights use."""

from typing import cast

from torch import nn

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
    places = [
        (stage, block)
        for stage, blocks in enumerate(stages(network))
        for block in range(len(cast(nn.Sequential, blocks)))
    ]
    for number, (stage, block) in enumerate(places):
        layers = _WITH_EXPANSION if number else _WITHOUT_EXPANSION
        modules |= {f"_blocks.{number}.{old}": f"blocks.{stage}.{block}.{new}" for old, new in layers.items()}
    published = {new: old for old, new in modules.items()}
    split = [name.rpartition(".") for name in network.state_dict()]
    return {f"{published[module]}.{tensor}": f"{module}.{tensor}" for module, _, tensor in split}
