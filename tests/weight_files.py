"""Files of pretrained weights as their authors publish them, but for the numbers in them, which are random."""

import zlib

import torch
from safetensors.torch import save_file

from seamark.backbones.families import build_network
from seamark.backbones.table import published_backbone
from seamark.masks.sam import build_sam
from seamark.networks.torchvision_operators import declare_torchvision_operators
from seamark.weights.published import SAM_WEIGHTS

SAM = "sam:"


def source(name):
    """Return what is known of the file of a backbone, or of ``sam:<model>``."""
    return SAM_WEIGHTS[name.removeprefix(SAM)] if name.startswith(SAM) else published_backbone(name).weights


def write_weights(name, folder):
    """Write it under its published name and return its path."""
    path = folder / source(name).file
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(name.encode()))
        state = published_network(name).state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def published_network(name):
    """Build a network with all that its file holds: a ResNet's last stage and classifier too."""
    if name.startswith(SAM):
        return build_sam(name.removeprefix(SAM))
    row = published_backbone(name)
    if row.family != "resnet":
        return build_network(row)
    declare_torchvision_operators()
    from torchvision import models  # noqa: PLC0415  (importable once the operators are declared)

    network = models.get_model(name, weights=None)
    return network.half() if name.startswith("wide") else network  # as torchvision stores them
