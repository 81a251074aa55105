"""The table of spoiled submissions: what breaks which rule, in a folder and in an archive without its folder.

The official checker accepts all of ``ACCEPTED_OFFICIALLY``. Archives are spoiled in test_archive_mutations.py.
"""

import runpy
import shutil
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.submission.spoiling import (
    END,
    MAP,
    MASK,
    PIXELS,
    SHAPE,
    add,
    binary,
    broken,
    check,
    chunk,
    examples,
    half,
    interlaced_rows,
    link,
    one,
    palette_png,
    ramp,
    raw_png,
    rename,
    retagged,
    rows,
    second_png,
    truncate,
    turned_png,
    two_pages,
    write_png,
    write_tiff,
    wrong_sum,
    wrong_sum_of_pixels,
)

from seamark.submission.archive import submission_files, write_archive
from seamark.submission.checker import check_archive, report_lines

STRIPS, TILES = {"rowsperstrip": 8}, {"tile": (16, 16)}
TEXT = chunk(b"tEXt", b"Title\0felt")

ACCEPTED_OFFICIALLY = {
    "all NaN": (write_tiff(half(np.nan)), "finite", "1920 scores are infinite or not a number"),
    "one NaN": (write_tiff(one(np.nan)), "finite", "1 scores are"),
    "all infinite": (write_tiff(half(np.inf)), "finite", "1920 scores are"),
    "one minus infinity": (write_tiff(one(-np.inf)), "finite", "1 scores are"),
    "NaN in a compressed map": (write_tiff(one(np.nan), compression="zlib"), "finite", "1 scores are"),
    "1 x 1 map": (write_tiff(half(shape=(1, 1))), "map_size", "1 x 1 px, expected 48 x 40 or 12 x 10"),
    "map a column short": (write_tiff(half(shape=(40, 47))), "map_size", "47 x 40 px"),
    "map with its axes swapped": (write_tiff(half().T), "map_size", "40 x 48 px"),
    "map of a scale that is not configured": (write_tiff(half(shape=(20, 24))), "map_size", "24 x 20 px"),
    "strip of no bytes": (retagged(279, 2, 0, **STRIPS), "whole", "4 of 5 strips or tiles are there"),
    "strip of no place": (retagged(273, 2, 0, **STRIPS), "whole", "4 of 5 strips"),
    "tile of no bytes": (retagged(325, 4, 0, **TILES), "whole", "8 of 9 strips or tiles are there"),
    "tile of no place": (retagged(324, 4, 0, **TILES), "whole", "8 of 9 strips"),
    "strip in the place of another": (retagged(273, 2, 1008, **STRIPS), "whole", "lie in one another"),
    "fewer bytes than scores": (retagged(279, 0, 100), "whole", "100 bytes of scores, expected 3840"),
    "map whose least is white": (write_tiff(half(), photometric="miniswhite"), "whole", "photometric"),
    "turned map": (write_tiff(half(), extratags=[(274, 3, 1, 3, True)]), "whole", "orientation 3"),
    "map of a rare compression": (write_tiff(half(), compression="lzma"), "whole", "compression 34925"),
    "second picture below the map": (two_pages(1), "whole", "a second picture"),
    "mask a row short": (write_png(binary()[:-1]), "mask_size", "48 x 39 px, expected 48 x 40"),
    "mask with its axes swapped": (write_png(binary().T.copy()), "mask_size", "40 x 48 px"),
    "1-bit mask without a True pixel": (write_png(np.zeros(SHAPE, bool)), "mask_mode", "mode 1"),
    "16-bit mask with 0 and 255": (write_png(binary().astype(np.uint16)), "mask_mode", "mode I;16"),
    "palette mask with indices 0 and 255": (palette_png, "mask_mode", "mode P"),
    "wrong check sum of the pixels": (wrong_sum_of_pixels, "whole", "a wrong check sum of its chunk b'IDAT'"),
    "wrong check sum behind them": (raw_png(after=wrong_sum(TEXT)), "whole", "check sum of its chunk b'tEXt'"),
    "wrong check sum of the end": (raw_png(end=wrong_sum(END)), "whole", "check sum of its chunk b'IEND'"),
    "no end": (raw_png(end=b""), "whole", "it ends before its IEND chunk does"),
    "half an end": (raw_png(end=END[:6]), "whole", "it ends before its IEND"),
    "an end with content": (raw_png(end=chunk(b"IEND", b"x")), "whole", "1 bytes too many at its end"),
    "bytes behind the end": (raw_png(end=END + b"junk"), "whole", "4 bytes too many"),
    "another end behind them": (raw_png(end=END + b"junk" + END), "whole", "16 bytes too many"),
    "second PNG behind the first": (second_png, "whole", "bytes too many at its end"),
    "zlib stream without its sum": (raw_png(PIXELS[:-4]), "whole", "end within their zlib stream"),
    "bytes behind the zlib stream": (raw_png(PIXELS + b"junk"), "whole", "4 bytes behind its pixels"),
    "more rows than the header says": (raw_png(zlib.compress(rows(binary()) + bytes(49))), "whole", "more pixels"),
    "fewer rows than it says": (raw_png(zlib.compress(rows(binary()[:-1]))), "whole", "fewer pixels"),
    "interlaced, with rows left out": (
        raw_png(zlib.compress(interlaced_rows()[:-49]), interlaced=True), "whole", "fewer pixels",
    ),
    "pixels in two places": (raw_png(after=TEXT + chunk(b"IDAT", b"")), "whole", "in an order that is not"),
    "a chunk that one has to know": (raw_png(before=chunk(b"ABCD", b"")), "whole", "chunk b'ABCD'"),
    "animated mask": (
        write_png(binary(), save_all=True, append_images=[Image.fromarray(255 - binary())]),
        "whole",
        "several pictures",
    ),
    "transparent mask": (write_png(binary(), transparency=255), "whole", "transparency"),
    "turned mask": (turned_png, "whole", "orientation 3"),
    "a link to a map": (link(MAP), "plain_files", f"{MAP}: a link"),
    "a link to a mask": (link(MASK), "plain_files", f"{MASK}: a link"),
    "a link to a category": (link("anomaly_images/felt"), "plain_files", "anomaly_images/felt: a link"),
}  # fmt: skip

REFUSED_OFFICIALLY = {
    "float32 map": (write_tiff(half().astype(np.float32)), "map_format", MAP),
    "shape (1, H, W)": (write_tiff(half(shape=(1, *SHAPE))), "map_format", MAP),
    "shape (H, W, 1)": (write_tiff(half(shape=(*SHAPE, 1))), "map_format", MAP),
    "shape (3, H, W)": (
        write_tiff(half(shape=(3, *SHAPE)), photometric="rgb", planarconfig="separate"), "map_format", MAP,
    ),
    "several pages": (write_tiff(half(shape=(5, *SHAPE)), metadata=None), "map_format", MAP),
    "second page of another size": (two_pages(0), "map_format", MAP),
    "truncated map": (truncate(MAP), "map_format", MAP),
    "short strip": (retagged(279, 2, 100, **STRIPS), "map_format", MAP),
    "strip behind the file's end": (retagged(273, 2, 1 << 20, **STRIPS), "map_format", MAP),
    "not a TIFF": (add(MAP), "map_format", MAP),
    ".tif suffix": (rename(MAP, MAP.replace(".tiff", ".tif")), "names", MAP),
    "index gap": (rename(MAP, MAP.replace("000_", "003_")), "names", "003_regular.tiff"),
    "mixed name in test_private": (rename(MAP, MAP.replace("regular", "mixed")), "names", "000_mixed.tiff"),
    "map missing": (lambda folder: (folder / MAP).unlink(), "names", MAP),
    "mask missing": (lambda folder: (folder / MASK).unlink(), "names", MASK),
    "mask value 1": (write_png(binary() // 255), "mask_format", MASK),
    "RGB mask": (write_png(binary(), "RGB"), "mask_format", MASK),
    "LA mask": (write_png(binary(), "LA"), "mask_format", MASK),
    "1-bit mask with a True pixel": (write_png(binary() > 0), "mask_format", MASK),
    "truncated mask": (truncate(MASK), "mask_format", MASK),
    "truncated zlib stream": (raw_png(PIXELS[:-8]), "mask_format", MASK),
    "wrong sum of the zlib stream": (raw_png(wrong_sum(PIXELS)), "mask_format", MASK),
    "JPEG named PNG": (write_png(binary(), format="JPEG"), "mask_format", f"{MASK}: cannot be read as PNG (not one)"),
    "stray log.txt": (add("log.txt"), "top_level", "log.txt"),
    "stray .DS_Store": (add(".DS_Store"), "top_level", ".DS_Store"),
    "extra folder": (lambda folder: (folder / "extra").mkdir(), "top_level", "extra"),
    "stray file beside categories": (add("anomaly_images/log.txt"), "tree", "anomaly_images/log.txt"),
    "stray file in a category": (add("anomaly_images/felt/log.txt"), "tree", "felt/log.txt"),
    "stray file in a split": (add("anomaly_images/felt/test_private/.snakemake_timestamp"), "names", ".snakemake"),
    "a folder in a split": (add("anomaly_images/felt/test_private/a/b/c"), "names", "felt/test_private/a"),
    "extra split": (add("anomaly_images/felt/test_public/x"), "tree", "anomaly_images/felt/test_public"),
    "extra category": (lambda folder: (folder / "anomaly_images/silk").mkdir(), "tree", "anomaly_images/silk"),
    "category missing": (lambda folder: shutil.rmtree(folder / "anomaly_images/wool"), "tree", "anomaly_images/wool"),
    "split missing among the masks": (
        lambda folder: shutil.rmtree(folder / "anomaly_images_thresholded/wool/test_private"),
        "tree",
        "anomaly_images_thresholded/wool/test_private",
    ),
    "maps missing": (lambda folder: shutil.rmtree(folder / "anomaly_images"), "maps", "anomaly_images"),
    "a file instead of a category": (
        lambda folder: (shutil.rmtree(folder / "anomaly_images/wool"), add("anomaly_images/wool")(folder)),
        "tree",
        "anomaly_images/wool",
    ),
    "a folder instead of a map": (lambda folder: ((folder / MAP).unlink(), (folder / MAP).mkdir()), "names", MAP),
    "a file instead of the mask folder": (
        lambda folder: (
            shutil.rmtree(folder / "anomaly_images_thresholded"),
            add("anomaly_images_thresholded")(folder),
        ),
        "top_level",
        "anomaly_images_thresholded",
    ),
}  # fmt: skip

ACCEPTED = {
    "nothing changed": lambda folder: None,
    "negative scores": write_tiff(half(-3)),
    "map of the configured scale": write_tiff(half(shape=(10, 12))),
    "zlib-compressed map": write_tiff(half(), compression="zlib"),
    "map of strips": write_tiff(half(), rowsperstrip=7),
    "map of compressed tiles": write_tiff(half(), compression="zlib", tile=(16, 32)),
    "map of the other byte order": write_tiff(half(), byteorder=">"),
    "map of 64-bit offsets": write_tiff(half(), bigtiff=True),
    "mask all 255": write_png(np.full(SHAPE, 255, np.uint8)),
    "mask with notes": raw_png(before=TEXT, after=TEXT),
    "mask of several parts": raw_png([PIXELS[:30], PIXELS[30:]]),
    "interlaced mask": raw_png(zlib.compress(interlaced_rows()), interlaced=True),
    "no masks": lambda folder: shutil.rmtree(folder / "anomaly_images_thresholded"),
}


def check_packed(folder, expected):
    write_archive(folder.parent / "packed.tar.gz", submission_files(folder))
    return check_archive(folder.parent / "packed.tar.gz", expected)


@pytest.mark.parametrize("name", ACCEPTED_OFFICIALLY)
def test_what_the_official_checker_accepts_wrongly_is_refused(submission, expected, name):
    spoil, rule, text = ACCEPTED_OFFICIALLY[name]
    spoil(submission)
    scores, mask = tifffile.imread(submission / MAP), np.asarray(Image.open(submission / MASK))
    assert (scores.ndim, scores.dtype, mask.ndim) == (2, np.float16, 2)  # all that the official one asks of files
    assert set(np.unique(mask)) <= {0, 255}
    report = check(submission, expected)
    assert report.officially_accepted
    assert (broken(report), report.verdict) == ({rule}, "refused")
    assert text in examples(report, rule)
    if rule != "plain_files":  # packing follows links
        alone = check_packed(submission, expected)
        assert (broken(alone), alone.verdict) == ({rule}, "refused")
        assert text in examples(alone, rule)


@pytest.mark.parametrize("name", REFUSED_OFFICIALLY)
def test_what_the_official_checker_refuses_is_refused(submission, expected, name):
    spoil, rule, text = REFUSED_OFFICIALLY[name]
    spoil(submission)
    report = check(submission, expected)
    assert report.verdict == "refused"
    assert not report.officially_accepted
    assert text in examples(report, rule)
    assert any(f"rule {rule}" in line for line in report_lines(report))
    if any(path.is_file() or any(path.iterdir()) for path in submission.rglob("*")):
        alone = check_packed(submission, expected)
        empty_folder = name in {"extra folder", "extra category", "a folder instead of a map"}  # which are not packed
        assert empty_folder or (broken(alone) == broken(report) and text in examples(alone, rule))


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_right_is_accepted(submission, expected, name):
    ACCEPTED[name](submission)
    for report in (check(submission, expected), check_packed(submission, expected)):
        assert report.verdict == "accepted", report_lines(report)
        assert not broken(report)


@pytest.mark.parametrize(("spoil", "status"), [(ACCEPTED["nothing changed"], 0), (write_tiff(ramp()[:9]), 1)])
@pytest.mark.parametrize("what", ["toy", "toy.tar.gz", "toy --archive toy.tar.gz"])
def test_the_exit_status_is_the_verdict(submission, expected, monkeypatch, what, spoil, status):
    spoil(submission)
    write_archive(submission.with_name("toy.tar.gz"), submission_files(submission))
    monkeypatch.chdir(submission.parent)
    monkeypatch.setattr("seamark.submission.checker.official_submission", lambda *scales: expected)
    monkeypatch.setattr(sys, "argv", ["seamark.checker", *what.split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("seamark.checker", run_name="__main__")
    assert ended.value.code == status
