"""Folder layouts of data sets: where images, masks and categories are, without opening a single image.

Sources: docs/methods/mvtec_ad2.md#tree-and-names and docs/methods/mvtec_ad2.md#counts; MVTec AD's published tree.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from seamark.errors import DataError
from seamark.files.plain import IMAGE_SUFFIXES, looked_for, shown
from seamark.settings.base import SPLITS, Split

Layout = Literal["mvtec_ad_2", "mvtec_ad"]
UNUSABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that no name may have: control codes, halves of broken UTF-8, line and paragraph breaks."""
MOST_NAME_BYTES = 200
"""Longest part of a name; file systems take 255 bytes, of which results need some for prefixes and suffixes."""
HELD_OUT_EVERY = 10
"""In MVTec AD, which has no validation split, every tenth training image is held out as one."""

OFFICIAL_COUNTS: dict[str, dict[Split, int]] = {
    name: dict(zip(SPLITS, (*counts, counts[-1]), strict=True))
    for name, counts in {
        "can": (412, 46, 162, 321),
        "fabric": (387, 43, 156, 314),
        "fruit_jelly": (263, 37, 80, 255),
        "rice": (313, 35, 132, 277),
        "sheet_metal": (137, 19, 114, 142),
        "vial": (291, 41, 140, 276),
        "wallplugs": (293, 33, 150, 232),
        "walnuts": (432, 48, 150, 228),
    }.items()
}
"""Images per category and split of the full MVTec AD 2."""


@dataclass(frozen=True)
class FoundImage:
    """An image file and what its place in the tree says about it; paths are relative to the data root."""

    id: str
    split: Split
    file: str
    label: Literal["good", "bad"] | None
    light: str
    mask: str | None


def category_folders(root: Path, layout: Layout) -> dict[str, Path]:
    """Find the folders of the categories of a data root, by name and sorted by it.

    A category is a folder that holds ``train``, perhaps below one extra nesting (``can/can/train``); hidden folders are
    drafts of a stage that is still writing. Raises DataError if the root does not exist, cannot be read or holds no
    category, or the name of one cannot be used.
    """
    if not root.is_dir():
        raise DataError(
            f"{looked_for(root)}: the data root does not exist; set data.root to the folder that holds the categories"
        )
    found = {}
    with _naming_unreadable(root):
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
            nested = folder / folder.name
            for candidate in (folder, nested):
                if (candidate / "train").is_dir():
                    _check_name(folder, folder.name)
                    found[folder.name] = candidate
                    break
    if not found:
        raise DataError(
            f"{root}: no category found; expected <category>/train/good in the layout {layout}; "
            "check data.root and data.layout"
        )
    return found


def find_images(root: Path, folder: Path, layout: Layout) -> tuple[FoundImage, ...]:
    """List the images of one category, sorted by split (in the order of the data set) and id.

    Of the layout ``mvtec_ad`` test images become ``test_public``, and every tenth training image ``validation``. Paths
    are relative to the data root. Raises DataError if train or validation has no image, two files would have the same
    id, or a name cannot be used.
    """
    walk = _walk_mvtec_ad_2 if layout == "mvtec_ad_2" else _walk_mvtec_ad
    with _naming_unreadable(folder):
        images = sorted(walk(root, folder), key=lambda image: (SPLITS.index(image.split), image.id))
    for image in images:
        _check_name(root / image.file, image.id)
    for before, after in pairwise(images):
        if (before.split, before.id) == (after.split, after.id):
            raise DataError(f"{root / after.file}: same name as {before.file} with another suffix; remove one")
    for split in ("train", "validation"):
        if not any(image.split == split for image in images):
            raise DataError(f"{folder}: no image for the split {split} (expected {split}/good/*.png); add good images")
    return tuple(images)


def limited(images: Sequence[FoundImage], train_images: int | None, seed: int) -> tuple[FoundImage, ...]:
    """Leave out training images beyond a number, at random but nested: a larger number keeps all of a smaller one's."""
    if train_images is None:
        return tuple(images)
    names = [image.id for image in images if image.split == "train"]
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    kept = set(drawn[:train_images])
    return tuple(image for image in images if image.split != "train" or image.id in kept)


@contextmanager
def _naming_unreadable(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about a folder into an error of the data."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be listed ({error}); make every folder below it readable") from error


def _check_name(path: Path, name: str) -> None:
    """Refuse names that cannot be part of the names of results and of the lines of logs and reports."""
    odd = [character for character in name if unicodedata.category(character) in UNUSABLE or character in "{}"]
    longest = max(len(os.fsencode(part)) for part in name.split("/"))
    if odd or longest > MOST_NAME_BYTES:
        what = f"the name has {', '.join(map(ascii, odd))}" if odd else f"the name has {longest} bytes"
        raise DataError(
            f"{shown(path)}: {what}; results take over the name, so expected at most {MOST_NAME_BYTES} bytes of UTF-8 "
            "without line breaks, control codes and braces: rename it"
        )


def listing_digest(folder: Path) -> str:
    """Return 16 hexadecimal digits of names, sizes and times of all files below a folder, to notice a changed image.

    Links are followed, each folder once. A file that cannot be looked at counts by its name; reading it will tell.
    """
    digest = hashlib.sha256()
    seen: set[str] = set()
    for base, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(base)) in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(names):
            relative = (Path(base) / name).relative_to(folder)
            digest.update(os.fsencode(relative) + _status(Path(base) / name))
    return digest.hexdigest()[:16]


def _status(path: Path) -> bytes:
    try:
        status = path.stat()
    except OSError as error:
        return f"\0{error.errno}\n".encode()
    return f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode()


def truth_file(truth_folder: Path, image_id: str) -> Path | None:
    """Return the private truth mask of an image, named ``NNN_mask.png`` or by its full name, if there is one."""
    number = image_id.partition("_")[0]
    candidates = (truth_folder / f"{image_id}_mask.png", truth_folder / f"{number}_mask.png")
    return next((path for path in candidates if path.is_file()), None)


_GOOD_SPLITS: tuple[Split, ...] = ("train", "validation")
_PRIVATE_SPLITS: tuple[Split, ...] = ("test_private", "test_private_mixed")


def _files(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        return ()
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _light(stem: str) -> str:
    numbered = re.fullmatch(r"\d+_(.+)", stem)
    return numbered[1] if numbered else "regular"


def _walk_mvtec_ad_2(root: Path, folder: Path) -> Iterator[FoundImage]:
    for split in _GOOD_SPLITS:
        for path in _files(folder / split / "good"):
            yield FoundImage(path.stem, split, str(path.relative_to(root)), "good", _light(path.stem), None)
    for label in ("good", "bad"):
        for path in _files(folder / "test_public" / label):
            mask = folder / "test_public" / "ground_truth" / "bad" / f"{path.stem}_mask.png"
            relative_mask = str(mask.relative_to(root)) if label == "bad" else None
            file = str(path.relative_to(root))
            yield FoundImage(f"{label}/{path.stem}", "test_public", file, label, _light(path.stem), relative_mask)
    for private in _PRIVATE_SPLITS:
        for path in _files(folder / private):
            yield FoundImage(path.stem, private, str(path.relative_to(root)), None, _light(path.stem), None)


def _walk_mvtec_ad(root: Path, folder: Path) -> Iterator[FoundImage]:
    for number, path in enumerate(_files(folder / "train" / "good")):
        split: Split = "validation" if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train"
        yield FoundImage(path.stem, split, str(path.relative_to(root)), "good", "regular", None)
    test = folder / "test"
    for kind in sorted(path for path in test.iterdir() if path.is_dir()) if test.is_dir() else ():
        for path in _files(kind):
            mask = folder / "ground_truth" / kind.name / f"{path.stem}_mask.png"
            good = kind.name == "good"
            file, mask_file = str(path.relative_to(root)), None if good else str(mask.relative_to(root))
            label: Literal["good", "bad"] = "good" if good else "bad"
            yield FoundImage(f"{kind.name}/{path.stem}", "test_public", file, label, "regular", mask_file)
