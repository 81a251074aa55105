"""Reading the archive of a submission as a stream: nothing is extracted, and memory does not grow with the archive."""

import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from seamark.files.plain import UNREADABLE, require_plain_file, shown
from seamark.submission.archive import CHUNK_BYTES, padded

MOST_HEADER_BYTES = 1 << 14
"""Longest extended header of a member that is read; ours hold a name."""

GZIP = 16 + zlib.MAX_WBITS
"""Makes zlib expect one gzip stream with its header, check sum and size."""

_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

Judge = Callable[[tarfile.TarInfo, IO[bytes] | None], str]
"""Says what is wrong with a member, given its content where it is a file; empty if nothing is."""


def judged_members(archive: Path, sizes: Iterable[int], judge: Judge) -> Iterator[str]:
    """Read an archive to the end of its file, its check sum included.

    Parameters
    ----------
    archive : Path
        A .tar.gz file.
    sizes : iterable of int
        Sizes in bytes of the files that it should hold; one that unpacks to more is not read further.
    judge : callable
        Is handed every member in turn, and may read it a block at a time.

    Yields
    ------
    str
        One sentence per fault of the archive or of a member, naming them.
    """
    sizes, end = list(sizes), 0
    try:
        require_plain_file(archive, 1 << 63)
        with archive.open("rb") as packed:
            stream = _Unpacked(packed, _most_bytes(sizes))
            with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK_BYTES, tarinfo=_BoundedMember) as members:
                for number, member in enumerate(members):
                    if number > 5 * len(sizes):  # tarfile keeps them all: every file and the four folders it lies in
                        raise tarfile.ReadError("it has many more members than there are files")
                    if fault := judge(member, members.extractfile(member) if member.isreg() else None):
                        yield f"{archive.name}: {shown(member.name)}: {fault}"
                    end = member.offset_data + member.size
            stream.require_end(end)
    except (tarfile.TarError, *UNREADABLE) as error:
        yield f"{archive.name}: damaged or not a gzip-compressed tar file ({shown(str(error))})"


class _Unpacked(io.RawIOBase):
    """The bytes that a file of a single gzip stream unpacks to, and nothing where they are more than they should."""

    def __init__(self, packed: BinaryIO, most_bytes: int) -> None:
        super().__init__()
        self._packed, self._left, self._ended = packed, most_bytes, False
        self._inflater = zlib.decompressobj(GZIP)
        self._size = self._filled = 0
        """Bytes until now, and until the last one of them that is not 0."""

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 (a block, as a stream may give)
        if self._ended:  # a reader that comes again skips a member of any size it likes, a block at a time
            raise tarfile.ReadError("it ends within a member, or before the end of a tar file")
        content = self._next_block()
        self._ended = not content
        if filled := len(content.rstrip(b"\0")):
            self._filled = self._size + filled
        self._size += len(content)
        if self._size > self._left:
            raise tarfile.ReadError("it unpacks to more bytes than the files of the folder need")
        return content

    def _next_block(self) -> bytes:
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._packed.read(CHUNK_BYTES)
            if not packed:
                raise EOFError("the file ends before its gzip stream does")
            if content := self._inflater.decompress(packed, CHUNK_BYTES):
                return content
        if self._inflater.unused_data or self._packed.read(1):
            raise tarfile.ReadError("there are bytes behind the end of its gzip stream")
        return b""

    def require_end(self, last: int) -> None:
        """Read what is left, which must be the zeros that end a tar file whose last member ends there."""
        while self.read():
            pass
        if self._filled > last:
            raise tarfile.ReadError("there are bytes behind its last member")


class _BoundedMember(tarfile.TarInfo):
    """A member whose header takes no more memory than the longest name needs."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENSIONS and self.size > MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes, expected at most {MOST_HEADER_BYTES}")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # the hook for own members
        return member


def _most_bytes(sizes: list[int]) -> int:
    """Return what files can take at most in a tar file, long names and folders included."""
    contents = sum(padded(size, tarfile.BLOCKSIZE) for size in sizes)
    return contents + (len(sizes) + 1) * (MOST_HEADER_BYTES + 2 * tarfile.BLOCKSIZE) + 2 * tarfile.RECORDSIZE


class MemberPlaces:
    """Where the members of an archive lie: each once, and in one folder; that of the first one where none is given."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix, self.seen = prefix, set[str]()

    def fault(self, member: tarfile.TarInfo) -> str:
        """Say what is wrong with the kind or the place of the next member; empty if nothing is."""
        path = PurePosixPath(member.name)
        self.prefix = self.prefix or "".join(path.parts[:1])
        name, known = path.as_posix(), path.as_posix() in self.seen
        self.seen.add(name)
        if member.issparse() or not (member.isreg() or member.isdir()):
            return "not a plain file; links, devices and the like have no place in a submission"
        if path.parts[:1] != (self.prefix,) or ".." in path.parts or (member.isreg() and name == self.prefix):
            return f"does not lie in {shown(self.prefix)}/"
        return "stored twice" if known else ""


def archive_violations(archive: Path, prefix: str, files: Mapping[str, Path]) -> Iterator[str]:
    """Compare an archive with the folder it was made from, byte by byte; nothing is extracted.

    Parameters
    ----------
    archive : Path
        A .tar.gz file.
    prefix : str
        Name of the submission folder, which every member must lie in.
    files : mapping of str to Path
        Files that must be in it, by name.

    Yields
    ------
    str
        One sentence per violation, naming the archive and the member.
    """
    places = MemberPlaces(prefix)
    sizes = (path.stat().st_size for path in files.values())
    yield from judged_members(archive, sizes, partial(_difference, places, files))
    yield from _missing(archive.name, files, places)


def member_violations(
    archive: str, members: Iterable[tarfile.TarInfo], prefix: str, files: Mapping[str, Path]
) -> Iterator[str]:
    """Compare the names and sizes of members with the folder that their archive was made from.

    Parameters
    ----------
    archive : str
        What to call the archive.
    members : iterable of TarInfo
        All members.
    prefix : str
        Name of the submission folder, which every member must lie in.
    files : mapping of str to Path
        Files that must be in it, by name.

    Yields
    ------
    str
        One sentence per violation, naming the archive and the member.
    """
    places = MemberPlaces(prefix)
    for member in members:
        if fault := _difference(places, files, member, None):
            yield f"{archive}: {shown(member.name)}: {fault}"
    yield from _missing(archive, files, places)


def _missing(archive: str, files: Iterable[str], places: MemberPlaces) -> Iterator[str]:
    yield from (f"{archive}: {name}: missing in the archive" for name in files if name not in places.seen)


def _difference(
    places: MemberPlaces, files: Mapping[str, Path], member: tarfile.TarInfo, content: IO[bytes] | None
) -> str:
    """Say how a member differs from the file of its name; without content by its size only."""
    if fault := places.fault(member):
        return fault
    name = PurePosixPath(member.name).as_posix()
    if member.isdir():
        return "" if any(file.startswith(f"{name}/") for file in files) else "not a folder of the submission"
    if name not in files:
        return "not a file of the submission folder"
    if member.size != (size := files[name].stat().st_size):
        return f"{member.size} bytes, the file in the folder has {size}"
    return "" if content is None or _same_bytes(content, files[name]) else "other bytes than the file in the folder"


def _same_bytes(content: IO[bytes], path: Path) -> bool:
    with path.open("rb") as stream:
        return all(part == stream.read(len(part)) for part in iter(partial(content.read, CHUNK_BYTES), b""))
