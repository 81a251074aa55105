"""The lock of a run's folder, which ends with the process that holds it, and what is put straight under it."""

import fcntl
from pathlib import Path
from typing import IO

from seamark.errors import SeamarkError
from seamark.planning.file_times import forget_the_future


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
