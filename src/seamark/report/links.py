"""How a page points to files."""

import os
from pathlib import Path
from urllib.parse import quote


def relative_path(target: Path, folder: Path) -> str:
    """Return the path from a folder to a file, with forward slashes."""
    return Path(os.path.relpath(target, folder)).as_posix()


def relative_link(target: Path, folder: Path) -> str:
    """Return a link from a page to a file that works from the file system, with every special character quoted.

    Parameters
    ----------
    target : Path
        File to link to.
    folder : Path
        Folder of the page.

    Returns
    -------
    str
        Relative URL.
    """
    return quote(relative_path(target, folder))
