"""Folders that look like a category and are not read: named, with a remedy that helps."""

import pytest
from tests.data_trees import AD2, add, both, build, hide, make, move, remove, rename

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.data.root import survey_root
from seamark.data.survey import survey_category
from seamark.errors import DataError


@pytest.mark.parametrize(
    ("spoil", "name", "message", "mend"),
    [
        (
            rename("nut/train", "nut/Train"),
            "nut",
            "rename .*nut/Train to .*nut/train",
            rename("nut/Train", "nut/train"),
        ),
        (rename("nut/train", "nut/training"), "nut", "rename .*training", rename("nut/training", "nut/train")),
        (rename("nut/train", "nut/trian"), "nut", "rename .*trian", rename("nut/trian", "nut/train")),
        (
            both(rename("nut/train/good", "nut/good"), remove("nut/train")),
            "nut",
            "good photographs in .*nut/train/good",
            rename("nut/good", "nut/train/good"),
        ),
        (both(remove("nut"), add("nut/x.heic")), "nut", "nut/train/good", hide("nut")),
        (
            rename("nut", "set/nut"),
            "set",
            r"set data\.root to .*set for .*\(nut\), or move them up",
            both(rename("set/nut", "nut"), remove("set")),
        ),
        (both(remove("nut"), add("nut.zip")), "nut", r"nut\.zip.*unpack it", lambda root: build(root / "nut", AD2)),
        (add("rice.tar.xz"), "rice", r"rice\.tar\.xz.*unpack it", lambda root: build(root / "rice", AD2)),
        (add("rice/readme.txt"), "rice", "folder rice/", hide("rice")),
        (lambda root: (root / "oak").symlink_to("nowhere"), "oak", "link oak", lambda root: (root / "oak").unlink()),
    ],
)
def test_categories_that_are_not_recognised_are_named_with_a_remedy_that_helps(tmp_path, spoil, name, message, mend):
    for part in ("bolt", "nut"):
        build(tmp_path / part, AD2)
    spoil(tmp_path)
    survey = survey_root(tmp_path, AD2)
    assert survey.missing == (name,)
    with pytest.raises(DataError, match=message):
        survey.require_all()
    mend(tmp_path)
    survey_root(tmp_path, AD2).require_all()


def test_what_else_lies_in_a_data_root_is_no_error(tmp_path):
    build(tmp_path / "bolt", AD2)
    add("bolt.zip", "mvtec_ad_2.tar.gz", "overview.jpg", "docs/readme.txt", "truth/bolt/test_private/000_mask.png")(
        tmp_path
    )
    survey = survey_root(tmp_path, AD2)
    survey.require_all()
    assert [str(record).partition(":")[0] for record in survey.unrecognised.values()] == [
        "mvtec_ad_2.tar.gz",
        "1 image beside the categories (overview.jpg)",
    ]


@pytest.mark.parametrize(
    ("place", "message", "right"),
    [
        ("data/part", r"set data\.root to .*/data and data\.categories to \[part\]", "data"),
        (".", r"set data\.root to .*/data for the categories in it \(part\)", "data"),
        ("empty", r"no folder with photographs is there; check data\.root", "data"),
    ],
)
def test_a_root_one_level_off_is_told(tmp_path, place, message, right):
    build(tmp_path / "data/part", AD2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        survey_root(tmp_path / place, AD2)
    assert list(survey_root(tmp_path / right, AD2).folders) == ["part"]


def test_images_beside_a_nested_category_are_named(tmp_path):
    build(tmp_path / "can/can", AD2)
    add("can/test_private/x.png", "can/license.txt")(tmp_path)
    folder = survey_root(tmp_path, AD2).folders["can"]
    with pytest.raises(DataError, match=r"folder test_private/ .*put it into can/can/"):
        survey_category(tmp_path, folder, AD2)
    move(tmp_path / "can/test_private/x.png", folder / "test_private/x.png")
    assert survey_category(tmp_path, folder, AD2).passed_over == ()


def test_official_names_are_those_of_the_data_set(tmp_path):
    build(tmp_path / "bolt", AD2)
    for name in OFFICIAL_COUNTS:
        make(tmp_path / f"{name}.tar.xz")
    assert set(survey_root(tmp_path, AD2).missing) == set(OFFICIAL_COUNTS)
