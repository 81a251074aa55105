"""Masks of the truth as data sets have them: one file, or a folder of several whose union it is."""

import hashlib
from pathlib import Path

import numpy as np

from seamark.data.listing import mask_files
from seamark.errors import DataError
from seamark.files.atomic import file_digest
from seamark.files.images import BoolArray, read_mask
from seamark.files.plain import shown


def read_truth(path: Path, most_pixels: int, *, labels: bool) -> BoolArray:
    """Read the mask of a truth.

    Parameters
    ----------
    path : Path
        File, or folder of files.
    most_pixels : int
        Pixels that a mask may have.
    labels : bool
        Whether values say what kind of defect it is, so that all but 0 are one.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True where a defect is.

    Raises
    ------
    DataError
        If a file is missing or damaged, has other values, or files of a folder have different sizes.
    """
    masks = [read_mask(file, most_pixels, labels=labels) for file in mask_files(path)]
    if len({mask.shape for mask in masks}) != 1:
        raise DataError(f"{shown(path)}: expected masks of one size, found {sorted({m.shape for m in masks})}")
    return np.asarray(np.logical_or.reduce(masks), np.bool_)


def truth_digest(path: Path) -> str:
    """Return the SHA-256 of a mask's file, or of the digests of the files of its folder."""
    digests = [file_digest(file) for file in mask_files(path)]
    return digests[0] if path.is_file() else hashlib.sha256("\n".join(digests).encode()).hexdigest()
