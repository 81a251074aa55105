"""Folder layouts of data sets: where images and masks are, and where those belong that lie elsewhere; none is opened.

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
from typing import Literal, cast

from seamark.data.listing import Listing, list_files, meant, stem, suffix
from seamark.data.published import PUBLISHED
from seamark.errors import DataError
from seamark.files.plain import IMAGE_SUFFIXES, shown
from seamark.settings.base import SPLITS, UNUSABLE, Layout, Split

Label = Literal["good", "bad"]
OF_PATTERNS = "{}<>"
"""Letters that no name of a category may have: in names of files Snakemake takes words between them for wildcards."""
MOST_NAME_BYTES = 200
"""Longest part of a name; file systems take 255 bytes, of which results need some for prefixes and suffixes."""
HELD_OUT_EVERY = 10
"""Of a data set without a validation split every tenth training image is held out as one."""

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


@dataclass(frozen=True)
class Places:
    """Folders of a layout, below that of a category."""

    photographs: re.Pattern[str]
    tests: str
    """Folder of the public test photographs, which lie in it by label or kind of defect."""
    ground_truth: str
    """Folder of their masks, likewise."""
    branches: frozenset[str]
    """Folders that hold nothing but folders."""
    homes: dict[str, str]
    """Where the photographs of a split belong, by the name of its folder."""
    bad: str
    """Where photographs of defects belong."""
    truth: str
    """Where their masks belong."""

    def masked(self, folder: str) -> str | None:
        """Return the folder of the photographs that those masks belong to which lie in a folder; None for others."""
        kind = folder.removeprefix(f"{self.ground_truth}/")
        photographs = f"{self.tests}/{kind}"
        return photographs if kind != folder and self.photographs.fullmatch(photographs) else None

    def reads(self, folder: str) -> bool:
        """Whether the layout has photographs or masks in a folder."""
        return bool(self.photographs.fullmatch(folder) or self.masked(folder))

    def unread(self, folder: str) -> str | None:
        """Return the first folder on the way to one that the layout does not have; None if it has them all."""
        parts = folder.split("/")
        ways = ("/".join(parts[: number + 1]) for number in range(len(parts)))
        return next((way for way in ways if way not in self.branches and not self.reads(way)), None)

    def home(self, folder: str) -> str | None:
        """Return where the photographs of a folder belong that the layout does not have; None where nothing tells."""
        parent, _, name = folder.rpartition("/")
        if self.photographs.fullmatch(parent):
            return f"{parent}/" + ("" if "/" in parent else " itself (its labels are those of data.truth_root)")
        if parent:
            return self._beside_good(parent, meant(name, ("good", "bad")))
        if split := meant(name, self.homes):
            return self.homes[split]
        if meant(name, ("bad",)):
            return self.bad
        return self.any_home if meant(name, ("good", "train", "validation", "test")) else None

    def _beside_good(self, parent: str, label: str | None) -> str:
        """Return where the photographs of a folder beside ``good`` belong: in a split without defects, who knows."""
        good = f"{parent}/good/" if self.reads(f"{parent}/good") else None
        if good and label is None and parent in ("train", "validation"):
            return f"{good}, or where they show defects into {self.bad} and their masks into {self.truth}"
        return good if good and label == "good" else self.bad

    @property
    def any_home(self) -> str:
        """All places of photographs."""
        return ", ".join(dict.fromkeys(self.homes.values()))


PLACES: Mapping[Layout, Places] = {
    "mvtec_ad_2": Places(
        photographs=re.compile("(train|validation)/good|test_public/(good|bad)|test_private(_mixed)?"),
        tests="test_public",
        ground_truth="test_public/ground_truth",
        branches=frozenset({"", "train", "validation", "test_public", "test_public/ground_truth"}),
        homes={
            "train": "train/good/",
            "validation": "validation/good/",
            "test_public": "test_public/good/ and test_public/bad/",
            "test_private": "test_private/",
            "test_private_mixed": "test_private_mixed/",
        },
        bad="test_public/bad/",
        truth="test_public/ground_truth/bad/",
    ),
    "mvtec_ad": Places(
        photographs=re.compile("train/good|test/[^/]+"),
        tests="test",
        ground_truth="ground_truth",
        branches=frozenset({"", "train", "test", "ground_truth"}),
        homes={"train": "train/good/", "validation": "train/good/", "test": "test/good/ and test/<kind of defect>/"},
        bad="test/<kind of defect>/",
        truth="ground_truth/<kind of defect>/",
    ),
}


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
    base = folder.relative_to(root).as_posix()
    read = _walk(listing, base, layout) if layout in PLACES else _published(listing, root, folder, layout)
    return tuple(sorted(read, key=lambda image: (SPLITS.index(image.split), image.id)))


def learned_from(layout: Layout) -> str:
    """Return the folder of good photographs to learn from, below that of a category."""
    return PUBLISHED[layout].good if layout in PUBLISHED else "train/good"


def image_problems(root: Path, folder: Path, layout: Layout, images: Sequence[FoundImage]) -> list[str]:
    """Say what keeps the images of a category, as listed, from being used: their names, and splits without any."""
    problems = [problem for image in images if (problem := name_problem(root / image.file, image.id))]
    problems += [
        f"{shown(root / after.file)}: same name as {shown(before.file)} with another suffix; remove one"
        for before, after in pairwise(images)
        if (before.split, before.id) == (after.split, after.id)
    ]
    counts, good = Counter(image.split for image in images), learned_from(layout)
    holds_out = PUBLISHED[layout].holds_out if layout in PUBLISHED else layout == "mvtec_ad"
    if holds_out and not counts["validation"]:
        where = good or "it"
        problems.append(
            f"{shown(folder)}: no image for the split validation, for which every {HELD_OUT_EVERY}th of {where} is "
            f"held out: expected at least {HELD_OUT_EVERY} there, found {_parts(images, layout)}; add good images to "
            f"{where}, or set data.layout: mvtec_ad_2 and move some into validation/good, a folder of that layout"
        )
    else:
        problems += [
            f"{shown(folder)}: no image for the split {split}; add good images as {good.replace('train', split)}/*.png"
            for split in ("train", "validation")
            if not counts[split]
        ]
    return problems


def _parts(images: Sequence[FoundImage], layout: Layout) -> int:
    """Count what a data set's training photographs show, several views of one part once."""
    part = PUBLISHED[layout].part if layout in PUBLISHED else str
    return len({part(image.file) for image in images if image.split == "train"})


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


def name_problem(path: Path, name: str, marks: str = "{}") -> str | None:
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


def _light(name: str) -> str:
    numbered = re.fullmatch(r"\d+_(.+)", name)
    return numbered[1] if numbered else "regular"


def _walk(listing: Listing, base: str, layout: Layout) -> Iterator[FoundImage]:
    places = PLACES[layout]
    # Where nothing lies where masks do, not even a dangling link, images have labels alone.
    masked = any("ground_truth" in folder.split("/") and names for folder, names in listing.items())
    for folder in filter(places.photographs.fullmatch, listing):
        top, _, kind = folder.partition("/")
        tested = top == places.tests
        label: Label | None = None if not kind else "good" if kind == "good" else "bad"
        masks = f"{places.ground_truth}/{kind}"
        for number, file in enumerate(file for file in listing[folder] if suffix(file) in IMAGE_SUFFIXES):
            held_out = layout == "mvtec_ad" and not tested and number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
            name = stem(file)
            mask = f"{name}_mask.png"
            # The mask of a good image counts only where it is there.
            has_mask = tested and ((masked and label == "bad") or mask in listing.get(masks, ()))
            yield FoundImage(
                id=f"{kind}/{name}" if tested else name,
                split="test_public" if tested else "validation" if held_out else cast("Split", top),
                file=f"{base}/{folder}/{file}",
                label=label,
                light=_light(name) if layout == "mvtec_ad_2" else "regular",
                mask=f"{base}/{masks}/{mask}" if has_mask else None,
            )


def _published(listing: Listing, root: Path, folder: Path, layout: Layout) -> Iterator[FoundImage]:
    known, base = PUBLISHED[layout], folder.relative_to(root).as_posix()
    entries = sorted(known.entries(root, folder, listing), key=lambda entry: entry.file)
    parts = list(dict.fromkeys(known.part(entry.file) for entry in entries if entry.split == "train"))
    held_out = set(parts[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY] if known.holds_out else ())
    for entry in entries:
        name, learned = stem(entry.file.rpartition("/")[2]), entry.split == "train"
        yield FoundImage(
            id=f"{entry.kind}/{name}" if entry.split == "test_public" else name,
            split="validation" if learned and known.part(entry.file) in held_out else entry.split,
            file=f"{base}/{entry.file}",
            label="good" if entry.kind == "good" else "bad",
            light="regular",
            mask=None if entry.mask is None else f"{base}/{entry.mask}",
        )
