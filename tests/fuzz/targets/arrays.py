"""Arrays of tiles and scores."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
from tests.fuzz.targets.base import Target

from seamark.files.arrays import open_array


def npy(header: str, values: bytes = bytes(24)) -> bytes:
    """Return a .npy file with any header."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values


class Payload:
    """Starts a program when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch executed",)


def seeds() -> list[bytes]:
    """Arrays that are right, and hostile ones."""
    files = []
    for array in (np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.float32, order="F"), np.zeros((0, 3, 4))):
        stream = io.BytesIO()
        np.save(stream, array)
        files.append(stream.getvalue())
    stream = io.BytesIO()
    np.save(stream, np.array([Payload()], dtype=object), allow_pickle=True)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.npy", files[0])
    lies = [
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 3, 4), }"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -3, 4), }"),
        npy("{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (2,), }"),
        npy("__import__('os').system('touch executed')"),
        npy("(" * 60),
    ]
    return [*files, stream.getvalue(), zipped.getvalue(), pickle.dumps(Payload()), *lies]


def read(content: bytes, folder: Path) -> None:
    """Open as tiles and as scores."""
    path = folder / "x.npy"
    path.write_bytes(content)
    kind = np.uint8 if content[-1:] < b"\x80" else np.float32
    array = open_array(path, kind, (2, 3, 4), "tiles", "rebuild crop")
    assert array.sum() >= 0 or not np.isfinite(array.sum()) or kind is np.float32
    assert not array.flags.writeable


TARGETS = {"npy": Target(seeds, read)}
