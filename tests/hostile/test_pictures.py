"""What happens to each kind of image file: the table of docs/photographs.md."""

import io
import os

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.fuzz.targets.pictures import picture, raw_png, saved

from seamark.errors import DataError
from seamark.files.images import photograph_header, read_image, read_map, read_mask, write_map
from seamark.submission.inspection import inspect_map
from seamark.tiles.cutting import cut_tiles

SIDE = 12


def write(tmp_path, content, name="x.png"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def sixteen_bit_tiff():
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((9, 9, 3), np.uint16), photometric="rgb")
    return stream.getvalue()


def pages(kind):
    return saved(picture("RGB"), kind, save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE))])


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_photographs_of_8_bits_are_read_whatever_they_are_called(tmp_path, mode, kind, name):
    path = write(tmp_path, saved(picture(mode), kind), name)
    assert np.array_equal(read_image(path).squeeze(), np.asarray(picture(mode)))
    assert photograph_header(path.read_bytes(), path) == (SIDE, SIDE, 1 if mode == "L" else 3)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_is_read(tmp_path, compression):
    path = write(tmp_path, saved(picture("RGB"), "TIFF", compression=compression))
    assert np.array_equal(read_image(path), np.asarray(picture("RGB")))


def test_the_orientation_tag_of_a_jpeg_is_ignored_and_of_a_stereo_photograph_the_first_picture_is_read(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = picture("RGB").crop((0, 0, SIDE, 5))
    assert read_image(write(tmp_path, saved(wide, "JPEG", exif=exif))).shape == (5, SIDE, 3)
    assert read_image(write(tmp_path, pages("MPO"))).mean() > 60  # the second one is black


def test_grey_of_4_bits_is_spread_over_8(tmp_path):
    rows = b"".join(b"\0" + bytes([0x0F] * 4) for _ in range(8))
    assert np.unique(read_image(write(tmp_path, raw_png(8, 8, 4, 0, rows)))).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "not a readable image"),
        (lambda: saved(picture("P"), "PNG"), "mode P, expected 8-bit grey"),
        (lambda: saved(picture("1"), "PNG"), "mode 1, expected"),
        (lambda: saved(picture("LA"), "PNG"), "mode LA, expected"),
        (lambda: saved(picture("RGBA"), "PNG"), "mode RGBA, expected"),
        (lambda: saved(picture("I;16"), "PNG"), "16 bits per channel, expected 8"),
        (lambda: raw_png(4, 4, 16, 2, bytes(100)), "mode RGB, 16 bits per channel, expected 8"),
        (sixteen_bit_tiff, "mode RGB, 16 bits per channel, expected 8"),
        (lambda: saved(picture("F"), "TIFF"), "32 bits per channel, expected 8"),
        (lambda: saved(picture("CMYK"), "TIFF"), "mode CMYK, expected"),
        (lambda: saved(picture("CMYK"), "JPEG"), "mode CMYK, expected"),
        (lambda: pages("PNG"), "several pictures in one file"),
        (lambda: pages("TIFF"), "several pictures in one file"),
        (lambda: saved(picture("RGB"), "GIF"), "none of PNG, JPEG, BMP, TIFF"),
        (lambda: saved(picture("RGB"), "WEBP"), "none of PNG, JPEG, BMP, TIFF"),
        (lambda: saved(picture("RGB"), "EPS"), "none of PNG, JPEG, BMP, TIFF"),
        (lambda: raw_png(1 << 20, 1 << 20, 8, 2, b""), "1048576 x 1048576 px is more than the limit"),
        (lambda: raw_png((1 << 20) + 1, 1, 8, 0, bytes((1 << 20) + 2)), "px a side; use a smaller image"),
        (lambda: saved(picture("RGB", 40), "JPEG")[:-300], "truncated"),
        (lambda: saved(picture("RGB"), "BMP")[:-300], "truncated"),
        (lambda: saved(picture("RGB"), "TIFF", compression="tiff_lzw")[:200], "image"),
    ],
)
def test_what_is_refused_is_refused_by_the_index_and_by_all_stages(tmp_path, content, message):
    path = write(tmp_path, content())
    for read in (read_image, lambda path: photograph_header(path.read_bytes(), path)):
        with pytest.raises(DataError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_masks_of_one_channel_are_read(tmp_path, mode, kind):
    black_and_white = picture("1")
    path = write(tmp_path, saved(black_and_white.convert("L").convert(mode), kind))
    assert np.array_equal(read_mask(path), np.asarray(black_and_white))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
def test_masks_of_other_kinds_are_refused(tmp_path, mode):
    with pytest.raises(DataError, match=r"expected (one channel|8)"):
        read_mask(write(tmp_path, saved(picture(mode), "PNG")))


def make_pipe(path):
    os.mkfifo(path)


@pytest.mark.parametrize(
    "make", [make_pipe, lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero"), lambda path: path.touch()]
)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_pipes_devices_and_folders_are_refused_without_waiting(tmp_path, make, read):
    make(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png: not a readable image"):
        read(tmp_path / "x.png")


def test_a_link_to_itself_is_refused_and_a_link_to_an_image_is_read(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(DataError, match=r"loop\.png"):
        read_image(tmp_path / "loop.png")
    write(tmp_path, saved(picture("L"), "PNG"), "there.png")
    (tmp_path / "x.png").symlink_to("there.png")
    assert read_image(tmp_path / "x.png").shape == (SIDE, SIDE, 1)


def test_a_file_far_larger_than_its_pixels_is_not_read(tmp_path):
    path = write(tmp_path, saved(picture("L"), "PNG"))
    with path.open("r+b") as stream:
        stream.truncate(1 << 33)
    with pytest.raises(DataError, match="8589934592 bytes, expected at most"):
        read_image(path)


def test_windows_may_be_larger_than_what_pillow_takes_for_an_attack():
    tiles = cut_tiles(np.zeros((4, 4, 1), np.uint8), [(0, 0, 16384, 11000)], (2, 2))
    assert tiles.shape == (1, 2, 2, 1)


def test_a_map_whose_header_lies_takes_no_memory(tmp_path):
    path = tmp_path / "x.tiff"
    write_map(path, np.zeros((6, 11), np.float32))
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        places = [file.pages.first.tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    for place in places:
        content[place : place + 2] = b"\xff\xff"
    path.write_bytes(content)
    with pytest.raises(Exception, match=r"x\.tiff: cannot read the anomaly map") as caught:
        read_map(path)
    assert not isinstance(caught.value.__cause__, MemoryError)


def test_a_compressed_map_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "x.tiff", np.zeros((600, 600), np.float32), compression="zlib")
    with pytest.raises(ValueError, match="uncompressed"):
        read_map(tmp_path / "x.tiff", (600, 600))


def test_a_submitted_map_that_claims_pages_without_end_is_refused_at_once():
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.ones((6, 11), np.float16))
    content = bytearray(stream.getvalue())
    first = int.from_bytes(content[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    for _ in range(1000):  # each page leads to the next, which is the same but for where it lies
        following = len(content)
        content[end : end + 4] = following.to_bytes(4, "little")
        content += content[first : end + 4]
        first, end = following, following + end - first
    (finding,) = inspect_map("x", lambda _: bytes(content), [(11, 6)]).violations
    assert finding.text == "x: several pages, expected one with two axes"
