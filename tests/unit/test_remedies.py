"""Each message tells a remedy; here each is followed, to the letter, and helps."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from seamark.errors import SeamarkError
from seamark.files.images import read_image, read_mask
from seamark.planning.plan import Plan
from seamark.settings.binarize import ConformalSettings
from seamark.settings.config import deep_merge
from seamark.settings.crossfit import CrossfitSettings

ROOT = Path(__file__).parents[2]


def save(path, mode="L", size=(6, 4), value=255, **options):
    path.unlink(missing_ok=True)
    Image.new(mode, size, value).save(path, **options)


def cut_short(path):
    save(path)
    path.write_bytes(path.read_bytes()[:-20])


def padded(path):
    save(path)
    with path.open("ab") as file:
        file.truncate(17 << 20)


def grey_mask(path):
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)).save(path)


@pytest.mark.parametrize(
    ("read", "spoil", "message", "mend"),
    [
        (read_image, lambda path: None, "missing: put it back", save),
        (read_image, lambda path: path.symlink_to("nowhere"), "mend or remove it", save),
        (read_image, lambda path: path.symlink_to(path.name), "mend the link or remove it", save),
        (read_image, lambda path: path.mkdir(), "put a file in its place, or", lambda path: (path.rmdir(), save(path))),
        (read_image, os.mkfifo, "put a file in its place, or remove it", save),
        (read_image, cut_short, "truncated or damaged.*replace the file", save),
        (read_image, lambda path: path.write_bytes(b""), "replace the file", save),
        (read_image, lambda path: save(path, format="GIF"), "not a readable image", save),
        (read_image, lambda path: save(path, "I;16"), "expected 8; convert the file", save),
        (read_image, lambda path: save(path, "RGBA"), r"expected 8-bit grey \(L\) or RGB; convert", save),
        (lambda path: read_image(path, 24), padded, "save it without what is no pixel", save),
        (lambda path: read_image(path, 24), lambda path: save(path, size=(6, 5)), "use a smaller image", save),
        (read_mask, lambda path: save(path, "RGB", value=0), "one channel with values 0 and 255; convert", save),
        (read_mask, grey_mask, "threshold the file yourself", save),
    ],
)
def test_remedies_for_image_files(tmp_path, read, spoil, message, mend):
    path = tmp_path / "x.png"
    spoil(path)
    with pytest.raises(SeamarkError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    mend(path)
    assert read(path).shape[:2] == (4, 6)


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_larger_limit_helps_where_it_is_offered(tmp_path, read):
    path = tmp_path / "x.png"
    for spoil in (lambda path: save(path, size=(6, 5)), padded):
        spoil(path)
        with pytest.raises(SeamarkError, match=r"raise data\.image_px_max"):
            read(path, 24)
        read(path, 1 << 20)


def test_fewer_folds_and_the_alpha_that_is_named_suffice():
    for count in range(1, 10):
        refusal = CrossfitSettings(folds=10).refusal(count)
        assert CrossfitSettings(folds=int(re.search(r"choose (?:2 to )?(\d+)", refusal)[1])).refusal(count) is None
    for count in range(1, 49):
        refusal = ConformalSettings(alpha=0.02).refusal(count)
        assert ConformalSettings(alpha=float(refusal.rpartition(" ")[2])).refusal(count) is None
        assert ConformalSettings(alpha=0.02).refusal(int(re.search(r"at least (\d+)", refusal)[1])) is None


AD = {"layout": "mvtec_ad", "splits": ["validation", "test_public"]}
AD2 = {"splits": ["validation", "test_public", "test_private"]}


def build(root, places, *categories):
    for category in categories:
        for place, number in places.items():
            for image in range(number):
                path = root / category / place / f"{image:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()


IN_AD = {"train/good": 10, "test/good": 2}
IN_AD2 = {"train/good": 2, "validation/good": 1, "test_public/good": 1, "test_private": 1}


def plan(root, data, overlay):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    settings = {"data": {"root": str(root), "truth_root": None, "demo": False, **data}, **overlay}
    return Plan(deep_merge(raw, settings), ROOT)


def said(what):
    """Take a setting of the data from the message, word by word."""
    return lambda root, message: yaml.safe_load(re.search(what, message)[1])


def moved(old, new):
    return lambda root, message: shutil.move(root / old, root / new)


def more(places, *categories):
    return lambda root, message: build(root, places, *categories)


@pytest.mark.parametrize(
    ("places", "spoil", "data", "overlay", "message", "remedy"),
    [
        (IN_AD2, moved("nut/train", "nut/Train"), AD2, {}, "rename .*nut/Train to", moved("nut/Train", "nut/train")),
        (
            IN_AD2,
            moved("nut/train", "nut/Train"),
            AD2,
            {},
            r"named in data\.categories",
            lambda *_: {"categories": ["bolt"]},
        ),
        (IN_AD2, moved("nut/train", "nut/Train"), AD2, {}, "a dot before its name", moved("nut", ".nut")),
        (
            IN_AD2,
            moved("nut/train", "nut/trained"),
            {**AD2, "categories": ["nut"]},
            {},
            "data.categories: nut not in .*found: bolt\n.*rename .*trained to",
            moved("nut/trained", "nut/train"),
        ),
        (IN_AD2, None, {**AD2, "categories": ["nuts"]}, {}, "found: bolt, nut", lambda *_: {"categories": ["nut"]}),
        (
            IN_AD2,
            None,
            {},
            {},
            "no image for test_private_mixed; add them",
            more({"test_private_mixed": 1}, "bolt", "nut"),
        ),
        (IN_AD2, None, {}, {}, r"set data\.splits", said(r"set data\.(splits: .*)")),
        (IN_AD, None, {"layout": "mvtec_ad"}, {}, r"set data\.splits", said(r"set data\.(splits: .*)")),
        (IN_AD, None, {"splits": AD["splits"]}, {}, "the layout mvtec_ad;", said(r"set data\.(layout: .*)")),
        (IN_AD2, None, AD, {}, "that is the layout mvtec_ad_2", said(r"set data\.(layout: .*)")),
        (IN_AD | {"train/good": 7}, None, AD, {}, "found 7; add good images to train/good", more(IN_AD, "bolt", "nut")),
        (
            IN_AD2,
            moved("bolt/validation", "bolt/val"),
            AD2,
            {},
            "put its photographs into validation/good/",
            moved("bolt/val", "bolt/validation"),
        ),
        (
            IN_AD2,
            None,
            AD2,
            {"crossfit": {"folds": 3}},
            "needs at least 3 .*add some",
            more({"train/good": 3}, "bolt", "nut"),
        ),
        (
            IN_AD2,
            None,
            AD2,
            {"binarize": {"conformal": {"enabled": True, "alpha": 0.3}}},
            "at least 3 .*add some to validation",
            more({"validation/good": 3}, "bolt", "nut"),
        ),
        (
            IN_AD2,
            None,
            AD2 | {"root": "nowhere"},
            {},
            r"does not exist; set data\.root",
            lambda root, _: {"root": str(root)},
        ),
    ],
)
def test_remedies_for_data_that_does_not_fit_its_settings(tmp_path, places, spoil, data, overlay, message, remedy):
    build(tmp_path, places, "bolt", "nut")
    if spoil:
        spoil(tmp_path, "")
    with pytest.raises(SeamarkError, match=message) as caught:
        plan(tmp_path, data, overlay)
    changed = remedy(tmp_path, str(caught.value))
    plan(tmp_path, data | (changed if isinstance(changed, dict) else {}), overlay)


def test_the_other_remedy_for_few_photographs_in_mvtec_ad(tmp_path):
    build(tmp_path, IN_AD | {"train/good": 7}, "bolt")
    with pytest.raises(SeamarkError, match=r"or set data\.layout: mvtec_ad_2 and move some into validation/good"):
        plan(tmp_path, AD, {})
    shutil.move(tmp_path / "bolt/test", tmp_path / "bolt/test_public")
    (tmp_path / "bolt/validation/good").mkdir(parents=True)
    shutil.move(tmp_path / "bolt/train/good/006.png", tmp_path / "bolt/validation/good/006.png")
    plan(tmp_path, {"splits": AD["splits"]}, {})


@pytest.mark.parametrize(
    ("found", "read", "right"),
    [
        ("Bolt/test_private", "", "bolt/test_private"),
        ("bolt/private", "", "bolt/test_private"),
        ("bolt/test_private", "bolt", ""),
        ("bolt/test_private", "..", ""),
    ],
)
def test_a_truth_root_of_which_nothing_is_read_is_refused(tmp_path, found, read, right):
    build(tmp_path / "photographs", IN_AD2, "bolt", "nut")
    truth = tmp_path / "truth"
    (truth / found).mkdir(parents=True)
    with pytest.raises(
        SeamarkError, match=r"data\.truth_root: .* has no folder bolt/test_private, nor .*correct the path"
    ):
        plan(tmp_path / "photographs", AD2 | {"truth_root": str(truth / read)}, {})
    if right:
        (truth / right).parent.mkdir(exist_ok=True)
        (truth / found).rename(truth / right)
    (warning,) = plan(tmp_path / "photographs", AD2 | {"truth_root": str(truth)}, {}).photographs.warnings
    assert re.match(r"data\.truth_root: .* has no folder nut/test_private;", warning)
