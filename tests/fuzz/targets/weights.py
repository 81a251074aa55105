"""Files of weights, models and checkpoints."""

import hashlib
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save
from tests.fuzz.targets.arrays import Payload
from tests.fuzz.targets.base import Target
from torch import nn

from seamark.learning.checkpoints import Checkpoint
from seamark.weights.reading import load_strictly, read_safetensors, read_state

STATE = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}


def stored(value: object, *, zipped: bool = True) -> bytes:
    """Return what torch.save writes."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def files() -> list[bytes]:
    """State dictionaries, checkpoints, and files that would run something."""
    progress = {"key": {"seed": "1"}, "progress": {"step": 1}}
    values = [STATE, progress, {"weight": torch.full((3, 2), torch.nan), "bias": torch.zeros(3)}, [1], {1: STATE}]
    values += [{"weight": torch.ones(1).expand(3, 2), "bias": torch.zeros(3).to_sparse()}, {"key": 5, "progress": []}]
    both = [stored(value, zipped=zipped) for value in values for zipped in (True, False)]
    return [*both, pickle.dumps(Payload()), pickle.dumps(Payload(), protocol=0), b"PK\x03\x04", b""]


def pickles() -> list[bytes]:
    """What the zip files hold, and payloads."""
    found = []
    for content in files()[:8:2]:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found.append(next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")))
    return [*found, pickle.dumps(Payload(), protocol=2), b"\x80\x02cos\nsystem\n(X\x06\x00\x00\x00touch xtR."]


def read_file(content: bytes, folder: Path) -> None:
    """Read as weights and as a checkpoint."""
    path = folder / "x.pth"
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    Checkpoint(path, {"seed": "1"}).load()
    path.write_bytes(content)
    read_state(path)
    network = nn.Linear(2, 3)
    load_strictly(network, path, {})
    assert all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values())


def read_pickle(content: bytes, folder: Path) -> None:
    """Read a zip file as torch writes it around any pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(
        stream, "w", zipfile.ZIP_DEFLATED if len(content) % 11 == 0 else zipfile.ZIP_STORED
    ) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", b"little")
        for number in range(2):
            archive.writestr(f"archive/data/{number}", bytes(24))
        archive.writestr("archive/version", b"3\n")
    read_file(stream.getvalue(), folder)


def safetensors() -> list[bytes]:
    """Headers that are right, and that lie."""
    metadata = {"seamark": json.dumps({"settings": {}, "seed": 1})}
    files = [save(STATE, metadata=metadata), save(STATE), save(STATE, metadata={"seamark": "[" * 9999})]
    for header in (
        {"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 24]}},
        {"a": {"dtype": "F32", "shape": [6], "data_offsets": [0, 1 << 60]}},
        {"a": {"dtype": "F4", "shape": [6], "data_offsets": [0, 3]}},
        {"../../a": {"dtype": "U8", "shape": [24], "data_offsets": [0, 24]}},
    ):
        text = json.dumps(header).encode()
        files.append(struct.pack("<Q", len(text)) + text + bytes(24))
    return [*files, struct.pack("<Q", 1 << 62), b""]


def read_safe(content: bytes, folder: Path) -> None:
    """Read a safetensors file whose header has the right length, mostly."""
    if len(content) > 8 and content[-1] % 4 and (end := content.rfind(b"}", 8)) > 0:
        content = struct.pack("<Q", end + 1 - 8) + content[8:]
    path = folder / "x.safetensors"
    path.write_bytes(content)
    facts, state = read_safetensors(path)
    assert isinstance(facts, dict)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


TARGETS = {
    "weights": Target(files, read_file),
    "pickle": Target(pickles, read_pickle),
    "safetensors": Target(safetensors, read_safe),
}
