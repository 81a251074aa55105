"""Files that are complete or absent: temporary siblings, swapped or renamed into place."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seamark.errors import DiskFullError

LITTLE_BYTES = 1 << 16
"""A disk with less than this is full, whatever the error of the library that could not write."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
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


def _flush(path: Path) -> None:
    """Ask the operating system to put a file or folder entry on disk before it is renamed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """Name a temporary sibling of a target, in a folder that is there; drop it when the block fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _drop_leftovers(target)
    draft = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        yield draft
    except BaseException as error:
        full = _disk_full(error, draft, target)
        _drop(draft)
        if full is not None:
            raise full from error
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary sibling path to write to; rename it to ``path`` if the block ends well.

    The file appears complete or not at all; its folder is made when it is missing.
    """
    with _draft_of(path) as draft:
        yield draft
        _flush(draft)
        draft.replace(path)


@contextmanager
def atomic_siblings(*targets: Path) -> Iterator[Path]:
    """Give a temporary folder, empty, to make files and folders in under their own names; swap all in at the end.

    The targets lie in one folder. If the block ends well they are swapped in one right after the other, otherwise all
    that was there before stays.
    """
    with _draft_of(targets[0]) as draft:
        draft.mkdir()
        yield draft
        for target in targets:
            _flush(draft / target.name)
        retired = draft / ".retired"
        retired.mkdir()
        for target in targets:
            if target.is_dir():
                target.replace(retired / target.name)
            (draft / target.name).replace(target)
        _flush(targets[0].parent)
        _drop(draft)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder, empty, to fill; swap it in for ``folder`` if the block ends well.

    Afterwards the folder holds exactly what the block wrote; what it held before is removed.
    """
    with atomic_siblings(folder) as drafts:
        draft = drafts / folder.name
        draft.mkdir()
        yield draft


def reserve(draft: Path, size: int) -> None:
    """Take the space of a file before it is filled, so that a full disk is noticed at once and by an error.

    A memory map that is written to while the disk is full kills the process instead. What the file holds stays; raises
    DiskFullError, naming the disk and how much is missing of ``size`` bytes.
    """
    status, free = draft.stat(), shutil.disk_usage(draft.parent).free
    missing = size - status.st_blocks * 512 - free
    if missing > 0:  # taking what there is would fill the disk for everybody else
        raise DiskFullError(_on_full_disk(draft, f"{_megabytes(missing)} are missing"))
    with draft.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)


def _disk_full(error: BaseException, draft: Path, target: Path) -> DiskFullError | None:
    """Return what to say if a full disk is behind an error; libraries do not always tell."""
    if isinstance(error, DiskFullError) or not isinstance(error, Exception):
        return None
    told = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not told and shutil.disk_usage(target.parent).free >= LITTLE_BYTES:
        return None
    written = sum(path.stat().st_size for path in (draft, *draft.rglob("*")) if path.is_file())
    done = getattr(error, "share_done", 0.0)
    missing = f"about {_megabytes(round(written / done - written))} are missing" if done else "more is needed"
    full = DiskFullError(_on_full_disk(target, f"{_megabytes(written)} of it were written, {missing}"))
    for note in getattr(error, "__notes__", ()):
        full.add_note(note)
    return full


def _on_full_disk(path: Path, what: str) -> str:
    """Name the disk that a file lies on, and what is missing on it."""
    mount = path.parent.resolve()
    while not mount.is_mount():
        mount = mount.parent
    free, total = (_megabytes(size) for size in (shutil.disk_usage(mount).free, shutil.disk_usage(mount).total))
    return (
        f"{path}: No space left, the disk mounted at {mount} is full ({free} of {total} free): {what}; free some space "
        "and repeat; what is finished stays"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size} bytes"
