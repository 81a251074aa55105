"""A submission folder as a .tar.gz file whose bytes depend on nothing but the files' names and contents."""

import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
"""What is compressed at a time; the bytes of an archive depend on it."""

_HEADER = b"\x1f\x8b\x08" + bytes(5) + b"\x04\xff"
"""A gzip header without name, time or operating system; 4 stands for fast compression."""


class _GzipStream:
    """Compress what is written into one gzip member, in blocks that threads compress independently.

    Blocks end at byte borders with an empty stored block and refer to nothing before them, so the bytes do not depend
    on the number of threads. Float16 scores hold next to no repeated byte strings, so run lengths and Huffman codes
    alone are two to three times as fast as the usual search for matches and give files a tenth larger.
    """

    def __init__(self, stream: BinaryIO, pool: Executor, threads: int) -> None:
        self._stream, self._pool = stream, pool
        self._most_waiting = 2 * threads
        self._waiting: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._check_sum = self._size = 0
        stream.write(_HEADER)

    def write(self, content: bytes) -> None:
        self._check_sum = zlib.crc32(content, self._check_sum)
        self._size += len(content)
        self._block += content
        while len(self._block) >= CHUNK_BYTES:
            self._submit(bytes(self._block[:CHUNK_BYTES]), zlib.Z_SYNC_FLUSH)
            del self._block[:CHUNK_BYTES]

    def finish(self) -> None:
        self._submit(bytes(self._block), zlib.Z_FINISH)
        while self._waiting:
            self._write_next()
        self._stream.write(struct.pack("<II", self._check_sum, self._size & 0xFFFFFFFF))

    def _submit(self, block: bytes, ending: int) -> None:
        self._waiting.append(self._pool.submit(_compressed, block, ending))
        while len(self._waiting) > self._most_waiting:
            self._write_next()

    def _write_next(self) -> None:
        self._stream.write(self._waiting.popleft().result())


def _compressed(block: bytes, ending: int) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return compressor.compress(block) + compressor.flush(ending)


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


def write_archive(target: Path, files: Mapping[str, Path], threads: int = 1) -> None:
    """Write files into a .tar.gz one after the other, without time stamps, owners or folder entries.

    Parameters
    ----------
    target : Path
        Where to write.
    files : mapping of str to Path
        File by its name in the archive, in the order to write.
    threads : int
        Threads that compress; the archive does not depend on it.
    """
    with target.open("wb") as stream, ThreadPoolExecutor(threads) as pool:
        compressed = _GzipStream(stream, pool, threads)
        # Writing in a stream needs nothing of a file but write().
        with tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK_BYTES) as archive:  # type: ignore[call-overload]
            for name, path in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    archive.addfile(entry, content)
        compressed.finish()


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
    seen: set[str] = set()
    try:
        with tarfile.open(archive, "r|gz", bufsize=CHUNK_BYTES) as members:
            for member in members:
                yield from (f"{archive.name}: {member.name}: {fault}" for fault in _faults(member, prefix, files, seen))
                seen.add(member.name)
    except (tarfile.TarError, OSError, EOFError) as error:
        yield f"{archive.name}: damaged or not a gzip-compressed tar file ({error})"
        return
    yield from (f"{archive.name}: {name}: missing in the archive" for name in files if name not in seen)


def _faults(member: tarfile.TarInfo, prefix: str, files: Mapping[str, Path], seen: set[str]) -> Iterator[str]:
    parts = PurePosixPath(member.name).parts
    if not member.isreg():
        yield "not a plain file; links, devices and the like have no place in a submission"
    elif not parts or parts[0] != prefix or ".." in parts:
        yield f"does not lie in {prefix}/"
    elif member.name not in files:
        yield "not a file of the submission folder"
    elif member.name in seen:
        yield "stored twice"
    elif member.size != files[member.name].stat().st_size:
        yield f"{member.size} bytes, the file in the folder has {files[member.name].stat().st_size}"
