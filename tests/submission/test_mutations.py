"""The one table of spoiled submissions: what breaks which rule, in a folder, in its archive, and in an archive alone.

The official checker accepts all of ``ACCEPTED_OFFICIALLY`` and looks at none of ``ARCHIVES``.
"""

import gzip
import runpy
import shutil
import sys
import tarfile
import tracemalloc
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
    chunk,
    entry,
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
    tar,
    truncate,
    turned_png,
    two_pages,
    write_png,
    write_tiff,
    wrong_sum,
    wrong_sum_of_pixels,
)

from seamark.submission.archive import submission_files, write_archive
from seamark.submission.checker import check_archive, check_submission, report_lines
from seamark.submission.expected import ExpectedImage, ExpectedSubmission
from seamark.submission.inspection import expected_files, inspect_map
from seamark.submission.members import archive_violations

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


def check(folder, expected):
    return check_submission(folder, expected, lambda function, items, _: [function(item) for item in items])


def check_packed(folder, expected):
    write_archive(folder.parent / "packed.tar.gz", submission_files(folder))
    return check_archive(folder.parent / "packed.tar.gz", expected)


def broken(report):
    return {rule.rule for rule in report.rules if not rule.passed}


def examples(report, rule):
    return "\n".join(next(result for result in report.rules if result.rule == rule).examples)


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


# Archives. Each is given the contents of the folder by name, and returns the bytes of the archive.


def changed(files, name="toy/" + MAP, place=-1):
    content = bytearray(files[name])
    content[place] ^= 1
    return files | {name: bytes(content)}


def packed(stream):
    return gzip.compress(stream, 1)


def with_tail(files, odd):
    """A tar file behind whose end there is something else."""
    return packed(tar(files)[: -10 * 512] + bytes(1024) + odd + bytes(1024))


def swapped(files):
    first, second = "toy/" + MAP, "toy/" + MAP.replace("000", "001")
    return files | {first: files[second], second: files[first]}


def without(files, name="toy/" + MASK):
    return {key: content for key, content in files.items() if key != name}


def damaged_header(files):
    """The last member's header has a wrong check sum, so that a reader takes the file to end before it."""
    stream = bytearray(tar(files, entry("toy/late", b"x" * 600)))
    stream[stream.rindex(b"toy/late")] ^= 1
    return packed(bytes(stream))


TAKEN = "toy/" + MAP
ARCHIVES = {
    "other bytes of the same size": (
        lambda files: packed(tar(files | {TAKEN: bytes(len(files[TAKEN]))})), f"{MAP}: other bytes than the file",
    ),
    "one bit of the last byte": (lambda files: packed(tar(changed(files))), "other bytes than the file in the folder"),
    "one bit of a mask": (lambda files: packed(tar(changed(files, "toy/" + MASK, 50))), f"{MASK}: other bytes"),
    "two maps swapped": (lambda files: packed(tar(swapped(files))), f"{MAP.replace('000', '001')}: other bytes"),
    "a file shorter": (lambda files: packed(tar(files | {TAKEN: files[TAKEN][:-1]})), "the file in the folder has"),
    "a file stored twice": (lambda files: packed(tar(files, entry(TAKEN, files[TAKEN]))), "stored twice"),
    "a second file of a name": (lambda files: packed(tar(files, entry(TAKEN, b"x"))), "stored twice"),
    "a second file of a name spelt otherwise": (
        lambda files: packed(tar(files, entry("toy//./" + MAP, b"x"))), "stored twice",
    ),
    "a file left out": (lambda files: packed(tar(without(files))), f"{MASK}: missing in the archive"),
    "a file too many": (lambda files: packed(tar(files, entry("toy/log.txt"))), "not a file of the submission folder"),
    "an empty folder too many": (
        lambda files: packed(tar(files, entry("toy/notes", b"", type=tarfile.DIRTYPE))),
        "not a folder of the submission",
    ),
    "a link": (
        lambda files: packed(tar(without(files), entry("toy/" + MASK, b"", type=tarfile.SYMTYPE, linkname="/etc"))),
        "not a plain file",
    ),
    "a hard link": (
        lambda files: packed(tar(without(files), entry("toy/" + MASK, b"", type=tarfile.LNKTYPE, linkname=TAKEN))),
        "not a plain file",
    ),
    "a pipe": (lambda files: packed(tar(files, entry("toy/pipe", b"", type=tarfile.FIFOTYPE))), "not a plain file"),
    "a device": (lambda files: packed(tar(files, entry("toy/zero", b"", type=tarfile.CHRTYPE))), "not a plain file"),
    "a file with holes": (
        lambda files: packed(
            tar(
                without(files),
                entry("toy/" + MASK, bytes(1024), pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "700"}),
            )
        ),
        "not a plain file",
    ),
    "a file that escapes": (lambda files: packed(tar(files, entry("toy/../escaped"))), "does not lie in toy/"),
    "a file from the root": (lambda files: packed(tar(files, entry("/toy/absolute"))), "does not lie in toy/"),
    "a file of another folder": (lambda files: packed(tar(files, entry("other/file"))), "does not lie in toy/"),
    "all in another folder": (
        lambda files: packed(tar({"other" + name[3:]: content for name, content in files.items()})),
        "does not lie in toy/",
    ),
    "gzip with a wrong sum": (lambda files: changed({"": packed(tar(files))}, "", -8)[""], "incorrect data check"),
    "gzip with a wrong size": (lambda files: changed({"": packed(tar(files))}, "", -1)[""], "incorrect length check"),
    "gzip without its sums": (lambda files: packed(tar(files))[:-8], "ends before its gzip stream does"),
    "gzip cut off": (lambda files: packed(tar(files))[:-4000], "damaged"),
    "bytes behind the gzip stream": (lambda files: packed(tar(files)) + b"junk", "behind the end of its gzip stream"),
    "zeros behind the gzip stream": (lambda files: packed(tar(files)) + bytes(9), "behind the end of its gzip stream"),
    "a second gzip stream": (lambda files: packed(tar(files)) * 2, "behind the end of its gzip stream"),
    "files behind the tar file's end": (
        lambda files: with_tail(files, tar({TAKEN: b"other"})), "bytes behind its last member",
    ),
    "bytes behind the tar file's end": (lambda files: with_tail(files, b"junk"), "bytes behind its last member"),
    "a tar file without its end": (
        lambda files: packed(tar(files).rstrip(b"\0") + bytes(600)[: -len(tar(files).rstrip(b"\0")) % 512]),
        "before the end of a tar file",
    ),
    "a damaged header": (damaged_header, "bytes behind its last member"),
    "an endless file": (lambda files: packed(tar(files) + bytes(1 << 20)), "more bytes than the files of the folder"),
    "thousands of folders": (
        lambda files: packed(tar(files, *(entry(f"toy/{n}", b"", type=tarfile.DIRTYPE) for n in range(200)))),
        "many more members",
    ),
    "no tar file": (lambda files: packed(b"no tar file"), "damaged or not a gzip-compressed tar file"),
    "no gzip file": (tar, "damaged or not a gzip-compressed tar file"),
    "nothing": (lambda files: b"", "damaged or not a gzip-compressed tar file"),
}  # fmt: skip

RIGHT_ARCHIVES = {
    "as tarfile writes it": lambda files: packed(tar(files)),
    "in another order": lambda files: packed(tar(dict(reversed(files.items())))),
    "with its folders": lambda files: packed(
        tar(files, *(entry(f"toy{below}", b"", type=tarfile.DIRTYPE) for below in ("", "/anomaly_images")))
    ),
    "with a dot before the names": lambda files: packed(tar({f"./{name}": files[name] for name in files})),
    "not compressed": lambda files: gzip.compress(tar(files), 0),
}


def contents(folder):
    return {name: path.read_bytes() for name, path in submission_files(folder).items()}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_not_that_of_its_folder_is_refused(submission, name):
    make, text = ARCHIVES[name]
    target = submission.with_name("spoiled.tar.gz")
    target.write_bytes(make(contents(submission)))
    found = list(archive_violations(target, "toy", submission_files(submission)))
    assert text in "\n".join(found)
    assert all(line.startswith("spoiled.tar.gz: ") and line.isprintable() for line in found)


@pytest.mark.parametrize("name", RIGHT_ARCHIVES)
def test_an_archive_of_the_same_files_is_accepted(submission, expected, name):
    target = submission.with_name("renamed.tar.gz")
    target.write_bytes(RIGHT_ARCHIVES[name](contents(submission)))
    assert not list(archive_violations(target, "toy", submission_files(submission)))
    assert check_archive(target, expected).model_dump(exclude={"rules", "archive_bytes"}) == check(
        submission, expected
    ).model_dump(exclude={"rules", "archive_bytes"})


def test_a_file_that_changed_after_packing_is_named(submission):
    target = submission.with_name("toy.tar.gz")
    write_archive(target, submission_files(submission))
    (submission / MASK).write_bytes(changed(contents(submission), "toy/" + MASK)["toy/" + MASK])
    found = list(archive_violations(target, "toy", submission_files(submission)))
    assert found == [f"toy.tar.gz: toy/{MASK}: other bytes than the file in the folder"]


@pytest.mark.parametrize("name", ["a link", "a file stored twice", "bytes behind the gzip stream", "a damaged header"])
def test_an_archive_alone_is_held_to_the_same_rules(submission, expected, name):
    make, text = ARCHIVES[name]
    target = submission.with_name("alone.tar.gz")
    target.write_bytes(make(contents(submission)))
    report = check_archive(target, expected)
    assert "archive" in broken(report)
    assert text in examples(report, "archive")


LARGE = ExpectedSubmission(
    {"felt": {"test_private": tuple(ExpectedImage(f"{n:03}", 1000, 1000) for n in range(12))}}, 1.0
)
LOOKS = {
    "comparing": lambda folder, archive: list(archive_violations(archive, "large", submission_files(folder))),
    "decoding the folder": lambda folder, _: check(folder, LARGE),
    "decoding the archive": lambda _, archive: check_archive(archive, LARGE),
}


@pytest.mark.parametrize("look", LOOKS)
def test_memory_does_not_grow_with_the_number_of_files(tmp_path, look):
    folder, archive = tmp_path / "large", tmp_path / "large.tar.gz"
    for name, file in expected_files(LARGE).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.zeros((1000, 1000), np.float16 if file.inspect is inspect_map else np.uint8)
        (write_tiff if file.inspect is inspect_map else write_png)(image, name=name)(folder)
    write_archive(archive, submission_files(folder))
    tracemalloc.start()
    LOOKS[look](folder, archive)
    assert tracemalloc.get_traced_memory()[1] < 12e6  # a map has 2 MB, all of them 24 MB
    tracemalloc.stop()


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
