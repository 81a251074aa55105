"""Names of files below a folder, each folder listed once, and what misspelt names of folders stand for."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seamark.errors import DataError
from seamark.files.plain import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES, RENAMED_SUFFIXES, shown

SYSTEM_FOLDERS = {"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
"""Folders that systems make by themselves; passed over like hidden ones."""
SIMILAR = 0.8
"""Share of letters in which a misspelt name agrees with the right one, of :data:`LONG` letters at least."""
LONG = 5
ARCHIVES = re.compile(r"(.+?)\.(zip|7z|rar|tgz|txz|tbz2?|tar|tar\.(gz|xz|bz2|zst))", re.IGNORECASE)
"""Names of archives; the first group is what it is an archive of."""
MEANINGS = {
    "validation": "val valid validate dev eval",
    "good": "ok normal nominal defectfree faultless",
    "bad": "ng ko nok notok defect defects defective anomaly anomalies anomalous abnormal faulty",
    "ground_truth": "gt groundtruths mask masks label labels annotation annotations segmentation",
}
"""Other names of the folders of data sets."""

Listing = dict[str, tuple[str, ...]]
"""Names of files, sorted, by their folder's path below the listed one, which itself is the empty string."""


def list_files(folder: Path, most_levels: int = 64) -> Listing:
    """List the files below a folder, links followed, without hidden ones and what systems make by themselves.

    What has the suffix of an image counts as a file, whatever it is. A link to one of the folders above it ends there.
    Raises DataError if a folder cannot be read.
    """
    found: Listing = {}
    with naming_unreadable(folder):
        _list(os.fspath(folder), "", frozenset(), most_levels, found)
    return found


def _list(path: str, inside: str, above: frozenset[tuple[int, int]], levels: int, found: Listing) -> None:
    status = Path(path).stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above or not levels:
        return
    names, folders = [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if passed_silently(entry.name):
                continue
            if suffix(entry.name) in IMAGE_SUFFIXES or not _is_folder(entry):
                names.append(entry.name)
            else:
                folders.append(entry.name)
    found[inside] = tuple(sorted(names))
    for name in sorted(folders):
        _list(f"{path}/{name}", f"{inside}/{name}".lstrip("/"), above | {identity}, levels - 1, found)


def file_paths(listing: Listing) -> Iterator[str]:
    """Yield the paths of all listed files, folder by folder."""
    for folder, names in listing.items():
        yield from (f"{folder}/{name}" if folder else name for name in names)


def mask_files(path: Path) -> list[Path]:
    """Return the file of a mask, or the files of its folder, sorted."""
    return sorted(file for file in path.iterdir() if not passed_silently(file.name)) if path.is_dir() else [path]


def passed_silently(name: str) -> bool:
    """Whether a name is hidden or that of a folder that systems make by themselves."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether a file is a folder or a link to one; DataError for a link that leads nowhere, which may have been one."""
    try:
        entry.stat() if entry.is_symlink() else None
        return entry.is_dir()
    except OSError as error:
        raise DataError(
            f"{shown(entry.path)}: a link that leads nowhere ({error.strerror}); mend or remove it"
        ) from error


@contextmanager
def naming_unreadable(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about a folder into an error of the data."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be listed ({error}); make every folder below it readable") from error


def suffix(name: str) -> str:
    """Return the suffix of a file's name in lower case, with its dot."""
    return "".join(name.rpartition(".")[1:]).lower() if "." in name else ""


def stem(name: str) -> str:
    """Return a file's name without its suffix."""
    return name.rpartition(".")[0] or name


def is_image(name: str) -> bool:
    """Whether a file is called like an image, of a kind that is read or not."""
    return suffix(name) in IMAGE_SUFFIXES or suffix(name) in OTHER_IMAGE_SUFFIXES or suffix(name) in RENAMED_SUFFIXES


def is_mask(name: str) -> bool:
    """Whether a file is called like a mask."""
    return is_image(name) and stem(name).endswith("_mask")


def meant(name: str, names: Iterable[str]) -> str | None:
    """Return which of the names of a layout's folders a name stands for: in other case, misspelt, or a synonym."""
    plain = re.sub(r"[^a-z]", "", name.casefold())
    by_plain = {re.sub(r"[^a-z]", "", known): known for known in names}
    for known, others in MEANINGS.items():
        if known in by_plain.values() and plain in others.split():
            return known
    for beginning in ("train", "test"):
        if plain.startswith(beginning):
            by_plain = {other: known for other, known in by_plain.items() if other.startswith(beginning)}
            return by_plain[difflib.get_close_matches(plain, by_plain, 1, 0.0)[0]] if by_plain else None
    if plain in by_plain:
        return by_plain[plain]
    close = difflib.get_close_matches(plain, [known for known in by_plain if len(known) >= LONG], 1, SIMILAR)
    return by_plain[close[0]] if close else None
