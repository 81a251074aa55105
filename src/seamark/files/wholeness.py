"""Wholeness of PNG and TIFF files: there to the last byte, with the same meaning to every decoder.

Decoders stop where they have their pixels, and some fill what is missing: Pillow looks at no check sum of the pixels,
tifffile reads an absent strip as zeros. Source: PNG specification, 3rd edition, sections 5, 8 and 10; TIFF 6.0.
"""

import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path

import tifffile
from PIL import Image

from seamark.errors import DataError
from seamark.files.image_checks import PNG_SIGNATURE
from seamark.files.image_kinds import ORIENTATION
from seamark.files.plain import UNREADABLE, shown

KNOWN_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
"""All that a decoder of PNG must know; others whose names begin with a capital letter are essential too."""

AMBIGUOUS_CHUNKS = {b"acTL": "several pictures", b"tRNS": "transparency"}
"""What some decoders make other pixels of, or none."""

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced PNG: first column and row, steps between columns and between rows."""

UPRIGHT = 1
COMPRESSIONS = (tifffile.COMPRESSION.NONE, tifffile.COMPRESSION.ADOBE_DEFLATE, tifffile.COMPRESSION.DEFLATE)


def require_whole_png(content: bytes) -> None:
    """Check that a PNG file has right check sums, all of its pixels, and nothing that decoders understand differently.

    Parameters
    ----------
    content : bytes
        A file with one channel that Pillow takes pixels from.

    Raises
    ------
    ValueError
        Saying what it lacks or has too much.
    """
    chunks = list(_chunks(content))
    for name, _ in chunks:
        if name[:1].isupper() and name not in KNOWN_CHUNKS:
            raise ValueError(f"an essential chunk {name!r} that decoders do not know")
        if name in AMBIGUOUS_CHUNKS:
            raise ValueError(f"{AMBIGUOUS_CHUNKS[name]} (chunk {name!r})")
    parts = [name for name, _ in groupby(name for name, _ in chunks)]
    if parts[0] != b"IHDR" or [name for name, _ in chunks].count(b"IHDR") > 1 or parts.count(b"IDAT") > 1:
        raise ValueError("chunks in an order that is not that of a PNG")
    if b"eXIf" in parts:
        with Image.open(io.BytesIO(content)) as image:
            _require_upright(image.getexif().get(ORIENTATION, UPRIGHT))
    _require_pixels(b"".join(part for name, part in chunks if name == b"IDAT"), _filtered_bytes(content))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and contents to the end, which must be that of the file too."""
    name, end = b"", len(PNG_SIGNATURE)
    while name != b"IEND":
        start, end = end + 8, end + 12 + int.from_bytes(content[end : end + 4], "big")
        name = content[start - 4 : start]
        if end > len(content):
            raise ValueError("it ends before its IEND chunk does")
        if zlib.crc32(content[start - 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            raise ValueError(f"a wrong check sum of its chunk {name!r}")
        yield name, content[start : end - 4]
    if content[start:] != content[end - 4 : end]:
        raise ValueError(f"{len(content) - start - 4} bytes too many at its end")


def _filtered_bytes(content: bytes) -> int:
    """Return what the pixels of one channel take before compression, with a byte per row for its filter."""
    width, height = (int.from_bytes(content[place : place + 4], "big") for place in (16, 20))
    depth, interlaced = content[24], content[28]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in passes]
    return sum(rows * (1 + -(-columns * depth // 8)) for columns, rows in sizes if columns > 0)


def _require_pixels(stream: bytes, size: int) -> None:
    inflater = zlib.decompressobj()
    inflated = len(inflater.decompress(stream, size + 1))
    if inflated != size:
        raise ValueError(f"{'more' if inflated > size else 'fewer'} pixels than its header says")
    if not inflater.eof:
        raise ValueError("its pixels end within their zlib stream")
    if inflater.unused_data:
        raise ValueError(f"{len(inflater.unused_data)} bytes behind its pixels")


@contextmanager
def opened_tiff(content: bytes) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file in memory and let go of its bytes in the end, which tifffile's cycles of objects would keep."""
    with io.BytesIO(content) as stream, tifffile.TiffFile(stream, is_ome=False) as file:  # OME names other files
        yield file


def upright_tiff(content: bytes, path: Path) -> bytes:
    """Return a TIFF file without what its first picture's orientation tag says; DataError if it cannot be read."""
    try:
        with opened_tiff(content) as file:
            tag = file.pages.first.tags.get(ORIENTATION)
            if tag is None:
                return content
            place, size = tag.valueoffset, tag.valuebytecount
            value = UPRIGHT.to_bytes(size, "big" if file.byteorder == ">" else "little")
            return content[:place] + value + content[place + size :]
    except UNREADABLE as error:
        raise DataError(f"{shown(path)}: not a readable image ({error}); replace the file") from error


def require_whole_tiff(content: bytes) -> None:
    """Check that a TIFF file has all of its strips or tiles, and nothing that decoders understand differently.

    Parameters
    ----------
    content : bytes
        A file that tifffile takes two-dimensional scores from.

    Raises
    ------
    ValueError
        Saying what it lacks or has too much.
    """
    with opened_tiff(content) as file:
        page = file.pages.first
        sizes, expected = page.databytecounts, math.prod(page.chunked)
        places = sorted(zip(page.dataoffsets, sizes, strict=False))
        there = sum(0 < place < place + size <= len(content) for place, size in places)
        if not there == len(sizes) == expected:
            raise ValueError(f"{there} of {expected} strips or tiles are there")
        if any(place + size > following for (place, size), (following, _) in pairwise(places)):
            raise ValueError("strips or tiles that lie in one another")
        if page.compression not in COMPRESSIONS:
            raise ValueError(f"compression {int(page.compression)}, expected 1 (none) or 8 (zlib)")
        if page.compression == tifffile.COMPRESSION.NONE and sum(sizes) < page.nbytes:
            raise ValueError(f"{sum(sizes)} bytes of scores, expected {page.nbytes}")
        if page.photometric != tifffile.PHOTOMETRIC.MINISBLACK:
            raise ValueError(f"photometric interpretation {int(page.photometric)}, expected 1 (the least is black)")
        if page.subifds:
            raise ValueError("a second picture (SubIFDs)")
        _require_upright(page.tags.valueof(ORIENTATION, UPRIGHT))


def _require_upright(orientation: object) -> None:
    if orientation != UPRIGHT:
        raise ValueError(f"orientation {orientation}, by which some decoders turn the picture")
