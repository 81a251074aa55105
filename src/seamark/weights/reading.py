"""Reading and writing files of weights, and loading them strictly."""

import json
import mmap
import pickle
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from seamark.errors import WeightsError
from seamark.files.plain import UNREADABLE, examples, require_plain_file, shown

Renaming = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]
HEADER = "seamark"
"""The only key of a header of ours, because safetensors writes several keys in any order."""
ZIP_SIGNATURE = b"PK\x03\x04"
UNLOADABLE = (pickle.UnpicklingError, zipfile.BadZipFile, *UNREADABLE)
"""What :func:`load_restricted` raises on damaged bytes, as found by feeding it such."""


def load_restricted(path: Path) -> Any:
    """Load what ``torch.save`` wrote, onto the CPU, without running any code in it and without unpacking anything.

    Raises
    ------
    Exception
        One of :data:`UNLOADABLE`.
    """
    require_plain_file(path, 1 << 63)
    with path.open("rb") as stream:
        if stream.read(len(ZIP_SIGNATURE)) != ZIP_SIGNATURE:  # torch tells by these, too, how to read it
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                # Of a map no more can be read than is there, whatever a length in the file says.
                return torch.load(cast("BinaryIO", content), map_location="cpu", weights_only=True)
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("its members are compressed, which torch.save never does")
    return torch.load(path, map_location="cpu", weights_only=True)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a ``.pth`` file, onto the CPU, without running any code in it.

    Raises
    ------
    WeightsError
        If the file is no such dictionary.
    """
    try:
        state = load_restricted(path)
    except UNLOADABLE as error:
        raise WeightsError(
            f"{path}: not a readable file of weights ({shown(str(error))}). Expected a state dictionary that "
            "torch.save wrote"
        ) from error
    if not isinstance(state, dict) or not all(_is_plain(name, value) for name, value in state.items()):
        raise WeightsError(f"{path}: expected a dictionary of named tensors (a state dictionary of torch)")
    return dict(state)


def _is_plain(name: object, value: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout is torch.strided
        and not value.is_quantized
        and not value.is_meta
    )


def write_safetensors(path: Path, state: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
    """Write named tensors and facts about them, which become JSON; the same bytes for the same values."""
    plain = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    save_file(plain, path, metadata={HEADER: json.dumps(dict(facts), sort_keys=True)})


def read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a ``.safetensors`` file: the facts that its header holds as JSON, if any, and tensors by name, on the CPU.

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    """
    try:
        require_plain_file(path, 1 << 63)
        with safe_open(path, framework="pt") as stream:
            facts = json.loads((stream.metadata() or {}).get(HEADER, "{}"))
        if not isinstance(facts, dict):
            raise TypeError(f"its header has {type(facts).__name__} as {HEADER}, expected an object")
        return facts, load_file(path)
    except (SafetensorError, *UNREADABLE) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({shown(str(error))})") from error


def require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights with infinities or NaN, which would make every score useless; the path is for the message.

    Raises
    ------
    WeightsError
        Naming the first such tensors.
    """
    strange = [name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())]
    if strange:
        raise WeightsError(
            f"{path}: weights that are infinite or not a number in {', '.join(examples(strange))}; fetch the file "
            "again, or train it again"
        )


def state_differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Describe in what names and shapes a file's tensors differ from a network's.

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
    return [f"{what}: {', '.join(examples(names))}" for what, names in groups.items() if names]


def load_strictly(
    network: nn.Module,
    path: Path,
    names: Mapping[str, str],
    unread: Collection[str] = frozenset(),
    *,
    called: str | None = None,
    renamed: Renaming | None = None,
) -> None:
    """Load a weights file whose names and shapes must all agree with a network's.

    Files from before torch counted the batches that a batch norm has seen lack these counters; they start at 0.

    Parameters
    ----------
    network : Module
        Receives the tensors of the file; it may have been built on the ``meta`` device, without any of its own.
    path : Path
        File that ``torch.save`` wrote from a state dictionary, or ``.safetensors``.
    names : mapping of str to str
        The network's name by the file's name, for the tensors that are called otherwise in the file.
    unread : collection of str
        Names of tensors that the file may hold besides, for parts of the published network that were left out.
    called : str, optional
        What the network is called in messages; None for the name of its class.
    renamed : callable, optional
        Gives the tensors by the network's names, of the network and the file's tensors.

    Raises
    ------
    WeightsError
        If the file is unreadable, has missing, unexpected or misshaped entries, which the message names, or numbers
        that are not finite.
    """
    state = read_safetensors(path)[1] if path.suffix == ".safetensors" else read_state(path)
    if renamed is not None:
        state = renamed(network, state)
    state = {names.get(name, name): tensor for name, tensor in state.items() if name not in unread}
    counters = {name for name in network.state_dict().keys() - state.keys() if name.endswith(".num_batches_tracked")}
    state |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
    assign_strictly(
        network, state, path, called or type(network).__name__, "Give the file that belongs to the configured network"
    )


def assign_strictly(network: nn.Module, state: Mapping[str, Tensor], path: Path, called: str, remedy: str) -> None:
    """Put tensors in place of a network's own, whose names and shapes they must have.

    Parameters
    ----------
    network : Module
        Receives them, in its own types.
    state : mapping of str to Tensor
        Tensors by name.
    path : Path
        Where they were read, for the message.
    called, remedy : str
        What the network is called and what to do, for the message.

    Raises
    ------
    WeightsError
        If names or shapes differ, or numbers are not finite.
    """
    expected = network.state_dict()
    differences = state_differences(expected, state)
    if differences:
        raise WeightsError(f"{path}: these are not the weights of {called}; " + "; ".join(differences) + f". {remedy}")
    require_finite(state, path)
    typed = {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}
    network.load_state_dict(typed, strict=True, assign=True)
