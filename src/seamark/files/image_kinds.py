"""Kinds of image files that are refused because decoders make different pixels of them, and tags that are ignored.

Source: TIFF 6.0 for the numbers and meanings of tags; the headers of BMP as Windows documents them.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from seamark.errors import DataError
from seamark.files.plain import UNREADABLE, shown
from seamark.settings.pixels import PixelSettings

ORIENTATION = 274
SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
STRIPS, SAMPLES, ROWS_PER_STRIP, PLANES, PALETTE = 273, 277, 278, 284, 320
TILE_WIDTH, TILE_HEIGHT, TILES, EXTRA_SAMPLES, SAMPLE_FORMAT = 322, 323, 324, 338, 339
OLD_JPEG, JPEG = 6, 7
YCBCR = 6
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
ALPHA = (2,)
"""Extra samples of a TIFF that are alpha alone by which colours are not multiplied yet."""
RUN_LENGTHS = (1, 2)
"""Compressions of BMP of whose skipped pixels decoders make different ones."""
CHANNELS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, YCBCR: 3, 8: 3}
"""Samples per pixel of each photometric interpretation of a TIFF, without further ones."""


def orientation(image: Image.Image) -> int:
    """Return an opened image's orientation tag: 1 to 8, 1 where there is none, or none that can be read.

    It says how a viewer turns the picture; pixels are taken as they are stored, whatever it says.
    """
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except UNREADABLE:
        return 1
    return int(value) if value in range(1, 9) else 1


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height in px as the pixels are stored; Pillow's are those after turning a TIFF."""
    if image.format != "TIFF":
        return image.size
    tags = _tags(image)
    return tags[WIDTH], tags[HEIGHT]


def as_stored(image: Image.Image) -> Image.Image:
    """Return an opened image that decodes to pixels as they are stored; TIFF is the only format that Pillow turns."""
    if image.format != "TIFF":
        return image
    image.getexif()[ORIENTATION] = 1
    return image if image.size == stored_size(image) else image.copy()  # which has the size of the pixels


def still_webp_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height in px of a WebP file by its header, None for files of other formats.

    Raises ValueError if it is animated or shorter than it says. Source: RFC 9649, sections 2.5 to 2.7 and 3.4.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return None
    if int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise ValueError("it ends before its RIFF header says")
    if content[12:16] == b"VP8X":
        if content[20] & 2:
            raise ValueError("several pictures in one file, expected one: animated")
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if content[12:16] == b"VP8L":
        sizes = int.from_bytes(content[21:25], "little")
        return 1 + (sizes & 0x3FFF), 1 + (sizes >> 14 & 0x3FFF)
    width, height = (int.from_bytes(content[place : place + 2], "little") & 0x3FFF for place in (26, 28))
    return width, height


def require_one_meaning(image: Image.Image, content: bytes, path: Path, settings: PixelSettings | None) -> None:
    """Refuse an opened TIFF or BMP of which decoders make different pixels.

    Raises DataError, which names the tag or the palette and what to do; also the setting by which photographs of a run
    would be read, if there is one.
    """
    try:
        fault = ""
        if image.format == "TIFF":
            fault = next(_tiff_faults(_tags(image), settings), "")
        elif image.format == "BMP":
            fault = next(_bmp_faults(image, content), "")
    except UNREADABLE as error:
        raise DataError(f"{shown(path)}: not a readable image ({error}); replace the file") from error
    if fault:
        raise DataError(f"{shown(path)}: {fault}")


def white_is_zero(image: Image.Image) -> bool:
    """Whether an opened TIFF stores white as 0."""
    return bool(_tags(image).get(PHOTOMETRIC) == WHITE_IS_ZERO)


def alpha_remedy(settings: PixelSettings | None) -> str:
    """Return what else can be done about an alpha channel of a photograph; nothing for other pictures."""
    if settings is None:
        return ""
    return ", or set data.alpha_over: [255, 255, 255] (or another colour) to lay all photographs on it"


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def _tiff_faults(tags: Any, settings: PixelSettings | None) -> Iterator[str]:
    photometric, compression = tags.get(PHOTOMETRIC), tags.get(COMPRESSION, 1)
    if tags.get(SUBFILE, 0) not in (0, 2) or tags.get(OLD_SUBFILE, 1) == 2:
        yield "the first picture is a small copy or a mask of another one; save the wanted picture alone"
    if set(tags.get(SAMPLE_FORMAT, (1,))) != {1}:
        yield "signed or float samples, expected unsigned integers; convert the file"
    if photometric is None:
        yield "no tag PhotometricInterpretation, so black could be white; save it as PNG, or with the tag"
    samples = tags.get(SAMPLES, 1)
    planes = tags.get(PLANES, 1) == 2 and samples > 1
    alpha = photometric in (BLACK_IS_ZERO, RGB) and tags.get(EXTRA_SAMPLES) == ALPHA and not planes
    if samples != CHANNELS.get(photometric, samples) + (
        alpha and settings is not None and settings.alpha_over is not None
    ):
        remedy = "flatten or remove alpha and other extra channels"
        yield f"{samples} channels, expected {CHANNELS[photometric]}; {remedy}" + (
            alpha_remedy(settings) if alpha else ""
        )
    if planes and max(tags.get(BITS, (1,))) > 8:
        yield "16 bits per channel in planes of their own; save it with interleaved channels"
    if compression == OLD_JPEG or (photometric == YCBCR and compression != JPEG):
        yield "YCbCr without JPEG, or JPEG of the kind before 1995; save it as RGB"
    if photometric == 3 and 0 < max(tags.get(PALETTE, (0,))) < 256:
        yield "a palette of 8-bit colours where TIFF has 16-bit ones; save it as PNG"
    yield from _missing_parts(tags, samples)


def _missing_parts(tags: Any, samples: int) -> Iterator[str]:
    """Pillow leaves black, or fills with other bytes of the file, what no strip or tile covers."""
    width, height = tags[WIDTH], tags[HEIGHT]
    if STRIPS in tags:
        places, part = tags[STRIPS], (width, min(height, tags.get(ROWS_PER_STRIP, height)))
    else:
        places, part = tags.get(TILES, ()), (tags.get(TILE_WIDTH, width), tags.get(TILE_HEIGHT, height))
    planes = samples if tags.get(PLANES, 1) == 2 else 1
    expected = planes * math.prod(math.ceil(whole / side) for whole, side in zip((width, height), part, strict=True))
    found = sum(place > 0 for place in places)
    if (found, len(places)) != (expected, expected):
        yield f"{found} of {expected} strips or tiles in {len(places)} places; save the picture again"


def _bmp_faults(image: Image.Image, content: bytes) -> Iterator[str]:
    header = int.from_bytes(content[14:18], "little")
    place = 24 if header == 12 else 28
    bits = int.from_bytes(content[place : place + 2], "little")
    colours = int.from_bytes(content[46:50], "little") if header >= 36 else 0
    if image.info["compression"] in RUN_LENGTHS:
        yield "run lengths, expected uncompressed pixels; save it as PNG"
    if bits == 16:
        yield "5 or 6 bits per channel, expected 8; convert the file"
    # Pillow then drops the palette, and takes what it finds for 1 or 8 bits per pixel.
    if image.mode in ("1", "L") and (bits != (1 if image.mode == "1" else 8) or colours not in (0, 1 << bits)):
        yield f"a grey palette of other colours than {bits} bits per pixel have; save it as PNG"
