"""Data roots as file systems allow them."""

import os
import random
import socket
from pathlib import Path
from typing import Any

from tests.fuzz.targets.base import Target
from tests.fuzz.targets.pictures import picture, saved

from seamark.data.index import find_truth, index_split
from seamark.data.layout import find_images, listing_digest
from seamark.data.root import category_folders
from seamark.forecast.photographs import DataSetSizes
from seamark.settings.base import SPLITS, Layout
from seamark.settings.config import Config
from seamark.settings.data import DataSettings

NAMES = (
    *("000_regular", "001_shift_1", "a b", "a.b.c", "größe", "写真", "-rf", "X", "x", "~", "a'\"b", "a\\b", "%s", "*"),
    *("line\nbreak", "tab\t", "{x}", "\u202e", "\u2028", os.fsdecode(b"\xff\xfe"), "n" * 199, "n" * 250, " ", "good"),
)
FOLDERS = (
    *("train/good", "validation/good", "test_public/good", "test_public/bad", "test_public/ground_truth/bad"),
    *("test_private", "test_private_mixed", "test/good", "test/crack", "ground_truth/crack"),
)
IMAGE, MASK = saved(picture("L"), "PNG"), saved(picture("1").convert("L"), "PNG")


def _put(path: Path, root: Path, drawn: random.Random) -> None:
    """Make a file, or something that looks like one."""
    kind = drawn.choice(
        ("image",) * 8 + ("mask", "empty", "folder", "pipe", "socket", "link", "loop", "zero", "out", "up")
    )
    if kind in {"image", "mask", "empty"}:
        path.write_bytes({"image": IMAGE, "mask": MASK, "empty": b""}[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    else:
        targets = {
            "link": "nowhere.png",
            "loop": path.name,
            "zero": "/dev/zero",
            "out": "/etc/hostname",
            "up": str(root),
        }
        path.symlink_to(targets[kind])


def build(root: Path, drawn: random.Random) -> None:
    """Fill a data root with what a file system may hold."""
    category = root / drawn.choice(("part", "part", *NAMES))
    for folder in FOLDERS:
        if drawn.random() < 0.1:
            continue
        place = category / folder
        place.mkdir(parents=True, exist_ok=True)
        for _ in range(drawn.randint(1, 3)):
            name = drawn.choice(("000_regular", "001_regular", drawn.choice(NAMES)))
            mask = "_mask" if "ground_truth" in folder and drawn.random() < 0.9 else ""
            path = place / f"{name}{mask}{drawn.choice(('.png', '.png', '.png', '.PNG', '.tif', '.jpg', ''))}"
            if not os.path.lexists(path):
                _put(path, root, drawn)
    if drawn.random() < 0.1:
        (category / "train" / "again").symlink_to("..")


def plain_map(function: Any, items: Any, _: str) -> list[Any]:
    return [function(item) for item in items]


def scan(content: bytes, folder: Path) -> None:
    """List, index and gather the truth of a data root that the input describes."""
    drawn = random.Random(content)
    root = folder / "data"
    here = Path.cwd()
    os.chdir(folder)  # sockets take short names only
    try:
        build(root, drawn)
    except OSError:
        return
    finally:
        os.chdir(here)
    layout: Layout = drawn.choice(("mvtec_ad_2", "mvtec_ad"))
    for category, place in category_folders(root, layout).items():
        found = find_images(root, place, layout)
        assert len(listing_digest(root, [image.file for image in found])) == 16
        planned = Config(data=DataSettings(root=root, layout=layout))
        assert DataSetSizes(planned, {category: place}).of(category, ("train", "validation")).count
        index = index_split(root, category, drawn.choice(SPLITS), layout, plain_map, most_pixels=1 << 16)
        assert index.model_dump_json()
        assert find_truth(index, root, root / category if drawn.random() < 0.5 else None, plain_map).model_dump_json()


TARGETS = {"folders": Target(lambda: [bytes([number]) for number in range(100)], scan)}
