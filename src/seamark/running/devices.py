"""GPU slots: one file lock per device, so that a GPU is never shared by accident."""

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from seamark.errors import SeamarkError

POLL_S = 0.5
HIDDEN = ("", "-1", "NoDevFiles")
"""Entries of CUDA_VISIBLE_DEVICES that stand for no device; the last one is SLURM's."""


def visible_gpus() -> tuple[int, ...]:
    """Return the CUDA indices that jobs may use, found without importing torch.

    ``SEAMARK_GPUS`` (for example ``0,1``, or empty for none) wins over what SLURM gave to the job, which wins over
    ``CUDA_VISIBLE_DEVICES``, which wins over the device files of the driver. A SLURM job that asked for no GPU has
    none, whatever device files its node shows.

    Returns
    -------
    tuple of int
        Indices as torch counts them.

    Raises
    ------
    SeamarkError
        If ``SEAMARK_GPUS`` is not a list of integers.
    """
    named = os.environ.get("SEAMARK_GPUS")
    if named is not None:
        try:
            return tuple(int(part) for part in named.split(",") if part.strip())
        except ValueError as error:
            raise SeamarkError(f"SEAMARK_GPUS={named!r}: expected integers separated by commas, e.g. 0,1") from error
    return tuple(range(len(_cards())))


def _cards() -> list[str]:
    """Names of the cards in the order in which torch counts them, the same for all processes of this machine."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    listed = [part.strip() for part in (allowed or "").split(",") if part.strip() not in HIDDEN]
    if allowed is not None and not listed:
        return []
    if "SLURM_JOB_ID" in os.environ:
        return _given_by_slurm(listed)
    files = _device_files()
    if allowed is None:
        return [str(index) for index in range(len(files))]
    return listed if files else []


def _device_files() -> list[str]:
    return [path.name for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]


def _given_by_slurm(listed: list[str]) -> list[str]:
    """Cards of this SLURM job: where jobs see their own cards only, all of them call the first one 0."""
    numbers = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS") or ""
    on_node = [number.strip() for number in numbers.split(",") if number.strip()]
    if listed and len(listed) != len(on_node):
        return listed
    return on_node or [str(index) for index in range(int(os.environ.get("SLURM_GPUS_ON_NODE", "0")))]


def _slot_file(index: int) -> Path:
    cards = _cards()
    card = cards[index] if index < len(cards) else str(index)
    return Path(tempfile.gettempdir()) / f"seamark-{os.getuid()}-gpu-{re.sub(r'[^A-Za-z0-9-]', '_', card)}.lock"


def _try_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def claimed_device(gpus_wanted: int) -> Iterator[str]:
    """Hold a device for the length of the block.

    Parameters
    ----------
    gpus_wanted : int
        0 for the CPU, otherwise one GPU is taken; the block waits until a GPU is free.

    Yields
    ------
    str
        ``cpu`` or ``cuda:<index>``. The lock ends with the process, however it ends.

    Raises
    ------
    SeamarkError
        If a GPU is wanted and none is visible.
    """
    if gpus_wanted < 1:
        yield "cpu"
        return
    gpus = visible_gpus()
    if not gpus:
        raise SeamarkError("the job was given a GPU but none is visible; run with --resources gpu=0 to use the CPU")
    with ExitStack() as stack:
        slots = [(index, stack.enter_context(_slot_file(index).open("a"))) for index in gpus]
        while True:
            for index, stream in slots:
                if _try_lock(stream):
                    yield f"cuda:{index}"
                    return
            time.sleep(POLL_S)
