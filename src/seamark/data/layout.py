"""Folder layouts of data sets: where images, masks and categories are, without opening a single image.

Sources: docs/methods/mvtec_ad2.md#tree-and-names and docs/methods/mvtec_ad2.md#counts; MVTec AD's published tree.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from seamark.data.listing import Listing, list_files, meant, naming_unreadable, passed_silently, stem, suffix
from seamark.data.passed_over import listed
from seamark.data.unrecognised import unrecognised
from seamark.errors import DataError
from seamark.files.plain import IMAGE_SUFFIXES, looked_for, shown
from seamark.settings.base import SPLITS, Split

Layout = Literal["mvtec_ad_2", "mvtec_ad"]
Label = Literal["good", "bad"]
LABELS: tuple[Label, ...] = ("good", "bad")
UNUSABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that no name may have: control codes, halves of broken UTF-8, line and paragraph breaks."""
OF_PATTERNS = "{}<>"
"""Letters that no name of a category may have: in names of files Snakemake takes words between them for wildcards."""
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
    label: Label | None
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
    with naming_unreadable(root):
        for folder in sorted(path for path in root.iterdir() if not passed_silently(path.name) and path.is_dir()):
            nested = folder / folder.name
            for candidate in (folder, nested):
                if (candidate / "train").is_dir():
                    if problem := _name_problem(folder, folder.name, OF_PATTERNS):
                        raise DataError(problem)
                    found[folder.name] = candidate
                    break
    if not found:
        raise DataError(_no_category(root, layout))
    return found


def _no_category(root: Path, layout: Layout) -> str:
    if any(meant(path.name, ("train", "good")) for path in root.iterdir() if path.is_dir()):
        return (
            f"{shown(root)}: no category found, but it looks like the folder of one; set data.root to "
            f"{shown(root.resolve().parent)} and data.categories to [{shown(root.resolve().name)}]"
        )
    heading = f"{shown(root)}: no category found; expected <category>/train/good in the layout {layout}"
    others = [str(record) for record in unrecognised(root, (), ()).values()]
    return listed(heading, others or ["no folder with photographs is there; check data.root"])


def find_images(root: Path, folder: Path, layout: Layout) -> tuple[FoundImage, ...]:
    """List the images of one category, sorted by split (in the order of the data set) and id.

    Of the layout ``mvtec_ad`` test images become ``test_public``, and every tenth training image ``validation``. Paths
    are relative to the data root. Raises DataError if train or validation has no image, two files would have the same
    id, or a name cannot be used.
    """
    images = listed_images(root, folder, layout, list_files(folder))
    if problems := image_problems(root, folder, layout, images):
        raise DataError("\n".join(problems))
    return images


def listed_images(root: Path, folder: Path, layout: Layout, listing: Listing) -> tuple[FoundImage, ...]:
    """List the images among the files of a category as :func:`find_images`, whatever their names and however few."""
    walk = _walk_mvtec_ad_2 if layout == "mvtec_ad_2" else _walk_mvtec_ad
    images = walk(listing, folder.relative_to(root).as_posix())
    return tuple(sorted(images, key=lambda image: (SPLITS.index(image.split), image.id)))


def image_problems(root: Path, folder: Path, layout: Layout, images: Sequence[FoundImage]) -> list[str]:
    """Say what keeps the images of a category, as listed, from being used: their names, and splits without any."""
    problems = [problem for image in images if (problem := _name_problem(root / image.file, image.id))]
    problems += [
        f"{shown(root / after.file)}: same name as {shown(before.file)} with another suffix; remove one"
        for before, after in pairwise(images)
        if (before.split, before.id) == (after.split, after.id)
    ]
    counts = Counter(image.split for image in images)
    if layout == "mvtec_ad" and not counts["validation"]:
        problems.append(
            f"{shown(folder)}: no image for the split validation, for which every {HELD_OUT_EVERY}th of train/good is "
            f"held out: expected at least {HELD_OUT_EVERY} there, found {counts['train']}; add good images to "
            "train/good, or set data.layout: mvtec_ad_2 and move some into validation/good, a folder of that layout"
        )
    else:
        problems += [
            f"{shown(folder)}: no image for the split {split}; add good images as {split}/good/*.png"
            for split in _GOOD_SPLITS
            if not counts[split]
        ]
    return problems


def require_official_counts(category: str, counts: Mapping[Split, int]) -> None:
    """Refuse a category of a full MVTec AD 2 that lacks photographs; raises DataError with the splits."""
    wrong = [
        f"{split} {counts.get(split, 0)} instead of {expected}"
        for split, expected in OFFICIAL_COUNTS[category].items()
        if counts.get(split, 0) != expected
    ]
    if wrong:
        raise DataError(
            f"category {category}: the root is a full MVTec AD 2, but the image counts differ: {'; '.join(wrong)}; "
            "unpack it again"
        )


def limited(images: Sequence[FoundImage], train_images: int | None, seed: int) -> tuple[FoundImage, ...]:
    """Leave out training images beyond a number, at random but nested: a larger number keeps all of a smaller one's."""
    if train_images is None:
        return tuple(images)
    names = [image.id for image in images if image.split == "train"]
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    kept = set(drawn[:train_images])
    return tuple(image for image in images if image.split != "train" or image.id in kept)


def _name_problem(path: Path, name: str, marks: str = "{}") -> str | None:
    """Refuse names that cannot be part of the names of results and of the lines of logs and reports."""
    odd = []
    if not name.isprintable() or set(marks) & set(name):
        odd = [character for character in name if unicodedata.category(character) in UNUSABLE or character in marks]
    longest = max(len(os.fsencode(part)) for part in name.split("/"))
    if not odd and longest <= MOST_NAME_BYTES:
        return None
    what = f"the name has {', '.join(map(ascii, odd))}" if odd else f"the name has {longest} bytes"
    return (
        f"{shown(path)}: {what}; results take over the name, so expected at most {MOST_NAME_BYTES} bytes of UTF-8 "
        f"without line breaks, control codes and any of {marks}: rename it"
    )


def listing_digest(folder: Path, files: Iterable[str]) -> str:
    """Return 16 hexadecimal digits of names, sizes and times of some files of a folder, to notice a changed image.

    Links are followed. A file that cannot be looked at counts by its name; reading it will tell.
    """
    digest = hashlib.sha256()
    for name in files:
        digest.update(os.fsencode(name) + _status(folder / name))
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


def _images(listing: Listing, folder: str) -> Iterator[tuple[str, str]]:
    """Give the images of a folder: what each is called without its suffix, and its path below the category."""
    for name in listing.get(folder, ()):
        if suffix(name) in IMAGE_SUFFIXES:
            yield stem(name), f"{folder}/{name}"


def _light(name: str) -> str:
    numbered = re.fullmatch(r"\d+_(.+)", name)
    return numbered[1] if numbered else "regular"


def _has_masks(listing: Listing) -> bool:
    """Whether anything lies where masks do, be it a dangling link; where nothing does, images have labels alone."""
    return any("ground_truth" in folder.split("/") and names for folder, names in listing.items())


def _mask_of(listing: Listing, base: str, folder: str, name: str, *, expected: bool) -> str | None:
    """Return where the mask of an image is or should be; of a good image only one that is there counts."""
    file = f"{name}_mask.png"
    return f"{base}/{folder}/{file}" if expected or file in listing.get(folder, ()) else None


def _walk_mvtec_ad_2(listing: Listing, base: str) -> Iterator[FoundImage]:
    for split in _GOOD_SPLITS:
        for name, file in _images(listing, f"{split}/good"):
            yield FoundImage(name, split, f"{base}/{file}", "good", _light(name), None)
    masked = _has_masks(listing)
    for label in LABELS:
        for name, file in _images(listing, f"test_public/{label}"):
            folder = f"test_public/ground_truth/{label}"
            mask = _mask_of(listing, base, folder, name, expected=masked and label == "bad")
            yield FoundImage(f"{label}/{name}", "test_public", f"{base}/{file}", label, _light(name), mask)
    for private in _PRIVATE_SPLITS:
        for name, file in _images(listing, private):
            yield FoundImage(name, private, f"{base}/{file}", None, _light(name), None)


def _walk_mvtec_ad(listing: Listing, base: str) -> Iterator[FoundImage]:
    for number, (name, file) in enumerate(_images(listing, "train/good")):
        split: Split = "validation" if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train"
        yield FoundImage(name, split, f"{base}/{file}", "good", "regular", None)
    masked = _has_masks(listing)
    for kind in sorted(folder.removeprefix("test/") for folder in listing if re.fullmatch("test/[^/]+", folder)):
        label: Label = "good" if kind == "good" else "bad"
        for name, file in _images(listing, f"test/{kind}"):
            mask = _mask_of(listing, base, f"ground_truth/{kind}", name, expected=masked and label == "bad")
            yield FoundImage(f"{kind}/{name}", "test_public", f"{base}/{file}", label, "regular", mask)
