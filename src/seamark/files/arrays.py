"""Arrays of earlier stages, opened without reading them and never unpickled."""

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from seamark.errors import ManifestError
from seamark.files.plain import UNREADABLE, require_plain_file

FORM = b"\x93NUMPY\x01\x00"
"""How a .npy file of version 1.0 begins, whose header takes 64 KiB at most; NumPy reads those of others whole."""


def open_array(
    path: Path, dtype: npt.DTypeLike, shape: tuple[int | None, ...], what: str, rebuild: str
) -> np.memmap[tuple[int, ...], np.dtype[Any]]:
    """Open a .npy file as a read-only memory map, so that what its header claims takes no memory.

    Parameters
    ----------
    path, dtype : Path, dtype
        The file and what it must hold; objects are never unpickled.
    shape : tuple of int or None
        Its shape; None for a length that does not matter.
    what, rebuild : str
        What to call the array in messages, and what to do about a file that is not so.

    Raises
    ------
    ManifestError
        If the file is missing, damaged, or of another dtype or shape.
    """
    try:
        require_plain_file(path, 1 << 63)
        with path.open("rb") as stream:
            if stream.read(len(FORM)) != FORM:
                raise ValueError("it does not begin like a .npy file of version 1.0")
        array = np.lib.format.open_memmap(path, mode="r")
    except (*UNREADABLE, TokenError) as error:
        raise ManifestError(f"{path}: cannot read the {what} ({error}); {rebuild}") from error
    fits = len(shape) == array.ndim and all(
        length in {None, found} for length, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        raise ManifestError(
            f"{path}: expected {np.dtype(dtype)} of shape {tuple(shape)}, found {array.dtype} {array.shape}; {rebuild}"
        )
    return array
