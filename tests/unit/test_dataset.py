import shutil

import numpy as np
import pytest
from PIL import Image
from tests.indexes import index_category, truth_of_category

from seamark.data.index import left_out_lines, require_one_kind, surplus_lines
from seamark.data.inventory import category_inventory
from seamark.data.layout import OFFICIAL_COUNTS, find_images, listing_digest, require_official_counts
from seamark.data.root import category_folders
from seamark.errors import DataError


def plain_map(function, items, what):
    return [function(item) for item in items]


def save(path, shape=(40, 60), value=90, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(shape if mode == "L" else (*shape, 3), value, np.uint8)
    Image.fromarray(pixels, mode).save(path)


def save_mask(path, shape=(40, 60), value=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(shape, np.uint8)
    pixels[4:9, 5:11] = value
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path):
    """One category `part` with two images per place, in the MVTec AD 2 layout."""
    part = tmp_path / "data" / "part"
    for number in range(2):
        save(part / "train" / "good" / f"{number:03d}_regular.png")
        save(part / "validation" / "good" / f"{number:03d}_regular.png")
        save(part / "test_private" / f"{number:03d}_regular.png")
        save(part / "test_private_mixed" / f"{number:03d}_mixed.png")
        for light in ("regular", "shift_1"):
            save(part / "test_public" / "good" / f"{number:03d}_{light}.png")
            save(part / "test_public" / "bad" / f"{number:03d}_{light}.png")
            save_mask(part / "test_public" / "ground_truth" / "bad" / f"{number:03d}_{light}_mask.png")
    return tmp_path / "data"


index = index_category


def test_index_lists_everything_once(root):
    found = index(root)
    assert {split: len(manifest.images) for split, manifest in found.items()} == dict.fromkeys(found, 2) | {
        "test_public": 8
    }
    public = found["test_public"].images
    assert [image.id for image in public[:2]] == ["bad/000_regular", "bad/000_shift_1"]
    assert {image.light for image in public} == {"regular", "shift_1"}
    assert all((image.mask is not None) == (image.label == "bad") for image in public)
    assert {image.label for image in found["test_private"].images} == {None}
    assert (public[0].width, public[0].height, public[0].channels) == (60, 40, 1)
    assert found["test_private_mixed"].images[1].light == "mixed"


def test_one_extra_nesting_is_tolerated(root):
    (root / "part").rename(root / "inner")
    (root / "part").mkdir()
    (root / "inner").rename(root / "part" / "part")
    assert index(root)["train"].images[0].file == "part/part/train/good/000_regular.png"


def test_names_with_dots_and_underscores_survive(root):
    save(root / "part" / "test_private" / "007_a.b_c.png")
    assert "007_a.b_c" in {image.id for image in index(root)["test_private"].images}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda part: (part / "train" / "good" / "000_regular.png").write_bytes(b""), "not a readable image"),
        (lambda part: truncate(part / "test_private" / "001_regular.png"), "the image is truncated"),
        (lambda part: save_mask(part / "test_public/ground_truth/bad/000_regular_mask.png", (41, 60)), "60 x 41 px"),
        (lambda part: save_mask(part / "test_public/ground_truth/bad/000_regular_mask.png", value=128), r"\[128\]"),
        (lambda part: (part / "test_public/ground_truth/bad/001_shift_1_mask.png").unlink(), "is missing"),
        (lambda part: [path.unlink() for path in (part / "validation" / "good").iterdir()], "split validation"),
        (lambda part: save(part / "train" / "good" / "000_regular.bmp"), "another suffix"),
        (lambda part: Image.new("RGBA", (60, 40)).save(part / "train" / "good" / "000_regular.png"), "mode RGBA"),
        (lambda part: Image.new("I;16", (60, 40)).save(part / "train" / "good" / "000_regular.png"), "mode I;16"),
    ],
)
def test_bad_input_is_named(root, spoil, message):
    spoil(root / "part")
    with pytest.raises(DataError, match=message) as caught:
        index(root)
    assert str(root) in str(caught.value)


def test_a_larger_mask_is_refused_for_its_size_not_as_an_attack(root):
    save_mask(root / "part/test_public/ground_truth/bad/000_regular_mask.png", (400, 600))
    with pytest.raises(DataError, match=r"600 x 400 px, but its image .* has 60 x 40 px"):
        index(root)


@pytest.mark.parametrize(("name", "tag"), [("jpg", 6), ("png", 8), ("tif", 5)])
def test_where_sizes_disagree_the_orientation_tag_is_named(root, name, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    bad = root / "part/test_public/bad"
    (bad / "000_regular.png").unlink()
    Image.new("L", (60, 40)).save(bad / f"000_regular.{name}", exif=exif)
    assert len(index(root)["test_public"].images) == 8
    save_mask(root / "part/test_public/ground_truth/bad/000_regular_mask.png", (60, 40))
    with pytest.raises(
        DataError, match=rf"40 x 60 px, but .* orientation tag {tag} of .*000_regular\.{name} is ignored"
    ):
        index(root)


def test_a_turned_tiff_is_indexed_as_it_is_stored_and_its_mask_may_carry_the_tag(root):
    turned = {0x0112: 6}
    bad, masks = root / "part/test_public/bad", root / "part/test_public/ground_truth/bad"
    (bad / "000_regular.png").unlink()
    Image.new("L", (60, 40)).save(bad / "000_regular.tif", tiffinfo=turned)
    Image.new("L", (40, 60), 255).save(masks / "000_regular_mask.png", "TIFF", tiffinfo=turned)
    with pytest.raises(DataError, match=r"60 x 40 px; .*tag 6 of .*regular\.tif is ignored.*tag 6 of .*mask\.png"):
        index(root)
    Image.new("L", (60, 40), 255).save(masks / "000_regular_mask.png", "TIFF", tiffinfo=turned)
    record = index(root)["test_public"].images[0]
    assert (record.width, record.height) == (60, 40)


@pytest.mark.parametrize("split", ["train/good", "validation/good", "test_public/good", "test_private"])
def test_grey_and_rgb_photographs_are_refused_in_a_category(root, split):
    save(root / "part" / split / "000_regular.png", mode="RGB")
    expected = rf"grey .* and 1 RGB photograph\(s\) \(part/{split}/000_regular\.png\).* to grey"
    with pytest.raises(DataError, match=expected):
        index(root)
    for name in root.glob(f"part/{split}/*.png"):
        save(name, mode="RGB")
    with pytest.raises(DataError, match=r"grey .* RGB photograph\(s\)"):
        category_inventory(list(index(root).values()))


def test_photographs_of_one_kind_pass_and_of_two_are_counted():
    require_one_kind("part", [])
    require_one_kind("part", [(3, "a.png"), (3, "b.png")])
    with pytest.raises(DataError, match=r"part: 1 grey .*\(c\.png\) and 2 RGB .*\(a\.png, b\.png\).*grey ones to RGB"):
        require_one_kind("part", [(3, "a.png"), (1, "c.png"), (3, "b.png")])


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def test_missing_category_and_root(root):
    with pytest.raises(DataError, match="found: part"):
        index(root, "rice")
    with pytest.raises(DataError, match=r"data\.root"):
        category_folders(root / "nowhere", "mvtec_ad_2")
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="no category found"):
        category_folders(root / "empty", "mvtec_ad_2")


def test_drafts_of_a_stage_are_no_category(root):
    (root / ".part.tmp-7" / "train").mkdir(parents=True)
    assert list(category_folders(root, "mvtec_ad_2")) == ["part"]


def test_full_data_set_must_have_the_official_counts():
    require_official_counts("rice", OFFICIAL_COUNTS["rice"])
    with pytest.raises(DataError, match=r"train 2 instead of 313; test_private 0 instead of 277"):
        require_official_counts("rice", {**OFFICIAL_COUNTS["rice"], "train": 2, "test_private": 0})


def test_official_totals():
    totals = [
        sum(counts[split] for counts in OFFICIAL_COUNTS.values()) for split in next(iter(OFFICIAL_COUNTS.values()))
    ]
    assert totals == [2528, 302, 1084, 2045, 2045]


def test_mvtec_ad_layout_is_read(tmp_path):
    part = tmp_path / "bottle"
    for number in range(20):
        save(part / "train" / "good" / f"{number:03d}.png")
    save(part / "test" / "good" / "000.png")
    save(part / "test" / "crack" / "000.png")
    save_mask(part / "ground_truth" / "crack" / "000_mask.png")
    images = find_images(tmp_path, part, "mvtec_ad")
    assert [image.id for image in images if image.split == "validation"] == ["009", "019"]
    assert sum(image.split == "train" for image in images) == 18
    assert {image.id: image.label for image in images if image.split == "test_public"} == {
        "crack/000": "bad",
        "good/000": "good",
    }
    truth = truth_of_category(index(tmp_path, "bottle", "mvtec_ad"), tmp_path, None)
    assert [record.defect_px for record in truth["test_public"].images] == [30, 0]


@pytest.mark.parametrize("layout", ["mvtec_ad_2", "mvtec_ad"])
@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ({}, {"bad/000": (True, None, "no mask"), "good/000": (False, 0, None)}),
        ({"bad/000": 255}, {"bad/000": (True, 30, None), "good/000": (False, 0, None)}),
        ({"bad/000": 0}, {"bad/000": (True, 0, "empty mask"), "good/000": (False, 0, None)}),
        ({"bad/000": 255, "good/000": 0}, {"bad/000": (True, 30, None), "good/000": (False, 0, None)}),
        (
            {"bad/000": 255, "good/000": 255},
            {"bad/000": (True, 30, None), "good/000": (False, 30, "mask of a good image")},
        ),
    ],
)
def test_folders_decide_labels_and_a_mask_that_differs_is_named(tmp_path, layout, masks, expected):
    part = tmp_path / "part"
    test = part / ("test_public" if layout == "mvtec_ad_2" else "test")
    ground_truth = (test if layout == "mvtec_ad_2" else part) / "ground_truth"
    for number in range(20):
        save(part / "train" / "good" / f"{number:03d}.png")
    if layout == "mvtec_ad_2":
        save(part / "validation" / "good" / "000.png")
    for name in expected:
        save(test / f"{name}.png")
    for name, value in masks.items():
        save_mask(ground_truth / f"{name}_mask.png", value=value)
    truth = truth_of_category(index(tmp_path, layout=layout), tmp_path, None)["test_public"]
    found = {record.id: (record.bad, record.defect_px, record.left_out) for record in truth.images}
    assert found == expected
    named = [record.id for record in truth.images if record.left_out]
    assert len(list(left_out_lines(truth))) == len(named)


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("test_public/ground_truth/bad/000_other_mask.png", None),
        ("test_public/ground_truth/000.json", None),
        ("ground_truth/bad/000_regular_mask.png", None),
        ("test_public/ground_truth/bad/000_regular_mask.png", "moved/000_regular_mask.png"),
        ("test_public/ground_truth/linked", "../../train/good"),
    ],
)
def test_masks_that_lie_elsewhere_are_not_taken_for_none_at_all(root, place, target):
    shutil.rmtree(root / "part/test_public/ground_truth")
    path = root / "part" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"") if target is None else path.symlink_to(target)
    with pytest.raises(
        DataError, match=r"bad/000_regular_mask.png: the mask of .* is missing|not read; a mask belongs into"
    ):
        index(root)


def test_private_truth_is_found_by_number_or_full_name(root, tmp_path):
    truth_root = tmp_path / "truth"
    folder = truth_root / "part" / "test_private"
    save_mask(folder / "000_mask.png")
    save_mask(folder / "001_regular_mask.png", value=0)
    truth = truth_of_category(index(root), root, truth_root)
    assert {name: (found.defect_px, found.bad) for name, found in truth["test_private"].by_id.items()} == {
        "000_regular": (30, True),
        "001_regular": (0, False),
    }
    assert truth["test_private_mixed"].by_id == {}
    assert len(truth["test_public"].images) == 8


def test_private_truth_of_no_photograph_is_named(root, tmp_path):
    folder = tmp_path / "truth" / "part" / "test_private"
    for name in ("000_mask.png", "001_regular_mask.png", "007_mask.png", "notes.txt", ".hidden"):
        save_mask(folder / "000_mask.png") if name == "000_mask.png" else (folder / name).touch()
    save_mask(folder / "001_regular_mask.png", value=0)
    truth = truth_of_category(index(root), root, tmp_path / "truth")
    (line,) = surplus_lines(truth["test_private"], tmp_path / "truth")
    assert line.startswith("part test_private: 2 files in ")
    assert "(007_mask.png, notes.txt)" in line
    assert not [*surplus_lines(truth["test_private_mixed"], tmp_path / "truth")]


def test_incomplete_private_truth_is_refused(root, tmp_path):
    save_mask(tmp_path / "truth" / "part" / "test_private" / "000_mask.png")
    with pytest.raises(DataError, match="no mask for image 001_regular"):
        truth_of_category(index(root), root, tmp_path / "truth")


def test_truth_of_another_size_is_refused(root, tmp_path):
    for number in range(2):
        save_mask(tmp_path / "truth" / "part" / "test_private" / f"{number:03d}_mask.png", (20, 30))
    with pytest.raises(DataError, match="30 x 20 px"):
        truth_of_category(index(root), root, tmp_path / "truth")


def test_listing_digest_sees_new_and_changed_files(root):
    def digest():
        return listing_digest(root, [image.file for image in find_images(root, root / "part", "mvtec_ad_2")])

    before = digest()
    assert digest() == before
    save(root / "part" / "train" / "good" / "002_regular.png")
    after = digest()
    assert after != before
    save(root / "part" / "train" / "good" / "002_regular.png", value=91, shape=(41, 60))
    assert digest() != after
