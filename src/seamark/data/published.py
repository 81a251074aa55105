"""Layouts of published data sets as they are unpacked, and of plain folders of photographs; no image is opened.

Source: docs/photographs.md#other-data-sets.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from seamark.data.listing import Listing, file_paths, stem, suffix
from seamark.errors import DataError
from seamark.files.plain import IMAGE_SUFFIXES, MANIFEST_BYTES, looked_for, read_plain_file, shown
from seamark.settings.base import Layout, Split


class Entry(NamedTuple):
    """A photograph and what its data set says of it; paths are below the folder of the category."""

    file: str
    split: Split
    kind: str
    """``good``, or the kind of defect."""
    mask: str | None
    """A file, or a folder of several whose union it is."""


@dataclass(frozen=True)
class Published:
    """A layout that is not one of those in which photographs of one's own are laid out."""

    good: str
    """Where a category has its good photographs; its first folder is what a category is told by."""
    entries: Callable[[Path, Path, Listing], Iterator[Entry]]
    """Lists the photographs of a category from the data root, the folder of the category and the files in it."""
    holds_out: bool = False
    """Whether the data set has no validation split, so that some training photographs become one."""
    views: bool = False
    """Whether the photographs of a folder show one part, and are held out together."""
    photographs: re.Pattern[str] = re.compile("(?!)")
    """Their paths, where these alone say what they are."""
    unread: re.Pattern[str] = re.compile("(?!)")
    """Images of another kind, which are no photographs."""

    def is_category(self, folder: Path) -> bool:
        """Whether a folder is that of a category."""
        if self.good:
            return (folder / self.good.partition("/")[0]).is_dir()
        return folder.is_dir() and any(suffix(path.name) in IMAGE_SUFFIXES for path in folder.iterdir())

    def part(self, file: str) -> str:
        """Return what the photographs of one part have in common."""
        return str(PurePosixPath(file).parent) if self.views else file


def _by_path(photographs: re.Pattern[str], mask: str) -> Callable[[Path, Path, Listing], Iterator[Entry]]:
    """Read a data set whose folders say what everything is."""

    def entries(_root: Path, _folder: Path, listing: Listing) -> Iterator[Entry]:
        there = {*file_paths(listing)}
        for path in file_paths(listing):
            found = photographs.fullmatch(path) if suffix(path) in IMAGE_SUFFIXES else None
            if found:
                kind = found["kind"] or "good"
                its_mask = mask.format(kind=kind, name=stem(found["name"]))
                split: Split = "validation" if found["split"] == "validation" else "train"
                has_mask = found["kind"] and (kind != "good" or its_mask in there)
                yield Entry(path, "test_public" if found["kind"] else split, kind, its_mask if has_mask else None)

    return entries


def _plain(_root: Path, _folder: Path, listing: Listing) -> Iterator[Entry]:
    for name in listing[""]:
        if suffix(name) in IMAGE_SUFFIXES:
            yield Entry(name, "train", "good", None)


def _visa(root: Path, folder: Path, _listing: Listing) -> Iterator[Entry]:
    path, base = root / "split_csv" / "1cls.csv", f"{folder.name}/"
    with _as_published(path, "object,split,label,image,mask with train or test and normal or anomaly"):
        for row in csv.DictReader(_text(path).splitlines()):
            split: Split = {"train": "train", "test": "test_public"}[row["split"]]  # type: ignore[assignment]
            kind = {"normal": "good", "anomaly": "anomaly"}[row["label"]]
            if row["object"] == folder.name:
                mask = (row["mask"] or "").removeprefix(base)
                yield Entry(row["image"].removeprefix(base), split, kind, mask or None)


def _real_iad(root: Path, folder: Path, _listing: Listing) -> Iterator[Entry]:
    lists = root.absolute().parent / "realiad_jsons"
    nested, flat = (place / f"{folder.name}.json" for place in (lists / "realiad_jsons", lists))
    path = flat if flat.is_file() else nested
    splits: Mapping[str, Split] = {"train": "train", "test": "test_public"}
    with _as_published(path, "meta.normal_class, and train and test with image_path, mask_path and anomaly_class"):
        listed = json.loads(_text(path))
        normal = listed["meta"]["normal_class"]
        for name, split in splits.items():
            for row in listed[name]:
                kind = "good" if row["anomaly_class"] == normal else "bad"
                yield Entry(str(row["image_path"]), split, kind, row["mask_path"] or None)


def _text(path: Path) -> str:
    try:
        return read_plain_file(path, MANIFEST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{looked_for(path)}: the data set's list of its photographs cannot be read ({error.strerror or error}); "
            "unpack it there, as the data set has it"
        ) from error


@contextmanager
def _as_published(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(
            f"{shown(path)}: not the data set's list of its photographs: expected {what}, found "
            f"{type(error).__name__}: {error}; unpack it again"
        ) from error


_3D = re.compile(r"(?:(?P<split>train|validation)/good|test/(?P<kind>[^/]+))/rgb/(?P<name>[^/]+)")
_LOCO = re.compile(
    r"(?:(?P<split>train|validation)/good|test/(?P<kind>good|logical_anomalies|structural_anomalies))/(?P<name>[^/]+)"
)

PUBLISHED: Mapping[Layout, Published] = {
    "visa": Published("Data/Images/Normal", _visa, holds_out=True),
    "mvtec_3d_ad": Published(
        "train/good/rgb",
        _by_path(_3D, "test/{kind}/gt/{name}.png"),
        photographs=_3D,
        unread=re.compile(r"(?:train|validation|test)/[^/]+/xyz/[^/]+|(?:train|validation)/good/gt/[^/]+"),
    ),
    "mvtec_loco": Published("train/good", _by_path(_LOCO, "ground_truth/{kind}/{name}")),
    "real_iad": Published("OK", _real_iad, holds_out=True, views=True),
    "folder": Published("", _plain, holds_out=True),
}
"""All of them by name, beside those of :data:`seamark.data.layout.PLACES`."""
