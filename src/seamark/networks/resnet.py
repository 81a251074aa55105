"""The ResNets of timm up to their third stage, under the names of torchvision's files of weights.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016; Zagoruyko and Komodakis, "Wide residual
networks", BMVC 2016. Stage 4 and the classifier, which no detector reads, do not exist here.
"""

from collections.abc import Sequence

import torch
from torch import nn

from seamark.networks.folding import fold_batch_norm
from seamark.networks.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()
import timm  # noqa: E402  (timm imports torchvision, which needs the declaration above)

_STEM = ("conv1", "bn1", "act1", "maxpool", "layer1")


def build_resnet(name: str) -> nn.Module:
    """Build stem and stages 1 to 3 with random weights (Kaiming normal by the outputs); it gives their features."""
    network: nn.Module = timm.create_model(
        name, pretrained=False, features_only=True, out_indices=(1, 2, 3), zero_init_last=False
    )
    return network


def resnet_parts(network: nn.Module) -> Sequence[nn.Sequential]:
    """Return the parts of a network of :func:`build_resnet` whose outputs are the layers at strides 4, 8 and 16."""
    stem = [network.get_submodule(name) for name in _STEM]
    return nn.Sequential(*stem), *(nn.Sequential(network.get_submodule(name)) for name in ("layer2", "layer3"))


def unread_names(name: str) -> frozenset[str]:
    """Return the names of a published file's tensors that the network does without: stage 4 and the classifier."""
    with torch.device("meta"):
        whole, built = timm.create_model(name, pretrained=False), build_resnet(name)
    return frozenset(whole.state_dict()) - frozenset(built.state_dict())


def fold_resnet(network: nn.Module) -> None:
    """Fold every batch norm into its convolution, in place; the network can no longer be trained or loaded."""
    modules = dict(network.named_modules())
    for name, norm in modules.items():
        if isinstance(norm, nn.BatchNorm2d):
            path, _, own = name.rpartition(".")
            convolution = "0" if own == "1" else own.replace("bn", "conv")
            fold_batch_norm(modules[path], convolution, own, nn.Identity())
