"""Rows of docs/photographs.md on what is passed over, or stands twice; its image files: tests/hostile."""

import re
import shutil
from pathlib import Path

import pytest
from tests.data_trees import AD, AD2, TRUTH, add, both, build, make, move, rename
from tests.indexes import indexes

from seamark.data.inventory import category_inventory
from seamark.data.root import survey_root
from seamark.data.survey import survey_category
from seamark.errors import ConfigError, DataError
from seamark.manifests.index import ImageRecord
from seamark.planning.photographs import PlannedPhotographs
from seamark.settings.config import Config

PAGE = (Path(__file__).parents[2] / "docs/photographs.md").read_text()


def rows(heading):
    """Cells of the table whose heading begins so."""
    table = re.search(rf"^\| {heading}.*\n\|-.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[1]
    return [line.strip("| ").split(" | ") for line in table.splitlines()]


def row_of(text, ways):
    """Ways to bring about the row that begins so, the longest beginning first."""
    return ways[max((beginning for beginning in ways if text.startswith(beginning)), key=len)]


def laid_out_otherwise(part):
    shutil.rmtree(part)
    build(part, AD)


def beside_nested(part):
    move(part, part.with_name("inner"))
    move(part.with_name("inner"), part / part.name)
    make(part / "test_private/x.png")


def masks_elsewhere(part):
    (part / TRUTH[AD2]).rename(part / "masks")


CATEGORY = {
    "image of another suffix": {"error": [(AD2, add("train/good/x.heic")), (AD, add("test/crack/x.NEF"))]},
    "the same, where one": {"warning": [(AD2, add("train/good/000.cr2"))]},
    "jfif, jpe, mpo, dib": {"error": [(AD2, add(f"test_private/x.{kind}")) for kind in ("jfif", "jpe", "mpo", "dib")]},
    "folder with images below": {"error": [(AD2, add("train/good/sub/x.png")), (AD2, add("test_private/bad/x.png"))]},
    "folder with images beside `good`": {
        "error": [(AD2, add(name)) for name in ("train/bad/x.png", "test_public/scratch/x.png", "train/x.png")]
    },
    "folder with images called like": {
        "error": [(AD2, add(f"{name}/x.png")) for name in ("testing", "val", "Train", "good", "cam/train/good")]
    },
    "any other folder": {"warning": [(AD2, add(name)) for name in ("notes/x.png", "raw/x.png", "x.png")]},
    "images laid out": {"error": [(AD2, laid_out_otherwise)]},
    "defect photographs without": {
        "error": [(AD2, lambda part: (part / TRUTH[AD2] / "001_mask.png").unlink()), (AD2, masks_elsewhere)]
    },
    "mask without a photograph": {
        "warning": [(AD2, add(f"{TRUTH[AD2]}/007_mask.png"))],
        "error": [(AD2, rename(f"{TRUTH[AD2]}/000_mask.png", f"{TRUTH[AD2]}/000.png"))],
    },
    "`x_mask.png` beside": {"error": [(AD2, add("test_public/bad/000_mask.png"))]},
    "in the layout `mvtec_ad`": {"error": [(AD, add(f"test/{name}/x.png")) for name in ("Good", "ok")]},
    "fewer than 10 images": {
        "error": [
            (AD, lambda part: (part / "train/good/009.png").unlink()),
            *((AD2, rename(f"{split}/good", f"{split}/.good")) for split in ("train", "validation")),
        ]
    },
    "folder with images beside `can/can/`": {"error": [(AD2, beside_nested)]},
    "archive called like a split": {"error": [(AD2, both(rename("test_private", ".x"), add("test_private.zip")))]},
    "files that are no images": {"counted": [(AD2, add("readme.txt")), (AD2, add("notes/readme.txt"))]},
}
"""How each row comes about, by the beginning of its text and by what the page says follows."""

ROOT = {
    "folder with photographs but": [
        *(rename("nut/train", f"nut/{name}") for name in ("Train", "training", "good")),
        rename("nut", "set/nut"),
    ],
    "folder called like": [add("rice/readme.txt")],
    "archive (": [add("oak.zip"), add("oak.tar.xz")],
    "the same, called": [add("mvtec_ad_2.tar.gz")],
    "images directly": [add("overview.png")],
    "link that leads nowhere": [lambda root: (root / "oak").symlink_to("nowhere")],
    "folders without photographs": [
        add("docs/readme.txt"),
        add("truth/nut/test_private/000_mask.png"),
        add("readme.txt"),
    ],
}

TWICE = {
    "of `test_public/bad`": [(("train", "good"), ("test_public", "bad"))],
    "of another test split": [(("validation", "good"), ("test_private", None))],
    "in `train` and in `validation`": [(("train", "good"), ("validation", "good"))],
    "twice in one split": [
        (("train", "good"), ("train", "good")),
        (("test_private", None), ("test_private_mixed", None)),
    ],
}


@pytest.mark.parametrize(
    ("heading", "ways"),
    [("in the folder of a category", CATEGORY), ("in the data root", ROOT), ("a photograph", TWICE)],
)
def test_each_row_is_brought_about(heading, ways):
    assert len(rows(heading)) == len(ways) == len({id(row_of(cells[0], ways)) for cells in rows(heading)})


def verdict_on_category(root, layout):
    try:
        survey = survey_category(root, survey_root(root, layout).folders["part"], layout)
    except DataError:
        return "error"
    verdicts = {record.verdict for record in survey.passed_over}
    return "warning" if "warning" in verdicts else "counted" if verdicts else "read"


@pytest.mark.parametrize(("text", "told"), rows("in the folder of a category"))
def test_what_lies_in_a_category_is_passed_over_as_told(tmp_path, text, told):
    ways = row_of(text, CATEGORY)
    assert [word for word in ("counted", "warning", "error") if word in told] == [*ways]
    for verdict, spoils in ways.items():
        for number, (layout, spoil) in enumerate(spoils):
            root = tmp_path / f"{verdict}{number}"
            build(root / "part", layout)
            spoil(root / "part")
            assert verdict_on_category(root, layout) == verdict, number


def verdict_on_root(root, categories):
    try:
        photographs = PlannedPhotographs(Config(data={"root": root, "categories": categories}))
    except (ConfigError, DataError):
        return "error"
    return "warning" if photographs.warnings else "passed over"


@pytest.mark.parametrize(("text", "of_all", "of_named"), rows("in the data root"))
def test_what_lies_in_a_data_root_is_passed_over_as_told(tmp_path, text, of_all, of_named):
    for number, spoil in enumerate(row_of(text, ROOT)):
        root = tmp_path / str(number)
        for part in ("bolt", "nut"):
            build(root / part, AD2)
        spoil(root)
        assert of_all.startswith(verdict_on_root(root, "all"))
        assert of_named.startswith(verdict_on_root(root, ["bolt"]))


@pytest.mark.parametrize(("text", "told"), rows("a photograph"))
def test_photographs_that_stand_twice_are_warned_of_as_told(text, told):
    facts = {"light": "regular", "width": 4, "height": 4, "channels": 1, "sha256": "0" * 64}
    for places in row_of(text, TWICE):
        records = [
            ImageRecord(id=name, file=name, split=split, label=label, mask=None, **facts)
            for name, (split, label) in zip("ab", places, strict=True)
        ]
        (warning,) = category_inventory([*indexes("part", records).values()]).warnings
        assert told in warning
        assert "a = b" in warning
