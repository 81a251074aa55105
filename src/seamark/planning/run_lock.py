"""The lock of a run's folder, which ends with the process that holds it, and what is put straight under it."""

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from seamark.errors import SeamarkError

TOLERANCE_S = 2.0
"""Clocks of file servers run ahead by as much."""


def claimed(folder: Path) -> IO[str]:
    """Hold a run folder against a second Snakemake, for as long as the returned file stays open.

    Files of the run that claim to come from the future, because the clock was set back, are from now then.

    Parameters
    ----------
    folder : Path
        Folder of the run; made if it is not there.

    Returns
    -------
    text stream
        The locked file; a process that ends closes it, however it ends.

    Raises
    ------
    SeamarkError
        If another Snakemake works on the same run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream = (folder / ".running").open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise SeamarkError(
            f"{folder}: another snakemake works on this run; wait for it or choose another run name"
        ) from error
    variations = folder.parent.glob(f"{folder.name}+*")
    forget_the_future([folder, *variations, folder.parent / "teachers", folder.parent.parent / "submissions"])
    return stream


def forget_the_future(folders: Iterable[Path]) -> int:
    """Set the times of files from the future to now, and return how many there were.

    Snakemake takes a file that is older than its input for outdated: what is made from a file from the future would
    fail, or be made again and again, until that time has come. All files below the folders count, which need not exist.
    """
    now, found = time.time(), 0
    for base, _, names in (step for folder in folders for step in os.walk(folder)):
        for path in (Path(base) / name for name in names):
            if path.lstat().st_mtime > now + TOLERANCE_S:
                os.utime(path, (now, now), follow_symlinks=False)
                found += 1
    return found
