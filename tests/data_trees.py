"""Data roots of empty files, since nothing is opened to survey them, and ways to spoil and mend them."""

import shutil
from pathlib import Path

AD2, AD = "mvtec_ad_2", "mvtec_ad"
PLACES = {
    AD2: {"train/good": 3, "validation/good": 2, "test_public/good": 1, "test_public/bad": 2, "test_private": 2},
    AD: {"train/good": 10, "test/good": 1, "test/crack": 2},
}
TRUTH = {AD2: "test_public/ground_truth/bad", AD: "ground_truth/crack"}


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def move(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def build(part, layout):
    """Make a category of empty files, since nothing is opened."""
    for place, number in PLACES[layout].items():
        for image in range(number):
            make(part / place / f"{image:03d}.png")
    for image in range(2):
        make(part / TRUTH[layout] / f"{image:03d}_mask.png")


def up(folder):
    """Move what a folder holds into the one above, under names of its own."""
    for path in folder.iterdir():
        move(path, folder.parent / f"{folder.name}_{path.name}")
    folder.rmdir()


def rename(old, new):
    return lambda part: move(part / old, part / new)


def remove(path):
    return lambda part: shutil.rmtree(part / path)


def add(*names):
    return lambda part: [make(part / name) for name in names]


def hide(path):
    return rename(path, Path(path).with_name(f".{Path(path).name}"))


def both(*steps):
    return lambda part: [step(part) for step in steps]


def masked(*names):
    """Move photographs of defects to their place and add their masks."""
    moves = [rename(name, f"test_public/bad/m{number}.png") for number, name in enumerate(names)]
    return both(*moves, add(*(f"{TRUTH[AD2]}/m{number}_mask.png" for number in range(len(names)))))
