"""Reading files of weights and loading them strictly."""

import pickle
import struct
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from seamark.errors import WeightsError

_NAMES_SHOWN = 6
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What torch's restricted unpickler raises on damaged bytes, as found by feeding it such."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a ``.pth`` file without running any code in it.

    Parameters
    ----------
    path : Path
        File that ``torch.save`` wrote from a state dictionary.

    Returns
    -------
    dict of str to Tensor
        Tensors by name, on the CPU.

    Raises
    ------
    WeightsError
        If the file is no such dictionary.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError(
            f"{path}: not a readable file of weights ({error}). Expected a state dictionary that torch.save wrote"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: expected a dictionary of named tensors (a state dictionary of torch)")
    return dict(state)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else "")


def state_differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Describe how two state dictionaries differ in names and shapes.

    Parameters
    ----------
    expected, found : mapping of str to Tensor
        What the network has, and what the file holds.

    Returns
    -------
    list of str
        One sentence each for missing, unexpected and misshaped entries; empty when all names and shapes agree.
    """
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(found.keys() - expected.keys())
    misshaped = [
        f"{name} {list(found[name].shape)} instead of {list(expected[name].shape)}"
        for name in expected
        if name in found and expected[name].shape != found[name].shape
    ]
    groups = {"missing": missing, "unexpected": unexpected, "misshaped": misshaped}
    return [f"{what}: {_listed(names)}" for what, names in groups.items() if names]


def load_strictly(
    network: nn.Module, path: Path, names: Mapping[str, str], unread: Collection[str] = frozenset()
) -> None:
    """Load a weights file whose names and shapes must all agree with a network's.

    Files from before torch counted the batches that a batch norm has seen lack these counters; they start at 0.

    Parameters
    ----------
    network : Module
        Receives the tensors of the file; it may have been built on the ``meta`` device, without any of its own.
    path : Path
        File that ``torch.save`` wrote from a state dictionary.
    names : mapping of str to str
        The network's name by the file's name, for the tensors that are called otherwise in the file.
    unread : collection of str
        Names of tensors that the file may hold besides, for parts of the published network that were left out.

    Raises
    ------
    WeightsError
        If the file is unreadable, or has missing, unexpected or misshaped entries, which the message names.
    """
    state = {names.get(name, name): tensor for name, tensor in read_state(path).items() if name not in unread}
    expected = network.state_dict()
    counters = {name for name in expected.keys() - state.keys() if name.endswith(".num_batches_tracked")}
    state |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
    differences = state_differences(expected, state)
    if differences:
        raise WeightsError(
            f"{path}: these are not the weights of {type(network).__name__}; " + "; ".join(differences) + ". "
            "Give the file that belongs to the configured network"
        )
    typed = {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}
    network.load_state_dict(typed, strict=True, assign=True)
