"""Archives and submitted files as the checker reads them."""

import gzip
import io
import tarfile
from pathlib import Path

from tests.fuzz.targets.base import Target
from tests.fuzz.targets.pictures import float_tiffs, pngs

from seamark.submission.checker import check_archive, report_lines
from seamark.submission.expected import ExpectedImage, ExpectedSubmission
from seamark.submission.inspection import inspect_map, inspect_mask
from seamark.submission.members import archive_violations

FILES = {"run/a.tiff": b"a" * 700, "run/b.png": b"b" * 100}
BLOCK = tarfile.BLOCKSIZE
ONE_IMAGE = ExpectedSubmission({"felt": {"test_private": (ExpectedImage("000_regular", 11, 6),)}}, 1.0)
"""What the archives are held to without their folder."""


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """Return the header of a member."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, link
    return member.tobuf(tarfile.GNU_FORMAT)


def member(name: str, content: bytes, extended: dict[str, str] | None = None) -> bytes:
    """Return a member with its content."""
    member = tarfile.TarInfo(name)
    member.size, member.pax_headers = len(content), extended or {}
    return member.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % BLOCK)


def streams() -> list[bytes]:
    """The right archive, and hostile ones."""
    right = [member(name, content) for name, content in FILES.items()]
    odd = [
        entry("run/a.tiff", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("run/a.tiff", kind=tarfile.CHRTYPE),
        entry("/etc/passwd"),
        entry("run/../../x"),
        entry("x", 1 << 33, kind=tarfile.XHDTYPE),
        entry("x", 1 << 33, kind=tarfile.GNUTYPE_LONGNAME),
        entry("x", 1 << 20, kind=tarfile.GNUTYPE_SPARSE),
        member("run/a.tiff", bytes(700), {"size": "9" * 30}),
        member("run/a.tiff", bytes(700), {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
        member("run/" + "n" * 300, b"x"),
        member("run/\n\udcff", b"x"),
        entry("x", 1 << 40),
        entry("x", 512, kind=tarfile.XHDTYPE) * 300,
        member("run/anomaly_images/felt/test_private/000_regular.tiff", float_tiffs()[1]),
        member("run/anomaly_images_thresholded/felt/test_private/000_regular.png", pngs()[0]),
    ]
    end = bytes(2 * BLOCK)
    return [b"".join(right) + end, *(b"".join([one, *right]) + end for one in odd), right[0], b""]


def with_right_sums(content: bytes) -> bytes:
    """Return a tar file in which every header has the right check sum."""
    repaired = bytearray(content)
    for place in range(0, len(repaired) - BLOCK + 1, BLOCK):
        block = repaired[place : place + BLOCK]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            repaired[place + 148 : place + 156] = b"%06o\0 " % sum(block)
    return bytes(repaired)


def check(content: bytes, folder: Path) -> None:
    """Compare an archive with a folder; whatever is wrong becomes a line of the report."""
    for name, expected in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(expected)
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as packed:
        packed.write(with_right_sums(content) if len(content) % 5 else content)
    packed_bytes = stream.getvalue() if len(content) % 7 else content
    (folder / "run.tar.gz").write_bytes(packed_bytes)
    for text in archive_violations(folder / "run.tar.gz", "run", {name: folder / name for name in FILES}):
        assert text.isprintable()
    assert all(text.isprintable() for text in report_lines(check_archive(folder / "run.tar.gz", ONE_IMAGE)))


def inspect_both(content: bytes, _: Path) -> None:
    """Inspect as a submitted map and as a submitted mask; whatever is wrong becomes a line of the report."""
    for inspect in (inspect_map, inspect_mask):
        for violation in inspect("x", lambda _: content, [(11, 6)]).violations:
            assert violation.text.isprintable()


TARGETS = {
    "archive": Target(streams, check, memory_mb=64),
    "submitted": Target(lambda: [*float_tiffs()[1:], *pngs()], inspect_both),
}
