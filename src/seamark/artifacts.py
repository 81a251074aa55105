"""Files that are complete or absent: temporary siblings, swapped or renamed into place."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Parameters
    ----------
    path : Path
        File to read.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _drop(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _drop_leftovers(target: Path) -> None:
    """Remove what killed jobs left beside a target; only one job writes a target at a time."""
    for leftover in target.parent.glob(f".{target.name}.tmp-*"):
        _drop(leftover)


def _draft_of(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    _drop_leftovers(target)
    return target.with_name(f".{target.name}.tmp-{os.getpid()}")


def _flush(path: Path) -> None:
    """Ask the operating system to put a file or folder entry on disk before it is renamed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def committed_file(path: Path) -> Iterator[Path]:
    """Give a temporary sibling path to write to; rename it to ``path`` if the block ends well.

    Parameters
    ----------
    path : Path
        File that appears complete or not at all. Its folder is made when it is missing.

    Yields
    ------
    Path
        Where to write.
    """
    draft = _draft_of(path)
    try:
        yield draft
        _flush(draft)
        draft.replace(path)
    except BaseException:
        _drop(draft)
        raise


@contextmanager
def committed_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary sibling folder to fill; swap it in for ``folder`` if the block ends well.

    Parameters
    ----------
    folder : Path
        Folder that afterwards holds exactly what the block wrote. What it held before is removed.

    Yields
    ------
    Path
        Empty folder on the same file system.
    """
    draft = _draft_of(folder)
    draft.mkdir()
    try:
        yield draft
        retired = folder.with_name(f".{folder.name}.tmp-old-{os.getpid()}")
        if folder.exists():
            folder.replace(retired)
        draft.replace(folder)
        _flush(folder.parent)
        _drop(retired)
    except BaseException:
        _drop(draft)
        raise
