"""Photographs that settings let in: the second table of docs/photographs.md, and remedies that name a setting."""

import hashlib
import io
import re
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps
from tests.fuzz.targets.pictures import saved
from tests.hostile.image_files import BLACK_WHITE, COLOUR, INDICES, NOISE, SPOTS, bmp, by_tifffile, exif, png, tiff

from seamark.data.index import index_split
from seamark.data.photographs import read_indexed
from seamark.errors import DataError
from seamark.files.images import photograph_header, read_image
from seamark.planning.teachers import PlannedTeachers
from seamark.settings.config import Config
from seamark.settings.data import DataSettings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.teacher import DistillSettings
from seamark.teachers.photographs import split_photographs

PAGE = (Path(__file__).parents[2] / "docs/photographs.md").read_text()
TABLE = re.search(r"^\| in `data` \|.*\n\|-.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[1]
ROWS = [tuple(line.strip("| ").split(" | ")) for line in TABLE.splitlines()]

CAMERA = {"depth": {"black": 100, "white": 4095}}
OVER = {"alpha_over": [200, 100, 0]}
ON_GREY = {"alpha_over": [90, 90, 90]}
LOOK_UP = {"palette": True}
EXIF = {"orientation": "exif"}
GREY_16, RGB_16, RGBA_16 = (
    np.random.default_rng(channels).integers(0, 5000, (16, 24, channels), np.uint16).squeeze() for channels in (1, 3, 4)
)
RGBA = np.dstack([COLOUR, NOISE])
LA = np.dstack([SPOTS, NOISE])
RAMP = {262: 3, 320: (0, 65535, *[7] * 254) * 3}
PALETTE = (b"PLTE", bytes((0, 50, 100, 250, 200, 150)))


def mapped(pixels, black=100, white=4095):
    """Eight bits of each value, by exact fractions."""
    return np.floor((pixels.clip(black, white).astype(float) - black) * 255 / (white - black) + 0.5).astype(np.uint8)


def laid(pixels, alpha, ground, most=255):
    """Pixels on a colour, each to the nearest."""
    share = np.atleast_3d(alpha).astype(float) / most
    return np.rint(np.atleast_3d(pixels) * share + np.array(ground)[: np.atleast_3d(pixels).shape[2]] * (1 - share))


def lzw(pixels):
    return cv2.imencode(".tif", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def by_viewer(content):
    """Turn a file as other software does."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))


def turned(content):
    return content, EXIF, by_viewer(content)


FILES = {
    "PNG or TIFF of 16-bit grey or RGB": [
        *((png(pixels, colour=colour), CAMERA, mapped(pixels)) for pixels, colour in ((GREY_16, 0), (RGB_16, 2))),
        (png(RGB_16, (b"tRNS", RGB_16[0, 0].astype(">u2").tobytes()), colour=2), CAMERA, mapped(RGB_16)),
        (png(GREY_16, (b"sBIT", b"\x0c"), (b"gAMA", bytes(4))), CAMERA, mapped(GREY_16)),
        *(
            (content, CAMERA, mapped(pixels))
            for pixels in (GREY_16, RGB_16)
            for content in (
                *(tiff(pixels, {274: tag}, order=order) for tag in (1, 6) for order in "<>"),
                tiff(pixels, big=True),
                tiff(pixels, {259: 8}, zlib.compress(pixels.tobytes())),
                lzw(pixels),
                by_tifffile(pixels, tile=(16, 16), photometric="rgb" if pixels.ndim == 3 else "minisblack"),
            )
        ),
        (tiff(65535 - GREY_16, {262: 0}), CAMERA, mapped(GREY_16)),
        (tiff(GREY_16), {"depth": {"black": 0, "white": 65535}}, mapped(GREY_16, 0, 65535)),
        (tiff(GREY_16), {"depth": {"black": 2000, "white": 2001}}, 255 * (GREY_16 > 2000)),
    ],
    "any file of 8 bits or fewer": [
        *((saved(Image.fromarray(SPOTS), kind), CAMERA, "8 bits per .*data.depth") for kind in ("PNG", "JPEG", "BMP")),
        (saved(Image.fromarray(COLOUR), "WEBP"), CAMERA, "8 bits per channel, expected 16"),
        (tiff(SPOTS), CAMERA, "8 bits per channel, expected 16"),
    ],
    "TIFF of 16 bits in planes, signed or float": [
        (by_tifffile(RGB_16.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), CAMERA, "planes of their"),
        *(
            (tiff(SPOTS.astype(dtype), {339: kind}), CAMERA, "signed or float|none of PNG")
            for dtype, kind in (("h", 2), ("e", 3))
        ),
    ],
    "PNG of 16-bit grey or RGB with alpha": [
        (png(RGBA_16, colour=6), CAMERA | OVER, laid(mapped(RGBA_16[..., :3]), RGBA_16[..., 3], (200, 100, 0), 65535)),
        (
            png(RGBA_16[..., 2:], colour=4),
            CAMERA | ON_GREY,
            laid(mapped(RGBA_16[..., 2]), RGBA_16[..., 3], (90,), 65535),
        ),
        (png(RGBA_16, colour=6), CAMERA, "mode RGBA"),
    ],
    "PNG, TIFF, WebP or BMP of 8 bits with alpha": [
        *(
            (content, OVER, laid(COLOUR, NOISE, (200, 100, 0)))
            for content in (
                saved(Image.fromarray(RGBA), "PNG"),
                saved(Image.fromarray(RGBA), "WEBP", lossless=True, exact=True),
                tiff(RGBA, {262: 2, 338: 2}),
                cv2.imencode(".bmp", RGBA[..., [2, 1, 0, 3]])[1].tobytes(),
            )
        ),
        (saved(Image.fromarray(LA), "PNG"), ON_GREY, laid(SPOTS, NOISE, (90,))),
        (tiff(LA, {262: 1, 338: 2}), ON_GREY, laid(SPOTS, NOISE, (90,))),
    ],
    "grey with alpha, where the colour is no grey": [
        *((content, OVER, "is no grey") for content in (saved(Image.fromarray(LA), "PNG"), tiff(LA, {262: 1, 338: 2}))),
        (png(RGBA_16[..., 2:], colour=4), CAMERA | OVER, "is no grey"),
    ],
    "TIFF with colours multiplied by alpha": [
        *((tiff(RGBA, {262: 2, 338: kind}), OVER, "4 channels, expected 3") for kind in (0, 1)),
        (tiff(np.dstack([RGBA, NOISE]), {262: 2, 338: (2, 0)}), OVER, "5 channels, expected 3"),
    ],
    "palette of a PNG, BMP or TIFF": [
        (png(INDICES, PALETTE, colour=3), LOOK_UP, np.array([(0, 50, 100), (250, 200, 150)])[INDICES]),
        *(
            (content, LOOK_UP, np.dstack([SPOTS] * 3))
            for content in (tiff(INDICES, RAMP), png(INDICES, (b"PLTE", b"\0\0\0\xff\xff\xff"), colour=3))
        ),
        (bmp(INDICES, 24, 8, BLACK_WHITE[::-1], colours=2), LOOK_UP, np.dstack([255 - SPOTS] * 3)),
    ],
    "palette with transparent colours": [
        (png(INDICES, PALETTE, (b"tRNS", b"\x80"), colour=3), LOOK_UP, "set data.alpha_over"),
        (
            png(INDICES, PALETTE, (b"tRNS", b"\x80"), colour=3),
            LOOK_UP | OVER,
            laid(*(np.array(part)[INDICES] for part in ([(0, 50, 100), (250, 200, 150)], (128, 255))), (200, 100, 0)),
        ),
        (
            png(INDICES, PALETTE, (b"tRNS", b"\0"), colour=3),
            LOOK_UP | OVER,
            np.array([(200, 100, 0), (250, 200, 150)])[INDICES],
        ),
    ],
    "palette without a colour that a pixel has": [
        (png(SPOTS, PALETTE, colour=3), LOOK_UP, "colour 255 of a palette of 2"),
    ],
    "any file with an orientation tag of 2 to 8": [
        file
        for tag in range(1, 9)
        for file in (
            turned(saved(Image.fromarray(COLOUR), "PNG", exif=exif(tag))),
            turned(saved(Image.fromarray(COLOUR), "WEBP", exif=exif(tag), lossless=True)),
            turned(saved(Image.fromarray(SPOTS), "JPEG", exif=exif(tag))),
            turned(saved(Image.fromarray(SPOTS), "TIFF", tiffinfo={274: tag})),
            (tiff(GREY_16, {274: tag}), CAMERA | EXIF, mapped(by_viewer(tiff(GREY_16, {274: tag})))),
        )
    ],
}


def pixels_of(tmp_path, content, settings):
    """Read as stages do, by the keys of config.yaml, and see that the index finds the same."""
    path, pixels = tmp_path / "x.png", DataSettings.model_validate(settings).pixels
    path.write_bytes(content)
    photograph = read_image(path, settings=pixels)
    height, width, channels = photograph.shape
    assert photograph_header(content, path, settings=pixels) == (width, height, channels)
    assert photograph.dtype == np.uint8
    return photograph


def one_by_one(function, items, what):
    return [function(item) for item in items]


def test_the_table_and_its_files_are_of_the_same_kinds():
    assert [file for _, file, _ in ROWS] == [*FILES]


@pytest.mark.parametrize(("keys", "file", "told"), ROWS, ids=[row[1] for row in ROWS])
def test_each_row_of_the_table_is_true(tmp_path, keys, file, told):
    for content, settings, expected in FILES[file]:
        assert {*re.findall(r"`(\w+)`", keys)} <= settings.keys() or isinstance(expected, str)
        if isinstance(expected, str):
            with pytest.raises(DataError, match=expected):
                pixels_of(tmp_path, content, settings)
        else:
            assert told.startswith("read")
            assert np.array_equal(pixels_of(tmp_path, content, settings).squeeze(), expected.squeeze())
    assert not told.startswith("refused") or all(isinstance(expected, str) for _, _, expected in FILES[file])


@pytest.mark.parametrize(
    ("content", "settings", "named"),
    [
        (png(GREY_16), {}, ["depth"]),
        (tiff(RGB_16), {}, ["depth"]),
        (tiff(SPOTS), CAMERA, ["depth"]),
        (png(RGBA_16, colour=6), {}, ["depth", "alpha_over"]),
        (saved(Image.fromarray(LA), "PNG"), {}, ["alpha_over"]),
        (tiff(RGBA, {262: 2, 338: 2}), {}, ["alpha_over"]),
        (saved(Image.fromarray(RGBA), "WEBP"), {}, ["alpha_over"]),
        (png(INDICES, PALETTE, (b"tRNS", b"\0"), colour=3), {}, ["palette", "alpha_over"]),
    ],
)
def test_the_settings_that_refusals_name_help_as_they_are_written(tmp_path, content, settings, named):
    for key in named:
        with pytest.raises(DataError, match=r"convert the file|flatten or remove") as caught:
            pixels_of(tmp_path, content, settings)
        told = re.search(r"or set data\.(\w+: (?:\{.*?\}|\[.*?\]|\w+))", str(caught.value))[1]
        settings = settings | yaml.safe_load(told)
        assert key in told
    pixels_of(tmp_path, content, settings)


@pytest.mark.parametrize("content", [png(GREY_16), saved(Image.fromarray(RGBA), "PNG"), tiff(RGBA, {262: 2, 338: 2})])
def test_pictures_of_no_run_are_refused_without_a_setting(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(tmp_path / "x.png")
    assert "data." not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": {"black": 9, "white": 9}},
        {"depth": {"white": 4095}},
        {"depth": True},
        {"alpha_over": 255},
        {"alpha_over": [0, 0, 256]},
        {"palette": "rgb"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DataSettings.model_validate(wrong)


@pytest.mark.parametrize(
    ("content", "settings", "shape"),
    [(tiff(GREY_16, {274: 6}), CAMERA | EXIF, (24, 16, 1)), (tiff(SPOTS), {}, (16, 24, 1))],
)
def test_later_stages_decode_as_the_index_did(tmp_path, content, settings, shape):
    place = tmp_path / "part/train/good/0.tif"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    for split in ("validation", "test_public"):
        (tmp_path / f"part/{split}/good").mkdir(parents=True)
        (tmp_path / f"part/{split}/good/1.tif").write_bytes(content)
    pixels = DataSettings.model_validate(settings).pixels
    index = index_split(tmp_path, "part", "train", "mvtec_ad_2", one_by_one, pixels=pixels)
    read_again = type(index).model_validate_json(index.model_dump_json()).images[0]
    assert read_again.sha256 == hashlib.sha256(content).hexdigest()
    assert np.array_equal(read_indexed(read_again, tmp_path), read_image(place, settings=pixels))
    assert read_indexed(read_again, tmp_path).shape == shape
    assert ("pixels" in index.model_dump_json()) == bool(settings)  # manifests without settings keep their bytes


def test_a_teacher_sees_photographs_of_the_data_root_as_the_stages_do(tmp_path):
    files = [tmp_path / f"part/{number}.tif" for number in range(10)]
    (tmp_path / "part").mkdir()
    for file in files:
        file.write_bytes(tiff(GREY_16))
    pixels = DataSettings.model_validate(CAMERA).pixels
    seen, _ = split_photographs(files, DistillSettings(input_px=64, held_out_share=0.5), 1, pixels)
    grey = Image.fromarray(read_image(files[0], settings=pixels)[:, :, 0]).resize((128, 128), Image.Resampling.BILINEAR)
    assert np.array_equal(seen[0], np.dstack([grey] * 3))
    other, _ = split_photographs(files, DistillSettings(input_px=64, held_out_share=0.5, image_folder="x"), 1, pixels)
    with pytest.raises(DataError, match=r"16 bits per channel, expected 8; convert the file$"):
        other[0]
    root, teacher = {"root": tmp_path, "layout": "folder"}, EfficientAdSettings().teacher_settings
    keys = {PlannedTeachers(Config(data=root | changed)).key(teacher) for changed in ({}, CAMERA, LOOK_UP)}
    assert len(keys) == 3
