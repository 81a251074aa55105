"""The teacher of EfficientAD: a frozen patch description network from a file, which no code is unpickled from."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from seamark.backbones.base import Backbone
from seamark.backbones.table import BackboneShape
from seamark.errors import ConfigError, WeightsError
from seamark.files.atomic import file_digest
from seamark.networks.pdn import STRIDE, Pdn, cell_count, pdn_layers
from seamark.settings.teacher import DISTILLED, RANDOM, TeacherSettings, require_field
from seamark.weights.reading import assign_strictly, read_safetensors, read_state, write_safetensors


class PdnTeacher(Backbone):
    """A patch description network as a frozen backbone; its features are not yet normalised."""

    def __init__(self, name: str, network: Pdn, digest: str) -> None:
        channels = network.head.out_channels
        super().__init__(BackboneShape(name=name, strides=(STRIDE,), channels=(channels,)), digest, (0,), channels)
        self.network = network

    def _features(self, batch: Tensor) -> list[Tensor]:
        return [self.network(batch)]

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of cells for an input of this size.

        Raises
        ------
        ConfigError
            If not a single cell fits.
        """
        require_field(self.name, (height, width))
        return cell_count(height), cell_count(width)


def load_teacher(teacher: str, settings: TeacherSettings, seed: int) -> PdnTeacher:
    """Build the teacher and load its weights.

    Parameters
    ----------
    teacher : str
        ``random`` or the path of a file: a state dictionary that torch.save wrote, or safetensors.
    settings : TeacherSettings
        Size, width and channels of the network.
    seed : int
        Seed of random weights.

    Returns
    -------
    PdnTeacher
        On the CPU, in evaluation mode, without gradients.

    Raises
    ------
    ConfigError
        If the distilled teacher was not put in place of its name, which planning does.
    WeightsError
        If the file is missing, unreadable or of another network.
    """
    layers = pdn_layers(settings.network, settings.channels, settings.width)
    if teacher == DISTILLED:
        raise ConfigError("teacher distilled: the file that the distill stage wrote is named by the run's plan only")
    digest, verified = "random", False
    if teacher == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Pdn(layers)
    else:
        path = Path(teacher).expanduser()
        state, verified = read_teacher(path)
        digest = file_digest(path)
        with torch.device("meta"):
            network = Pdn(layers)
        assign_strictly(
            network,
            state,
            path,
            "this patch description network",
            "Set network, width and channels to those of the file",
        )
    backbone = PdnTeacher(f"pdn_{settings.network}", network, digest)
    backbone.verified = verified
    return cast("PdnTeacher", backbone.freeze())


def read_teacher(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Read a file of teacher weights.

    Returns
    -------
    dict of str to Tensor
        By the names of :class:`seamark.networks.pdn.Pdn`; published names, which number their convolutions, become
        these.
    bool
        Whether it was distilled here from weights whose digest is the published one.

    Raises
    ------
    WeightsError
        If the file is missing or unreadable.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: the weights of the teacher are missing; correct `teacher:` or set it to distilled")
    if path.suffix != ".safetensors":
        return _own_names(read_state(path)), False
    facts, state = read_safetensors(path)
    return _own_names(state), bool(facts.get("backbone_verified", False))


def write_teacher(path: Path, network: Pdn, facts: Mapping[str, object]) -> None:
    """Write a teacher's weights with facts about where they come from; the same bytes for the same weights."""
    write_safetensors(path, network.state_dict(), facts)


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors that a file numbers otherwise, ``3.weight`` or ``conv2.weight``, by the order of their numbers."""
    parsed = {name: re.fullmatch(r"(?:convolutions\.|conv)?(\d+)\.(weight|bias)", name) for name in state}
    if not all(parsed.values()):
        return dict(state)
    numbers = sorted({int(match[1]) for match in parsed.values() if match})
    return {
        f"convolutions.{numbers.index(int(match[1]))}.{match[2]}": state[name]
        for name, match in parsed.items()
        if match
    }
