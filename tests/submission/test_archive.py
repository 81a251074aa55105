"""The archive: same bytes for same files, and strange members noticed."""

import gzip
import io
import os
import tarfile

import pytest

from seamark.archive import archive_violations, submission_files, write_archive
from seamark.checker import check_submission, with_archive


def names(archive):
    with tarfile.open(archive) as members:
        return members.getnames()


def test_members_are_sorted_prefixed_and_anonymous(submission, tmp_path):
    write_archive(tmp_path / "a.tar.gz", submission_files(submission))
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        members = archive.getmembers()
    assert len(members) == 20
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert all(member.name.startswith("toy/anomaly_images") for member in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
        (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
    }
    assert (tmp_path / "a.tar.gz").read_bytes()[4:8] == bytes(4)
    assert not list(archive_violations(tmp_path / "a.tar.gz", "toy", submission_files(submission)))


def test_bytes_do_not_depend_on_times_modes_or_the_archive_name(submission, tmp_path):
    write_archive(tmp_path / "a.tar.gz", submission_files(submission))
    for number, path in enumerate(sorted(submission.rglob("*"))):
        os.utime(path, (number, number))
        if path.is_file():
            path.chmod(0o600)
    write_archive(tmp_path / "other.tar.gz", submission_files(submission))
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "other.tar.gz").read_bytes()


def test_bytes_do_not_depend_on_threads_and_gzip_reads_them(submission, tmp_path, monkeypatch):
    monkeypatch.setattr("seamark.archive.CHUNK_BYTES", 1000)
    files = submission_files(submission)
    for threads in (1, 3):
        write_archive(tmp_path / f"{threads}.tar.gz", files, threads)
    content = (tmp_path / "1.tar.gz").read_bytes()
    assert content == (tmp_path / "3.tar.gz").read_bytes()
    assert len(gzip.decompress(content)) > 10_000
    assert not list(archive_violations(tmp_path / "1.tar.gz", "toy", files))
    for name in files:
        assert name in names(tmp_path / "1.tar.gz")


def test_contents_survive(submission, tmp_path):
    files = submission_files(submission)
    write_archive(tmp_path / "a.tar.gz", files)
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        for name, path in files.items():
            assert archive.extractfile(name).read() == path.read_bytes()


def entry(name, content=b"x", **attributes):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in attributes.items():
        setattr(member, key, value)
    return member, io.BytesIO(content)


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        (entry("toy/link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "not a plain file"),
        (entry("toy/pipe", b"", type=tarfile.FIFOTYPE), "not a plain file"),
        (entry("toy/../escaped"), "does not lie in toy/"),
        (entry("/toy/absolute"), "does not lie in toy/"),
        (entry("other/file"), "does not lie in toy/"),
        (entry("toy/log.txt"), "not a file of the submission folder"),
        (entry("toy/anomaly_images/felt/test_private/000_regular.tiff"), "1 bytes, the file in the folder has"),
    ],
)
def test_strange_members_are_named(submission, tmp_path, member, fault):
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(*member)
    found = list(archive_violations(tmp_path / "bad.tar.gz", "toy", submission_files(submission)))
    assert fault in found[0]
    assert member[0].name.lstrip("/") in found[0]
    assert any("missing in the archive" in text for text in found[1:])


def test_a_member_stored_twice_is_named(submission, tmp_path):
    files = submission_files(submission)
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        for name, path in [*files.items(), *list(files.items())[:1]]:
            archive.add(path, name)
    assert [text for text in archive_violations(tmp_path / "bad.tar.gz", "toy", files) if "stored twice" in text]


def test_damaged_archives_are_refused(submission, tmp_path, expected):
    archive = tmp_path / "a.tar.gz"
    write_archive(archive, submission_files(submission))
    archive.write_bytes(archive.read_bytes()[:-4000])
    report = check_submission(submission, expected, lambda function, items, _: list(map(function, items)))
    report = with_archive(report, archive, submission)
    assert report.verdict == "refused"
    assert "a.tar.gz" in report.rules[-1].examples[0]
    archive.write_bytes(gzip.compress(b"no tar file"))
    assert with_archive(report, archive, submission).rules[-1].violations
