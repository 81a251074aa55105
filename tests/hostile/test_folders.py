"""Data roots with names and files that nobody asked for."""

import os

import pytest
from tests.fuzz.targets.folders import IMAGE
from tests.indexes import index_category

from seamark.data.layout import find_images, listing_digest
from seamark.data.root import category_folders
from seamark.errors import DataError


@pytest.fixture
def part(tmp_path):
    folder = tmp_path / "data" / "part"
    for place in ("train/good", "validation/good"):
        (folder / place).mkdir(parents=True)
        (folder / place / "000.png").write_bytes(IMAGE)
    return folder


def index(part):
    return index_category(part.parent, part.name, splits=("train", "validation"))["train"]


@pytest.mark.parametrize("name", ["a b", "a.b.c", "größe", "写真 1", "-rf", "a'\"b", "\u202f", "*", "n" * 196])
def test_odd_names_are_kept(part, name):
    (part / "train" / "good" / f"{name}.png").write_bytes(IMAGE)
    manifest = index(part)
    assert name in {image.id for image in manifest.images}
    assert type(manifest).model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize("name", ["line\nbreak", "tab\t", "{x}", "\u2028", os.fsdecode(b"\xff\xfe"), "n" * 210])
def test_names_that_results_cannot_have_are_refused_for_images_and_categories(part, name):
    (part / "train" / "good" / f"{name}.png").write_bytes(IMAGE)
    with pytest.raises(DataError, match="rename it") as caught:
        index(part)
    assert str(caught.value).isprintable()
    part.rename(part.with_name(name))
    with pytest.raises(DataError, match="rename it"):
        category_folders(part.parent, "mvtec_ad_2")


def test_names_that_snakemake_takes_for_patterns_are_refused_for_categories_alone(part):
    (part / "train/good/<i>.png").write_bytes(IMAGE)
    assert "<i>" in {image.id for image in index(part).images}
    part.rename(part.with_name("a<i>"))
    with pytest.raises(DataError, match=r"has '<', '>'; .* any of \{\}<>: rename it"):
        category_folders(part.parent, "mvtec_ad_2")


def test_names_that_differ_in_case_are_two_images_and_in_their_suffix_one(part):
    (part / "train" / "good" / "A.png").write_bytes(IMAGE)
    (part / "train" / "good" / "a.png").write_bytes(IMAGE)
    assert [image.id for image in index(part).images] == ["000", "A", "a"]
    (part / "train" / "good" / "a.PNG").write_bytes(IMAGE)
    with pytest.raises(DataError, match="another suffix"):
        index(part)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("nowhere"),
    ],
)
def test_what_is_no_plain_file_is_named(part, make):
    path = part / "train" / "good" / "001.png"
    make(path)
    assert len(listing_digest(part, ["train/good/001.png"])) == 16
    with pytest.raises(DataError, match=r"001\.png: (not a readable image|the image is missing)"):
        index(part)


def test_linked_folders_are_watched_and_circles_end(part, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (part / "train" / "good").rename(elsewhere)
    (part / "train" / "good").symlink_to(elsewhere)
    (part / "train" / "again").symlink_to(part)
    before = listing_digest(part, ["train/good/000.png"])
    (elsewhere / "000.png").write_bytes(IMAGE)
    (elsewhere / "001.png").write_bytes(IMAGE)
    assert listing_digest(part, ["train/good/000.png"]) != before
    assert len(index(part).images) == 2


def test_a_root_that_cannot_be_listed_is_named(part, monkeypatch):
    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(part), "iterdir", denied)
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match="cannot be listed"):
        category_folders(part.parent, "mvtec_ad_2")
    with pytest.raises(DataError, match="cannot be listed"):
        find_images(part.parent, part, "mvtec_ad_2")
