"""Each kind of image file: docs/photographs.md, row by row."""

import io
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.fuzz.targets.pictures import picture, raw_png, saved
from tests.hostile.image_table import FILES

from seamark.errors import DataError
from seamark.files.image_checks import MAX_PIXELS, MAX_SIDE_PX, MOST_BYTES_PER_PIXEL, SPARE_BYTES
from seamark.files.images import photograph_header, read_image, read_map, read_mask, write_map
from seamark.files.plain import IMAGE_SUFFIXES, read_plain_file
from seamark.settings.data import DataSettings
from seamark.submission.inspection import inspect_map, inspect_mask
from seamark.tiles.cutting import cut_tiles

SIDE = 12
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/photographs.md").read_text().partition("\n## Names")[0]
ROWS = [
    line.strip("| ").split(" | ")
    for line in PAGE.partition("\n### With settings")[0].splitlines()
    if line.startswith("| ")
][1:]
ELSEWHERE = {
    "a mask of another size than its photograph": "def test_where_sizes_disagree_the_orientation_tag_is_named",
    "a folder, pipe, socket or device called `x.png`": "def test_pipes_devices_and_folders_are_refused_without_waiting",
}
"""Rows about more than a file's content, and the test of each."""
REMEDY = re.compile(r"(; |, |or )(convert|save|flatten|threshold|replace|use a smaller)\b")


def write(tmp_path, content, name="x.png"):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def read_photograph(path):
    """Read as stages do, and see that the index finds the same."""
    pixels = read_image(path)
    height, width, channels = pixels.shape
    assert photograph_header(path.read_bytes(), path) == (width, height, channels)
    return pixels.squeeze(axis=2) if channels == 1 else pixels


def read_black_and_white(path):
    return read_mask(path) * np.uint8(255)


@pytest.mark.parametrize(("kind", "photograph", "mask"), ROWS, ids=[row[0] for row in ROWS])
def test_each_row_of_the_table_is_true(tmp_path, kind, photograph, mask):
    if kind in ELSEWHERE:
        assert any(ELSEWHERE[kind] in path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
        return
    told = {"photograph": photograph, "mask": mask}
    for file in FILES[kind]:
        path = write(tmp_path, file.content, "x.jpg")
        for use, reader in (("photograph", read_photograph), ("mask", read_black_and_white)):
            if message := getattr(file, use):
                with pytest.raises(DataError, match=message) as caught:
                    reader(path)
                assert str(path) in str(caught.value)
                assert REMEDY.search(str(caught.value)), caught.value
            else:
                assert told[use].startswith("read")
                assert np.array_equal(reader(path), file.pixels)
    for use, cell in told.items():
        refusals = [bool(getattr(file, use)) for file in FILES[kind]]
        # "Read" may mean a condition: masks are soft, or of colours.
        assert all(refusals) if cell.startswith("refused") else not all(refusals)


def test_the_table_and_its_files_are_of_the_same_kinds():
    assert [row[0] for row in ROWS] == [*FILES, *ELSEWHERE]


@pytest.mark.parametrize("read", [read_image, lambda path: photograph_header(path.read_bytes(), path)])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: raw_png(1 << 20, 1 << 20, 8, 2, b""), "1048576 x 1048576 px is more than the limit"),
        (lambda: raw_png((1 << 20) + 1, 1, 8, 0, bytes((1 << 20) + 2)), "px a side; use a smaller image"),
    ],
)
def test_too_many_pixels_are_refused_by_the_index_and_by_all_stages(tmp_path, read, content, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, content()))


def test_the_limits_and_suffixes_are_those_that_the_page_tells():
    assert DataSettings.model_fields["image_px_max"].default == MAX_PIXELS == 268_435_456
    assert (MAX_SIDE_PX, MOST_BYTES_PER_PIXEL, SPARE_BYTES) == (1_048_576, 4, 16 << 20)
    for told in ("default 268 million", "above 1 048 576 px", "more than 4 bytes per allowed px and 16 MiB besides"):
        assert told in PAGE
    (suffixes,) = re.findall(r"by the suffixes ([^.]+)\.", PAGE)
    assert {f".{name}" for name in re.split(r",\s|\sand\s", suffixes)} == IMAGE_SUFFIXES


@pytest.mark.parametrize(
    ("height", "message"), [(24, "24 x 24 px, expected 12 x 12"), (25, "expected (between 1 and|at most) 576 px")]
)
def test_the_checker_decodes_up_to_four_times_the_pixels(tmp_path, height, message):
    mask = write(tmp_path, saved(Image.new("L", (24, height)), "PNG"))
    tifffile.imwrite(tmp_path / "x.tiff", np.zeros((height, 24), np.float16))
    for inspect, path in ((inspect_mask, mask), (inspect_map, tmp_path / "x.tiff")):
        assert re.search(message, inspect("x", partial(read_plain_file, path), [(12, 12)]).violations[0].text)


def test_a_turned_tiff_is_read_in_the_memory_that_the_page_tells(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), np.uint8)
    path = write(tmp_path, saved(Image.fromarray(pixels), "TIFF", compression="tiff_lzw", tiffinfo={274: 6}))
    small = write(tmp_path, saved(Image.fromarray(pixels[:9, :9]), "TIFF", compression="tiff_lzw"), "small.tif")
    lines = [
        "import resource, sys, pathlib; from seamark.files.images import read_image as read",
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
        "read(pathlib.Path(sys.argv[1])); before = peak(); read(pathlib.Path(sys.argv[2])); print(peak() - before)",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(small), str(path)]
    added = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 1024 * int(added) < 16 * pixels.size / 3 + (1 << 24)


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
