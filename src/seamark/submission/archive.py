"""A submission folder as a .tar.gz file: the tar stream depends on nothing but the files' names and contents.

So do the compressed bytes on one machine, for any number of threads. ISA-L, which compresses, has loops of its own for
each kind of processor and promises no equal choice of codes, so another processor may compress the same stream to
other bytes.
"""

import gzip
import hashlib
import io
import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from isal import isal_zlib

from seamark.errors import SubmissionError
from seamark.files.plain import UNREADABLE, require_plain_file, shown

CHUNK_BYTES = 1 << 20
"""What is compressed at a time; the bytes of an archive depend on it."""

LEVEL = 2
"""Of ISA-L's levels 1 is up to 5 % larger in little less time, 3 saves no more."""

MOST_HEADER_BYTES = 1 << 14
"""Longest extended header of a member that is read; ours hold a name."""

_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_HEADER = b"\x1f\x8b\x08" + bytes(5) + b"\x04\xff"
"""A gzip header without name, time or operating system; 4 stands for fast compression."""


@dataclass(frozen=True)
class WrittenArchive:
    """What is known of an archive from its stream of bytes, without reading the file.

    Parameters
    ----------
    members : tuple of TarInfo
        Read from the headers in the stream, in its order.
    size_bytes : int
        Size of the archive.
    sha256 : str
        Digest of the archive.
    """

    members: tuple[tarfile.TarInfo, ...]
    size_bytes: int
    sha256: str


def deflated(content: bytes, last: bool) -> bytes:
    """Compress a part of a stream on its own and compare what another library inflates it to with what went in.

    Parameters
    ----------
    content : bytes
        What to compress.
    last : bool
        Whether the stream ends here; otherwise the part ends at a byte border and others may follow.

    Returns
    -------
    bytes
        Raw deflate blocks (RFC 1951).

    Raises
    ------
    SubmissionError
        If zlib inflates the blocks to anything else.
    """
    compressor = isal_zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    compressed = compressor.compress(content) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        intact = inflater.decompress(compressed) == content and inflater.eof == last and not inflater.unused_data
    except zlib.error:
        intact = False
    if not intact:
        raise SubmissionError(
            "a part of the archive does not inflate to what was compressed; test the machine's memory, install the "
            "package isal anew and package again"
        )
    return compressed


class _GzipStream:
    """Compress what is written into one gzip member, in parts that threads compress and inflate independently.

    Parts end at byte borders and refer to nothing before them, so the bytes do not depend on the number of threads.
    """

    def __init__(self, stream: BinaryIO, pool: Executor, threads: int) -> None:
        self._stream, self._pool = stream, pool
        self._most_waiting = 2 * threads
        self._waiting: deque[Future[bytes]] = deque()
        self._part = bytearray()
        self._check_sum = self._size = 0
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self._put(_HEADER)

    def write(self, content: bytes) -> None:
        self._check_sum = zlib.crc32(content, self._check_sum)
        self._size += len(content)
        self._part += content
        while len(self._part) >= CHUNK_BYTES:
            self._submit(bytes(self._part[:CHUNK_BYTES]), last=False)
            del self._part[:CHUNK_BYTES]

    def finish(self) -> str:
        """Write what is left and return the digest of all."""
        self._submit(bytes(self._part), last=True)
        while self._waiting:
            self._put(self._waiting.popleft().result())
        self._put(struct.pack("<II", self._check_sum, self._size & 0xFFFFFFFF))
        return self._digest.hexdigest()

    def _submit(self, part: bytes, *, last: bool) -> None:
        self._waiting.append(self._pool.submit(deflated, part, last))
        while len(self._waiting) > self._most_waiting:
            self._put(self._waiting.popleft().result())

    def _put(self, content: bytes) -> None:
        self._stream.write(content)
        self._digest.update(content)
        self.size_bytes += len(content)


def submission_files(folder: Path) -> dict[str, Path]:
    """List the files below a folder by their name in the archive, sorted.

    Parameters
    ----------
    folder : Path
        Submission folder.

    Returns
    -------
    dict of str to Path
        Files by ``<name of the folder>/<path below it>``.
    """
    files = {path.relative_to(folder.parent).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return dict(sorted(files.items()))


def write_archive(target: Path, files: Mapping[str, Path], threads: int = 1) -> WrittenArchive:
    """Write files into a .tar.gz one after the other, without time stamps, owners or folder entries.

    Every compressed part is inflated and compared with its content by the thread that compressed it, and every header
    is read again from the stream, so the archive need not be read back. What a disk or memory does to the bytes after
    that is not noticed here; the digest, or reading the archive with the checker, shows it.

    Parameters
    ----------
    target : Path
        Where to write.
    files : mapping of str to Path
        File by its name in the archive, in the order to write.
    threads : int
        Threads that compress; the archive does not depend on it.

    Returns
    -------
    WrittenArchive
        Members, size and digest.

    Raises
    ------
    SubmissionError
        If a file changes while it is packed, or a compressed part does not inflate to its content.
    """
    with target.open("wb") as stream, ThreadPoolExecutor(threads) as pool:
        compressed = _GzipStream(stream, pool, threads)
        members = tuple([_write_member(compressed, name, path) for name, path in files.items()])
        size = sum(member.offset_data + _padded(member.size, tarfile.BLOCKSIZE) for member in members)
        compressed.write(bytes(_padded(size + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE) - size))
        digest = compressed.finish()
    return WrittenArchive(members, compressed.size_bytes, digest)


def _write_member(stream: _GzipStream, name: str, path: Path) -> tarfile.TarInfo:
    """Write header and content, and return what a reader makes of the header."""
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    header = entry.tobuf(tarfile.PAX_FORMAT)
    stream.write(header)
    written = 0
    with path.open("rb") as content:
        while part := content.read(CHUNK_BYTES):
            stream.write(part)
            written += len(part)
    if written != entry.size:
        raise SubmissionError(
            f"{path}: {written} bytes instead of {entry.size}, changed while it was packed; run again"
        )
    stream.write(bytes(_padded(written, tarfile.BLOCKSIZE) - written))
    with tarfile.open(fileobj=io.BytesIO(header), mode="r:") as archive:
        return next(iter(archive))


def _padded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def archive_violations(archive: Path, prefix: str, files: Mapping[str, Path]) -> Iterator[str]:
    """Compare an archive with the folder it was made from; nothing is extracted.

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
    try:
        require_plain_file(archive, 1 << 63)
        with gzip.open(archive) as stream:
            bounded = _Bounded(stream, _most_bytes(files))
            with tarfile.open(fileobj=bounded, mode="r|", bufsize=CHUNK_BYTES, tarinfo=_BoundedMember) as members:
                yield from member_violations(archive.name, members, prefix, files)
    except (tarfile.TarError, *UNREADABLE) as error:
        yield f"{archive.name}: damaged or not a gzip-compressed tar file ({shown(str(error))})"


class _Bounded(io.RawIOBase):
    """A stream that ends with an error where a compressed file unpacks to more than it should."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, most_bytes: int) -> None:
        super().__init__()
        self._stream, self._left, self._ended = stream, most_bytes, False

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        if self._ended:  # a reader that comes again skips a member of any size it likes, a block at a time
            raise tarfile.ReadError("it ends within a member")
        self._ended = not content
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError("it unpacks to more bytes than the files of the folder need")
        return content


class _BoundedMember(tarfile.TarInfo):
    """A member whose header takes no more memory than the longest name needs."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENSIONS and self.size > MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes, expected at most {MOST_HEADER_BYTES}")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # the hook for own members
        return member


def _most_bytes(files: Mapping[str, Path]) -> int:
    """Return what the files can take at most in a tar file, long names included."""
    sizes = sum(_padded(path.stat().st_size, tarfile.BLOCKSIZE) for path in files.values())
    return sizes + (len(files) + 1) * (MOST_HEADER_BYTES + 2 * tarfile.BLOCKSIZE) + 2 * tarfile.RECORDSIZE


def member_violations(
    archive: str, members: Iterable[tarfile.TarInfo], prefix: str, files: Mapping[str, Path]
) -> Iterator[str]:
    """Compare the members of an archive with the folder it was made from.

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
    seen: set[str] = set()
    for member in members:
        yield from (f"{archive}: {shown(member.name)}: {fault}" for fault in _faults(member, prefix, files, seen))
        seen.add(member.name)
    yield from (f"{archive}: {name}: missing in the archive" for name in files if name not in seen)


def _faults(member: tarfile.TarInfo, prefix: str, files: Mapping[str, Path], seen: set[str]) -> Iterator[str]:
    parts = PurePosixPath(member.name).parts
    if not member.isreg() or member.issparse():
        yield "not a plain file; links, devices and the like have no place in a submission"
    elif not parts or parts[0] != prefix or ".." in parts:
        yield f"does not lie in {prefix}/"
    elif member.name not in files:
        yield "not a file of the submission folder"
    elif member.name in seen:
        yield "stored twice"
    elif member.size != files[member.name].stat().st_size:
        yield f"{member.size} bytes, the file in the folder has {files[member.name].stat().st_size}"
