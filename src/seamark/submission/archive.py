"""A submission folder as a .tar.gz file: the tar stream depends on nothing but the files' names and contents.

So do the compressed bytes on one machine, for any number of threads. ISA-L, which compresses, has loops of its own for
each kind of processor and promises no equal choice of codes, so another processor may compress the same stream to
other bytes.
"""

import hashlib
import io
import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from seamark.errors import SubmissionError

CHUNK_BYTES = 1 << 20
"""What is compressed at a time; the bytes of an archive depend on it."""

LEVEL = 2
"""Of ISA-L's levels 1 is up to 5 % larger in little less time, 3 saves no more."""

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
        size = sum(member.offset_data + padded(member.size, tarfile.BLOCKSIZE) for member in members)
        compressed.write(bytes(padded(size + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE) - size))
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
    stream.write(bytes(padded(written, tarfile.BLOCKSIZE) - written))
    with tarfile.open(fileobj=io.BytesIO(header), mode="r:") as archive:
        return next(iter(archive))


def padded(size: int, unit: int) -> int:
    """Return the size that so many bytes take in whole units."""
    return -(-size // unit) * unit
