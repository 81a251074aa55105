"""Image files of every kind, written byte by byte, so that what a reader makes of them is known without one."""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image
from tests.fuzz.targets.pictures import SIGNATURE, chunk, saved

SPOTS = np.kron(np.array([[1, 0, 1], [0, 0, 1]], np.uint8), np.full((8, 8), 255, np.uint8))
"""Black and white, (16, 24), in blocks that a JPEG keeps; it differs from itself turned in any way."""
NOISE = np.random.default_rng(5).integers(0, 256, (16, 24), np.uint8)
COLOUR = np.random.default_rng(6).integers(0, 256, (16, 24, 3), np.uint8)
INDICES = SPOTS // 255
BLACK_WHITE = ((0, 0, 0), (255, 255, 255))
GREYS = tuple((value,) * 3 for value in range(256))


class File(NamedTuple):
    """A file, what it holds if it is read, and what else is said of it; an empty message means that it is read."""

    content: bytes
    pixels: np.ndarray | None = None
    photograph: str = ""
    mask: str = ""


def tiff(pixels, tags=None, data=None, order="<", big=False):
    """Write a TIFF of uncompressed ``pixels`` or of ``data``; ``tags`` by number replace others, None omits one."""
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes() if data is None else data
    height, width, samples = (*pixels.shape, 1)[:3]
    usual = {256: width, 257: height, 258: (8 * pixels.itemsize,) * samples, 259: 1, 262: 2 if samples > 2 else 1}
    usual |= {273: 16, 277: samples, 278: height, 279: len(data)}
    values = {tag: value for tag, value in sorted((usual | (tags or {})).items()) if value is not None}
    word, count, entry, inside = ("Q", "Q", "HHQ", 8) if big else ("I", "H", "HHI", 4)
    place = 16 + len(data)
    outside = place + struct.calcsize(order + count) + len(values) * (struct.calcsize(order + entry) + inside) + inside
    entries, rest = b"", b""
    for tag, value in values.items():
        numbers = (value,) if isinstance(value, int) else value
        kind, letter = (7, "B") if isinstance(value, bytes) else (3, "H") if max(numbers) < 1 << 16 else (4, "I")
        raw = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(raw) > inside:
            rest, raw = rest + raw, struct.pack(order + word, outside + len(rest))
        entries += struct.pack(order + entry, tag, kind, len(numbers)) + raw.ljust(inside, b"\0")
    head = struct.pack(order + "HHHQ", 43, 8, 0, place) if big else struct.pack(order + "HI8x", 42, place)
    listing = struct.pack(order + count, len(values)) + entries + bytes(inside)
    return {"<": b"II", ">": b"MM"}[order] + head + data + listing + rest


def bits_of(values, bits):
    """Pack values of a few bits, rows filled up to bytes, the first value in the high bits."""
    return np.packbits(
        (values[..., None] >> np.arange(bits)[::-1] & 1).reshape(len(values), -1).astype(np.uint8), axis=1
    )


def lined(rows):
    """Scanlines of a PNG without a filter."""
    return b"".join(b"\0" + row.tobytes() for row in rows)


def turned_bits(data):
    """Reverse the bits of each byte."""
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)[:, ::-1]).tobytes()


def bmp(rows, width, bits, palette=(), colours=0, compression=0, masks=b"", top_first=False):
    """Write a BMP of packed rows, from the top down; the file has them from the bottom up unless ``top_first``."""
    rows = rows if top_first else rows[::-1]
    data = rows if isinstance(rows, bytes) else np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    table = masks + b"".join(bytes((blue, green, red, 0)) for red, green, blue in palette)
    height = len(SPOTS) * (-1 if top_first else 1)
    sizes = (width, height, 1, bits, compression, len(data), 0, 0, colours, 0)
    header = struct.pack("<IHHI", 54 + len(table) + len(data), 0, 0, 54 + len(table)) + struct.pack(
        "<IiiHHIIiiII", 40, *sizes
    )
    return b"BM" + header + table + data


def png(pixels, *parts, colour=0, interlaced=0, scanlines=None):
    """Write a PNG of 8 or 16 bits with further parts before its pixels."""
    height, width = pixels.shape[:2]
    scanlines = lined(pixels.astype(pixels.dtype.newbyteorder(">"))) if scanlines is None else scanlines
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *parts, (b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*part) for part in chunks)


def adam7(pixels):
    """Scanlines of an interlaced PNG."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [pixels[top::down, left::right] for left, top, right, down in passes]
    return b"".join(map(lined, parts))


def jpeg(pixels, **options):
    """Write a JPEG that keeps blocks of one value."""
    return saved(Image.fromarray(pixels), "JPEG", quality=100, subsampling=0, **options)


def pages(kind):
    """Write two pictures into one file."""
    first, second = Image.fromarray(SPOTS), Image.fromarray(255 - SPOTS)
    options = {"quality": 100} if kind == "MPO" else {}
    return saved(first, kind, save_all=True, append_images=[second], **options)


def exif(tag):
    """EXIF data with an orientation."""
    written = Image.Exif()
    written[0x0112] = tag
    return written


def xmp(tag):
    """XMP data with an orientation."""
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{tag}"/></x:xmpmeta>'.encode()


def by_tifffile(pixels, **options):
    """Write a TIFF with another writer: tiles, planes, predictors, several pictures."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def with_sub_image():
    """Write a TIFF of which a smaller copy hangs below the picture."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(SPOTS, photometric="minisblack", subifds=1)
        file.write(SPOTS[::2, ::2], photometric="minisblack", subfiletype=1)
    return stream.getvalue()
