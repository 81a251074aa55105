"""Archives that were not made by package."""

import gzip
import tarfile

import pytest
from tests.fuzz.targets.submissions import FILES, ONE_IMAGE, entry, member, streams

from seamark.submission.checker import check_archive, report_lines
from seamark.submission.members import archive_violations


@pytest.fixture
def violations(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    def found(stream):
        (tmp_path / "run.tar.gz").write_bytes(gzip.compress(stream, 1))
        return list(archive_violations(tmp_path / "run.tar.gz", "run", {name: tmp_path / name for name in FILES}))

    return found


def test_the_right_archive_is_accepted(violations):
    assert violations(streams()[0]) == []


@pytest.mark.parametrize("stream", [*streams()[1:], member("\n\udcff/x", b"x") + bytes(1024)])
def test_every_other_is_refused_in_words_that_can_be_printed(violations, tmp_path, stream):
    found = violations(stream)
    assert found
    alone = report_lines(check_archive(tmp_path / "run.tar.gz", ONE_IMAGE))
    assert ": refused" in alone[0]
    assert all(text.isprintable() for text in alone)
    assert all(text.isprintable() and text.startswith("run.tar.gz: ") for text in found)


def test_what_unpacks_to_more_than_the_folder_is_not_unpacked(violations):
    (text,) = [text for text in violations(entry("run/a.tiff", 1 << 30) + bytes(1 << 24)) if "damaged" in text]
    assert "unpacks to more bytes than the files of the folder need" in text


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_gigabytes_is_not_read(violations, kind):
    assert any("a header of 8589934592 bytes" in text for text in violations(entry("x", 1 << 33, kind) + bytes(1024)))


def test_members_with_holes_are_no_plain_files(violations):
    holes = member(
        "run/a.tiff", bytes(1024), {"GNU.sparse.major": "0", "GNU.sparse.map": "0,1", "GNU.sparse.size": "700"}
    )
    assert any("run/a.tiff: not a plain file" in text for text in violations(holes))


def test_a_folder_in_the_place_of_an_archive_is_refused(tmp_path):
    (tmp_path / "run.tar.gz").mkdir()
    assert "not a plain file" in next(archive_violations(tmp_path / "run.tar.gz", "run", {}))
