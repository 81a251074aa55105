"""What lies in a data root beside its categories and looks like one.

Source: docs/photographs.md#what-is-passed-over.
"""

from collections.abc import Collection
from pathlib import Path

from seamark.data.listing import (
    ARCHIVES,
    Listing,
    is_image,
    is_mask,
    list_files,
    meant,
    naming_unreadable,
    passed_silently,
)
from seamark.data.passed_over import PassedOver, examples, numbered
from seamark.files.plain import shown

LEVELS = 6
"""Folders below one that is no category are looked into so deep."""


def unrecognised(root: Path, recognised: Collection[str], official: Collection[str]) -> dict[str, PassedOver]:
    """Find what may be a category and is not read, by the name that it would have.

    Parameters
    ----------
    root : Path
        Data root.
    recognised, official : collection of str
        Names of categories: those that are read, and those of MVTec AD 2, which count even without an image.

    Raises
    ------
    DataError
        If a folder cannot be read.
    """
    found = {}
    with naming_unreadable(root):
        others = sorted(
            path for path in root.iterdir() if path.name not in recognised and not passed_silently(path.name)
        )
    loose = [path.name for path in others if is_image(path.name)]
    for path in others:
        if path.is_dir():
            listing = list_files(path, LEVELS)
            images = [name for names in listing.values() for name in names if is_image(name) and not is_mask(name)]
            if images or path.name in official:
                what = f"folder {shown(path.name)}/"
                found[path.name] = PassedOver(what, "error", examples(images), _remedy(path, listing))
        elif archive := ARCHIVES.fullmatch(path.name):
            if archive[1] not in recognised:
                whole = archive[1].casefold().startswith("mvtec")
                found[archive[1]] = PassedOver(shown(path.name), "warning" if whole else "error", (), "unpack it")
        elif path.is_symlink() and not path.exists() and not is_image(path.name):
            found[path.name] = PassedOver(f"link {shown(path.name)}", "error", (), "it leads nowhere: mend it")
    if loose:
        remedy = "read are folders of categories alone"
        found[""] = PassedOver(
            numbered(len(loose), "image", "beside the categories"), "warning", examples(loose), remedy
        )
    return found


def _remedy(path: Path, listing: Listing) -> str:
    """Say what makes a category of a folder."""
    inner = [path / folder.removesuffix("/train") for folder in listing if folder.endswith("/train")]
    if inner:
        names = ", ".join(examples([category.name for category in inner]))
        return f"set data.root to {shown(inner[0].parent)} for the categories in it ({names}), or move them up"
    for name in sorted({folder.partition("/")[0] for folder in listing if folder}):
        if meant(name, ("train",)):
            return f"rename {shown(path / name)} to {shown(path / 'train')}"
    return f"a category needs its good photographs in {shown(path / 'train' / 'good')}"
