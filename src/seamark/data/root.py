"""Contents of a data root: the categories that are read, and what lies beside them and looks like one.

Source: docs/photographs.md#what-is-passed-over.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from seamark.data.layout import OF_PATTERNS, OFFICIAL_COUNTS, learned_from, name_problem
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
from seamark.data.passed_over import PassedOver, listed, numbered
from seamark.data.published import PUBLISHED
from seamark.errors import DataError
from seamark.files.plain import examples, looked_for, shown
from seamark.settings.base import Layout

LEVELS = 6
"""Folders below one that is no category are looked into so deep."""


@dataclass(frozen=True)
class RootSurvey:
    """What a data root holds."""

    root: Path
    folders: dict[str, Path]
    """The categories that are read, as :func:`category_folders` gives them."""
    layout: Layout

    @cached_property
    def unrecognised(self) -> dict[str, PassedOver]:
        """What lies beside them, by the name of the category that it may be; images without a folder under no name."""
        return _unrecognised(self.root, self.folders, self.layout)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what looks like a category and is not read."""
        return tuple(name for name, record in self.unrecognised.items() if record.looks_like_data)

    def require_all(self) -> None:
        """Raise a DataError if something looks like a category and is not read."""
        if self.missing:
            heading = (
                f"{shown(self.root)}: found {', '.join(self.folders)}; what else looks like a category must become "
                "one, get a dot before its name, or the wanted ones must be named in data.categories"
            )
            raise DataError(listed(heading, [str(self.unrecognised[name]) for name in self.missing]))

    def not_found(self, names: Sequence[str]) -> str:
        """Say that categories are not there, which ones are, and what would make them so."""
        hints = [str(self.unrecognised[name]) for name in names if name in self.unrecognised]
        text = f"{', '.join(names)} not in {shown(self.root)}; found: {', '.join(self.folders)}"
        return "\n  ".join([text, *hints])


def survey_root(root: Path, layout: Layout) -> RootSurvey:
    """Find the categories of a data root; what lies beside them is looked at when it is asked for.

    Raises DataError as :func:`category_folders`; what is not recognised is left to the caller.
    """
    return RootSurvey(root, category_folders(root, layout), layout)


def category_folders(root: Path, layout: Layout) -> dict[str, Path]:
    """Find the folders of the categories of a data root, by name and sorted by it.

    A category is a folder that holds ``train``, or what its layout has in its place, perhaps below one extra nesting
    (``can/can/train``); hidden folders are drafts of a stage that is still writing. Raises DataError if the root does
    not exist, cannot be read or holds no category, or the name of one cannot be used.
    """
    if not root.is_dir():
        raise DataError(
            f"{looked_for(root)}: the data root does not exist; set data.root to the folder that holds the categories"
        )
    found = {}
    with naming_unreadable(root):
        for folder in sorted(path for path in root.iterdir() if not passed_silently(path.name) and path.is_dir()):
            nested = folder / folder.name
            for candidate in (folder, nested):
                if _is_category(candidate, layout):
                    if problem := name_problem(folder, folder.name, OF_PATTERNS):
                        raise DataError(problem)
                    found[folder.name] = candidate
                    break
    if not found:
        raise DataError(_no_category(root, layout))
    return found


def _is_category(folder: Path, layout: Layout) -> bool:
    return PUBLISHED[layout].is_category(folder) if layout in PUBLISHED else (folder / "train").is_dir()


def _no_category(root: Path, layout: Layout) -> str:
    if any(meant(path.name, ("train", "good")) for path in root.iterdir() if path.is_dir()):
        return (
            f"{shown(root)}: no category found, but it looks like the folder of one; set data.root to "
            f"{shown(root.resolve().parent)} and data.categories to [{shown(root.resolve().name)}]"
        )
    place = Path("<category>", learned_from(layout))
    heading = f"{shown(root)}: no category found; expected {place} in the layout {layout}"
    others = [str(record) for record in _unrecognised(root, (), layout).values()]
    return listed(heading, others or ["no folder with photographs is there; check data.root"])


def _unrecognised(root: Path, recognised: Collection[str], layout: Layout) -> dict[str, PassedOver]:
    """Find what may be a category and is not read, by the name that it would have."""
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
            if images or path.name in OFFICIAL_COUNTS:
                what = f"folder {shown(path.name)}/"
                found[path.name] = PassedOver(what, "error", examples(images), _remedy(path, listing, layout))
        elif archive := ARCHIVES.fullmatch(path.name):
            if archive[1] not in recognised:
                whole = archive[1].casefold().startswith("mvtec")
                found[archive[1]] = PassedOver(shown(path.name), "warning" if whole else "error", (), "unpack it")
        elif path.is_symlink() and not path.exists() and not is_image(path.name):
            found[path.name] = PassedOver(f"link {shown(path.name)}", "error", (), "it leads nowhere: mend it")
    if loose:
        what = numbered(len(loose), "image", "beside the categories")
        found[""] = PassedOver(what, "warning", examples(loose), "read are folders of categories alone")
    return found


def _remedy(path: Path, listing: Listing, layout: Layout) -> str:
    """Say what makes a category of a folder."""
    inner = [path / folder.removesuffix("/train") for folder in listing if folder.endswith("/train")]
    if inner:
        names = ", ".join(examples([category.name for category in inner]))
        return f"set data.root to {shown(inner[0].parent)} for the categories in it ({names}), or move them up"
    for name in sorted({folder.partition("/")[0] for folder in listing if folder}):
        if meant(name, ("train",)):
            return f"rename {shown(path / name)} to {shown(path / 'train')}"
    fitting = [name for name, known in PUBLISHED.items() if name != layout and known.is_category(path)]
    or_layout = f", or set data.layout to {' or '.join(fitting)} if it is laid out so" if fitting else ""
    return f"a category needs its good photographs in {shown(path / learned_from(layout))}{or_layout}"
