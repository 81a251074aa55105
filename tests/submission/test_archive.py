"""The archive: same bytes for same files, and strange members noticed."""

import gzip
import hashlib
import os
import tarfile
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from isal import isal_zlib
from tests.submission.spoiling import entry

from seamark.errors import SubmissionError
from seamark.submission.archive import deflated, submission_files, write_archive
from seamark.submission.members import archive_violations, member_violations
from seamark.submission.writing import pack_submission


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
    monkeypatch.setattr("seamark.submission.archive.CHUNK_BYTES", 1000)
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


def test_what_is_known_while_writing_is_what_a_reader_finds(submission, tmp_path):
    (submission / ("long" * 40)).write_bytes(bytes(3000))
    (submission / "grün").write_bytes(b"")
    files = submission_files(submission)
    known = write_archive(tmp_path / "a.tar.gz", files, threads=2)
    content = (tmp_path / "a.tar.gz").read_bytes()
    assert (known.size_bytes, known.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        read = archive.getmembers()
    assert [(m.name, m.size, m.type) for m in known.members] == [(m.name, m.size, m.type) for m in read]
    assert not list(member_violations("a.tar.gz", known.members, "toy", files))


def test_the_tar_file_is_the_one_that_tarfile_writes(submission, tmp_path):
    files = submission_files(submission)
    write_archive(tmp_path / "a.tar.gz", files)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files.items():
            archive.addfile(*entry(name, path.read_bytes()))
    assert gzip.decompress((tmp_path / "a.tar.gz").read_bytes()) == (tmp_path / "a.tar").read_bytes()


def test_members_are_judged_as_those_of_a_finished_archive(submission, tmp_path):
    files = submission_files(submission)
    known = write_archive(tmp_path / "a.tar.gz", dict(list(files.items())[1:]))
    found = list(member_violations("a.tar.gz", [*known.members, *known.members[:1]], "toy", files))
    assert [text.split(": ")[-1] for text in found] == ["stored twice", "missing in the archive"]
    assert len(list(member_violations("a.tar.gz", known.members, "other", files))) == len(files)


def test_a_file_that_grows_while_it_is_packed_is_refused(submission, tmp_path, monkeypatch):
    files = submission_files(submission)
    path = list(files.values())[3]
    tobuf = tarfile.TarInfo.tobuf

    def growing(member, *arguments):
        if member.name.endswith(path.name):
            path.write_bytes(path.read_bytes() + b"x")
        return tobuf(member, *arguments)

    monkeypatch.setattr(tarfile.TarInfo, "tobuf", growing)
    with pytest.raises(SubmissionError, match="changed while it was packed"):
        write_archive(tmp_path / "a.tar.gz", files)


def pack(submission, expected, target):
    def sequentially(function, items, _):
        return [function(item) for item in items]

    check, refused = target.with_name("check.json"), target.with_name("check.failed.json")
    return pack_submission(submission, expected, target, check, sequentially, refused=refused, known={}, threads=2)


def scores(words=100_000):
    ramp = np.linspace(-2, 9, words) + np.random.default_rng(0).normal(0, 0.01, words)
    return ramp.astype(np.float16).tobytes()


CONTENTS = {
    "nothing": b"",
    "one byte": b"x",
    "zeros": bytes(70_000),
    "scores": scores(),
    "odd": scores()[:99_999],
    "noise": np.random.default_rng(1).bytes(150_000),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_zlib_reads_a_part_that_is_the_last_and_one_that_is_not(content):
    assert zlib.decompress(deflated(content, True), -zlib.MAX_WBITS) == content
    parts = deflated(content, False) + deflated(b"more", False) + deflated(content, True)
    assert zlib.decompress(parts, -zlib.MAX_WBITS) == content + b"more" + content


def test_scores_shrink_noise_does_not_grow_and_repetitions_are_found():
    assert len(deflated(scores(), True)) < 0.85 * len(scores())
    assert len(deflated(CONTENTS["noise"], True)) < 1.001 * len(CONTENTS["noise"])
    assert len(deflated(np.full(500_000, 0.5, np.float16).tobytes(), True)) < 10_000


def flipped(part):
    return bytes(byte ^ 16 * (number == len(part) // 2) for number, byte in enumerate(part))


@pytest.fixture(params=[flipped, lambda part: part[:-1], lambda part: part + b"\0", lambda part: b"\xff" + part])
def spoiled(request, monkeypatch):
    """Compression that spoils what it gives last."""

    def compressobj(*arguments):
        real = isal_zlib.compressobj(*arguments)
        return SimpleNamespace(compress=real.compress, flush=lambda mode: request.param(real.flush(mode)))

    monkeypatch.setattr("seamark.submission.archive.isal_zlib", SimpleNamespace(compressobj=compressobj))


@pytest.mark.usefixtures("spoiled")
def test_flipped_missing_and_surplus_bytes_are_noticed():
    with pytest.raises(SubmissionError, match="does not inflate"):
        deflated(scores(), True)


@pytest.mark.usefixtures("spoiled")
def test_a_part_that_does_not_inflate_leaves_no_archive(submission, expected, tmp_path):
    with pytest.raises(SubmissionError, match="does not inflate"):
        pack(submission, expected, tmp_path / "packed" / "toy.tar.gz")
    assert not list((tmp_path / "packed").iterdir())


def test_a_file_that_comes_while_packing_refuses_the_archive(submission, expected, tmp_path, monkeypatch):
    def late(*arguments):
        known = write_archive(*arguments)
        (submission / "log.txt").write_bytes(b"x")
        return known

    monkeypatch.setattr("seamark.submission.writing.write_archive", late)
    with pytest.raises(SubmissionError, match=r"rule archive .*\n.*toy\.tar\.gz: toy/log\.txt: missing in the archive"):
        pack(submission, expected, tmp_path / "packed" / "toy.tar.gz")
    assert [path.name for path in (tmp_path / "packed").iterdir()] == ["check.failed.json"]
