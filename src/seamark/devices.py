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


def visible_gpus() -> tuple[int, ...]:
    """Return the CUDA indices that jobs may use, found without importing torch.

    ``SEAMARK_GPUS`` (for example ``0,1``, or empty for none) wins over ``CUDA_VISIBLE_DEVICES``, which wins over the
    device files of the driver.

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
    files = sorted(path for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name))
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return tuple(range(len(files)))
    listed = [part for part in allowed.split(",") if part.strip() and part.strip() != "-1"]
    return tuple(range(len(listed))) if files else ()


def _slot_file(index: int) -> Path:
    return Path(tempfile.gettempdir()) / f"seamark-{os.getuid()}-gpu-{index}.lock"


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
