"""The table of spoiled archives, none of which the official checker looks at, beside their folder and alone."""

import gzip
import tarfile
import tracemalloc

import numpy as np
import pytest
from tests.submission.spoiling import MAP, MASK, broken, check, entry, examples, tar, write_png, write_tiff

from seamark.submission.archive import submission_files, write_archive
from seamark.submission.checker import check_archive
from seamark.submission.expected import ExpectedImage, ExpectedSubmission
from seamark.submission.inspection import expected_files, inspect_map
from seamark.submission.members import archive_violations

# Each is given the contents of the folder by name, and returns the bytes of the archive.


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
