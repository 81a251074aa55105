import errno
import os
import shutil

import pytest

from seamark.errors import DiskFullError
from seamark.files.atomic import atomic_folder, atomic_write, file_digest, reserve


def test_a_file_appears_only_when_the_block_ends_well(tmp_path):
    target = tmp_path / "deep" / "x.json"
    with pytest.raises(RuntimeError), atomic_write(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with atomic_write(target) as draft:
        draft.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_block_keeps_the_earlier_file(tmp_path):
    target = tmp_path / "x.json"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_write(target) as draft:
        draft.write_text("new")
        raise OSError(28, "disk full")
    assert target.read_text() == "old"


def test_a_folder_is_swapped_whole(tmp_path):
    target = tmp_path / "maps"
    target.mkdir()
    (target / "stale.tiff").write_text("stale")
    with atomic_folder(target) as draft:
        (draft / "a.tiff").write_text("a")
        assert (target / "stale.tiff").exists()
    assert [path.name for path in target.iterdir()] == ["a.tiff"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_leaves_the_earlier_one(tmp_path):
    target = tmp_path / "maps"
    target.mkdir()
    (target / "old.tiff").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target) as draft:
        (draft / "a.tiff").write_text("a")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["old.tiff"]
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_a_killed_job_are_removed(tmp_path):
    (tmp_path / ".maps.tmp-999999").mkdir()
    (tmp_path / ".x.json.tmp-999999").write_text("half")
    with atomic_folder(tmp_path / "maps"), atomic_write(tmp_path / "x.json") as draft:
        draft.write_text("{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "x.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")  # noqa: PTH110
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    target = tmp_path / "x.npy"
    with pytest.raises(OSError), atomic_write(target) as draft:
        draft.symlink_to("/dev/full")
        draft.write_bytes(b"0" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x").startswith("ba7816bf8f01cfea")


def test_a_full_disk_is_named_with_what_is_missing(tmp_path):
    target = tmp_path / "maps"
    error = OSError(errno.ENOSPC, "No space left on device")
    error.share_done = 0.25
    error.add_note("while working on 000")
    said = r"maps: No space left, the disk mounted at /.* is full .* free\)"
    with pytest.raises(DiskFullError, match=said) as caught, atomic_folder(target) as draft:
        (draft / "000.tiff").write_bytes(bytes(100_000))
        raise error
    assert "0.1 MB of it were written, about 0.3 MB are missing" in str(caught.value)
    assert caught.value.__notes__ == ["while working on 000"]
    assert list(tmp_path.iterdir()) == []


def test_space_is_reserved_before_it_is_filled(tmp_path):
    draft = tmp_path / "x.npy"
    draft.write_bytes(b"head")
    reserve(draft, 1000)
    assert draft.read_bytes() == b"head" + bytes(996)


def test_space_that_is_not_there_is_refused_before_any_is_taken(tmp_path, monkeypatch):
    draft = tmp_path / "x.npy"
    draft.write_bytes(b"head")
    usage = shutil.disk_usage(tmp_path)._replace(free=300_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        DiskFullError, match=r"x\.npy: No space left, the disk .* full \(0\.3 MB of .* 0\.7 MB are missing"
    ):
        reserve(draft, 1_000_000)
    assert draft.read_bytes() == b"head"
