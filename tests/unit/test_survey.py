"""Files that are not read: each error's remedy, applied, makes the survey pass."""

import re
import shutil

import pytest
from tests.data_trees import AD, AD2, PLACES, TRUTH, add, both, build, hide, make, masked, move, remove, rename, up

from seamark.data.survey import survey_category
from seamark.errors import DataError

OTHER_SUFFIXES = (
    *(
        "heic",
        "HEIC",
        "heif",
        "avif",
        "jxl",
        "jp2",
        "gif",
        "tga",
        "ppm",
        "pgm",
        "exr",
        "npy",
        "dng",
        "raw",
        "cr2",
    ),
    *("NEF", "psd", "pcx", "sgi", "dds", "jxr", "nrrd", "3FR", "x3f"),
)

ERRORS = [
    *(
        (
            AD2,
            add(f"train/good/x.{kind}"),
            rf"1 \.{kind.lower()} \(train/good/x\.{kind}\).*convert it to PNG",
            rename(f"train/good/x.{kind}", "train/good/x.png"),
        )
        for kind in OTHER_SUFFIXES
    ),
    *(
        (layout, add(f"{place}/x.jfif"), r"1 \.jfif .*rename it to \.jpg", rename(f"{place}/x.jfif", f"{place}/x.jpg"))
        for layout in PLACES
        for place in PLACES[layout]
        if not place.endswith(("bad", "crack"))
    ),
    (
        AD2,
        add("train/good/x.JPE", "test_private/y.mpo"),
        r"rename it to \.jpg",
        both(rename("train/good/x.JPE", "train/good/x.jpg"), hide("test_private/y.mpo")),
    ),
    # folders below photographs, and beside them
    (
        AD2,
        add("train/good/sub/x.png"),
        "folder train/good/sub/ .*into train/good/",
        lambda part: up(part / "train/good/sub"),
    ),
    (
        AD,
        add("train/good/a/b/x.png"),
        "folder train/good/a/ .*into train/good/",
        rename("train/good/a/b/x.png", "train/good/x.png"),
    ),
    (AD, add("test/crack/deep/x.png"), "folder test/crack/deep/", hide("test/crack/deep")),
    (
        AD2,
        add("test_private/bad/x.png", "test_private/good/x.png"),
        "folder test_private/bad/ .*into test_private/ itself.*truth_root",
        lambda part: [up(part / "test_private" / label) for label in ("bad", "good")],
    ),
    (AD2, add("test_private_mixed/bad/x.heic"), "folder test_private_mixed/bad/", hide("test_private_mixed/bad")),
    (
        AD2,
        add("train/bad/x.png"),
        "folder train/bad/ .*test_public/bad/ and their masks into",
        masked("train/bad/x.png"),
    ),
    *(
        (
            AD2,
            add(f"{place}/x.png"),
            f"folder {place}/ .*into {split}/good/, or where they show defects into test_public/bad/ and their masks",
            rename(f"{place}/x.png", f"{split}/good/x.png"),
        )
        for place, split in (("train/goood", "train"), ("validation/val", "validation"), ("train/scratch", "train"))
    ),
    (
        AD2,
        add("train/Good/x.png"),
        "folder train/Good/ .*into train/good/",
        rename("train/Good/x.png", "train/good/x.png"),
    ),
    (
        AD2,
        add("test_public/OK/x.png"),
        "folder test_public/OK/ .*into test_public/good/",
        rename("test_public/OK/x.png", "test_public/good/x.png"),
    ),
    (
        AD2,
        add("test_public/scratch/x.png", "test_public/dent/y.png"),
        "folder test_public/scratch/ .*test_public/bad/ and their masks into test_public/ground_truth/bad/",
        masked("test_public/scratch/x.png", "test_public/dent/y.png"),
    ),
    (
        AD,
        add("train/bad/x.png"),
        "folder train/bad/ .*test/<kind of defect>/ and their masks",
        both(rename("train/bad/x.png", "test/bent/x.png"), add("ground_truth/bent/x_mask.png")),
    ),
    # loose images
    (
        AD2,
        add("train/x.png", "train/y.heic"),
        r"2 images directly in train/ .*into train/good/",
        both(rename("train/x.png", "train/good/x.png"), hide("train/y.heic")),
    ),
    (
        AD2,
        add("validation/x.jpg"),
        "1 image directly in validation/ .*into validation/good/",
        rename("validation/x.jpg", "validation/good/x.jpg"),
    ),
    (
        AD2,
        add("test_public/x.png"),
        "1 image directly in test_public/ .*test_public/good/ and test_public/bad/",
        rename("test_public/x.png", "test_public/good/x.png"),
    ),
    (
        AD,
        add("test/x.png"),
        "1 image directly in test/ .*test/good/ and test/<kind",
        rename("test/x.png", "test/good/x.png"),
    ),
    # splits that are called otherwise
    *(
        (AD2, rename(split, name), f"folder {name}/ .*into {split}", rename(name, split))
        for split, names in {
            "validation": ("val", "Validation", "valid", "validaton"),
            "test_public": ("test", "testing", "Test_Public", "test-public"),
            "test_private": ("TEST_PRIVATE", "testprivate"),
        }.items()
        for name in names
    ),
    (
        AD2,
        add("testing/x.png"),
        "folder testing/ .*into test_public/good/ and test_public/bad/",
        rename("testing/x.png", "test_public/good/x.png"),
    ),
    (AD2, add("good/x.png"), "folder good/ .*train/good/", rename("good/x.png", "train/good/x.png")),
    (AD2, add("defects/x.png"), "folder defects/ .*test_public/bad/ and", masked("defects/x.png")),
    (AD2, add("camera2/train/good/x.png"), "folder camera2/", rename("camera2/train/good/x.png", "train/good/x.png")),
    (
        AD,
        add("validation/good/x.png"),
        "folder validation/ .*into train/good/",
        rename("validation/good/x.png", "train/good/x.png"),
    ),
    (
        AD2,
        both(remove("test_private"), add("test_private.tar.xz")),
        r"test_private\.tar\.xz: not read; unpack it",
        add("test_private/x.png"),
    ),
    # too few images
    (
        AD,
        lambda part: [path.unlink() for path in (part / "train/good").glob("*[3-9].png")],
        r"at least 10 there, found 3; add good images to train/good",
        add(*(f"train/good/{number}.png" for number in range(7))),
    ),
    (
        AD2,
        remove("validation"),
        r"validation; add good images as validation/good/\*\.png",
        add("validation/good/x.png"),
    ),
    (AD2, remove("train/good"), r"train; add good images as train/good/\*\.png", add("train/good/x.png")),
    (
        AD2,
        add("train/good/000.bmp"),
        r"000\.png: same name as .*000\.bmp.*remove one",
        lambda part: (part / "train/good/000.bmp").unlink(),
    ),
    # masks
    (
        AD2,
        lambda part: (part / TRUTH[AD2] / "001_mask.png").unlink(),
        r"001_mask\.png: the mask of .*001\.png is missing; .* holds 000_mask\.png",
        add(f"{TRUTH[AD2]}/001_mask.png"),
    ),
    (
        AD2,
        rename(f"{TRUTH[AD2]}/000_mask.png", f"{TRUTH[AD2]}/000.png"),
        "1 mask without a photograph .*called as its photograph with _mask.png",
        rename(f"{TRUTH[AD2]}/000.png", f"{TRUTH[AD2]}/000_mask.png"),
    ),
    (
        AD,
        rename("ground_truth/crack/000_mask.png", "ground_truth/crack/000_mask.PNG"),
        "1 mask without a photograph",
        rename("ground_truth/crack/000_mask.PNG", "ground_truth/crack/000_mask.png"),
    ),
    (
        AD2,
        rename(TRUTH[AD2], "masks"),
        "folder masks/ .*a mask belongs into test_public/ground_truth/bad/",
        rename("masks", TRUTH[AD2]),
    ),
    (
        AD2,
        lambda part: up(part / TRUTH[AD2]),
        "2 images directly in test_public/ground_truth/",
        lambda part: [
            move(path, path.parent / "bad" / path.name.removeprefix("bad_"))
            for path in (part / "test_public/ground_truth").iterdir()
        ],
    ),
    (
        AD,
        rename("ground_truth/crack", "ground_truth/cracks"),
        "2 masks without a photograph",
        rename("ground_truth/cracks", "ground_truth/crack"),
    ),
    (
        AD2,
        add("test_public/bad/000_mask.png", "test_private/001_mask.png"),
        "2 masks among photographs",
        lambda part: [
            (part / place).unlink() for place in ("test_public/bad/000_mask.png", "test_private/001_mask.png")
        ],
    ),
    (
        AD,
        rename("test/good", "test/Good"),
        "folder test/Good/ would be read as a kind of defect; rename it to test/good",
        rename("test/Good", "test/good"),
    ),
    # links
    (
        AD2,
        lambda part: (part / "test_private_mixed").symlink_to("/nowhere"),
        "test_private_mixed: a link that leads nowhere",
        lambda part: (part / "test_private_mixed").unlink(),
    ),
]


@pytest.mark.parametrize(("layout", "spoil", "message", "mend"), ERRORS)
def test_what_looks_like_data_is_an_error_whose_remedy_helps(tmp_path, layout, spoil, message, mend):
    part = tmp_path / "part"
    build(part, layout)
    assert survey_category(tmp_path, part, layout).passed_over == ()
    spoil(part)
    with pytest.raises(DataError, match=message) as caught:
        survey_category(tmp_path, part, layout)
    assert str(part) in str(caught.value)
    mend(part)
    assert not any(record.looks_like_data for record in survey_category(tmp_path, part, layout).passed_over)


@pytest.mark.parametrize(
    ("layout", "spoil", "passed", "verdict"),
    [
        (AD2, add("notes/x.png", "notes/y.png"), "folder notes/", "warning"),
        (AD2, add("raw/2024/x.cr2"), "folder raw/", "warning"),
        (AD2, add("notes/readme.txt"), "folder notes/", "counted"),
        (AD2, add("sheet.jpg"), "1 image beside the splits", "warning"),
        (AD2, add("train/good/000.CR2", "train/good/001.cr2"), "2 .cr2", "warning"),
        (AD2, add(f"{TRUTH[AD2]}/007_mask.png"), "1 mask without a photograph", "warning"),
        (AD, add("ground_truth/dent/007_mask.png"), "1 mask without a photograph", "warning"),
        (AD2, add("masks/000_mask.png"), "folder masks/", "warning"),
        (AD2, add("readme.txt", "train/good/Thumbs.txt"), "2 .txt", "counted"),
        (AD2, add("LICENSE"), "1 without suffix", "counted"),
        (AD2, add("part.zip", "train.zip"), "2 .zip", "counted"),
    ],
)
def test_what_may_be_meant_is_a_warning_and_the_rest_is_counted(tmp_path, layout, spoil, passed, verdict):
    part = tmp_path / "part"
    build(part, layout)
    spoil(part)
    survey = survey_category(tmp_path, part, layout)
    assert [(record.what, record.verdict) for record in survey.passed_over] == [(passed, verdict)]
    assert survey.line("part").endswith(f"; passed over: {passed}")


@pytest.mark.parametrize(
    "spoil",
    [
        add(".DS_Store", "train/good/._x.png", ".raw/x.png", "train/good/@eaDir/x.jpg", "__MACOSX/train/good/x.png"),
        add("test_public/ground_truth/good/000_mask.png"),
        lambda part: (part / "test_private/again").symlink_to(part),
        lambda part: (part / "empty/folder").mkdir(parents=True),
    ],
)
def test_hidden_files_masks_of_good_images_and_circles_are_not_mentioned(tmp_path, spoil):
    build(tmp_path / "part", AD2)
    spoil(tmp_path / "part")
    line = survey_category(tmp_path, tmp_path / "part", AD2).line("part")
    assert line == "part: train 3, validation 2, test_public 3 (1 good, 2 bad), test_private 2"


@pytest.mark.parametrize(("layout", "other"), [(AD2, AD), (AD, AD2)])
def test_the_layout_that_fits_is_named_with_what_is_there(tmp_path, layout, other):
    build(tmp_path / "part", other)
    with pytest.raises(
        DataError, match=rf"train/good/ \d+.*: that is the layout {other}; set data\.layout: {other}"
    ) as caught:
        survey_category(tmp_path, tmp_path / "part", layout)
    assert len(str(caught.value).splitlines()) == 1
    survey_category(tmp_path, tmp_path / "part", other)


def test_all_problems_are_told_at_once_below_what_is_there(tmp_path):
    part = tmp_path / "part"
    build(part, AD2)
    both(add("train/good/a.heic", "train/good/b.heic", "notes/x.png"), remove("validation"))(part)
    with pytest.raises(DataError) as caught:
        survey_category(tmp_path, part, AD2)
    heading, *problems = str(caught.value).splitlines()
    assert re.search(
        r"train 3, test_public 3 .*; passed over: 2 \.heic, folder notes/; in the layout mvtec_ad_2:", heading
    )
    assert len(problems) == 2


@pytest.mark.parametrize("layout", [AD2, AD])
def test_no_image_vanishes_wherever_it_lies(tmp_path, layout):
    parts = ("", "train", "bad", "test", "test_private", "ground_truth", "x y")
    part = tmp_path / "part"
    build(part, layout)
    for first in parts:
        for second in parts:
            for third in ("", "good"):
                path = part / first / second / third / "lost.heic"
                made = next((above for above in reversed(path.parents) if not above.exists()), path)
                make(path)
                try:
                    told = any(
                        "lost.heic" in str(record) for record in survey_category(tmp_path, part, layout).passed_over
                    )
                except DataError as error:
                    told = "lost.heic" in str(error)
                assert told, path
                path.unlink()
                if made != path:
                    shutil.rmtree(made)
