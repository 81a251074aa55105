"""Files that claim to come from the future, as a clock that is set back leaves them behind."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

TOLERANCE_S = 2.0
"""Clocks of file servers run ahead by as much."""


def forget_the_future(folders: Iterable[Path]) -> int:
    """Set the times of files from the future to now.

    Snakemake takes a file that is older than its input for outdated: what is made from a file from the future would
    fail, or be made again and again, until that time has come.

    Parameters
    ----------
    folders : iterable of Path
        Folders, all of whose files are looked at; they need not exist.

    Returns
    -------
    int
        Number of files that were from the future.
    """
    now = time.time()
    found = 0
    for folder in folders:
        for base, _, names in os.walk(folder):
            for name in names:
                path = Path(base) / name
                if path.lstat().st_mtime > now + TOLERANCE_S:
                    os.utime(path, (now, now), follow_symlinks=False)
                    found += 1
    return found
