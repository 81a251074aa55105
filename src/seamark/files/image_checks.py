"""Checks of image files: format, depth, channels and size, before a pixel is decoded."""

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from seamark.errors import DataError
from seamark.files.image_kinds import BITS, as_stored, orientation, require_one_meaning, still_webp_size
from seamark.files.plain import FORMATS, UNREADABLE, read_plain_file, shown
from seamark.settings.pixels import PixelSettings

MAX_PIXELS = 1 << 28
"""Largest image that is decoded unless the index let in a larger one, in px (268 Mpx)."""
MAX_SIDE_PX = 1 << 20
"""Longest side that every decoder in use accepts."""
MOST_BYTES_PER_PIXEL = 4
"""A file with more bytes per allowed pixel is not read; twice as many are where ``data.depth`` asks for 16 bits."""
SPARE_BYTES = 1 << 24
"""What a file may have besides, for thumbnails, profiles and notes."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

REMEDIES = {
    errno.EINVAL: "put a file in its place, or remove it",
    errno.EFBIG: "save it without what is no pixel, or raise data.image_px_max if it has so many",
    errno.EACCES: "make it readable",
    errno.ELOOP: "mend the link or remove it",
}
"""What to do about files that are not opened, or cannot be."""

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit ends below ours and guards crops too; opened_image has the limit


def read_image_file(path: Path, most_pixels: int = MAX_PIXELS, settings: PixelSettings | None = None) -> bytes:
    """Return the bytes of an image file, at most 4 per allowed pixel, of 16 bits 8, and 16 MiB.

    Raises DataError if the file is missing, unreadable, no plain file or link to one, or larger.
    """
    try:
        return read_plain_file(path, (2 if deep(settings) else 1) * MOST_BYTES_PER_PIXEL * most_pixels + SPARE_BYTES)
    except FileNotFoundError as error:
        what = "a link that leads nowhere; mend or remove it" if path.is_symlink() else "put it back"
        raise DataError(f"{shown(path)}: the image is missing: {what}") from error
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "replace the file")
        raise DataError(f"{shown(path)}: not a readable image ({error.strerror}); {remedy}") from error


def deep(settings: PixelSettings | None) -> bool:
    """Whether files have 16 bits per channel."""
    return settings is not None and settings.depth is not None


def opened_image(
    content: bytes, path: Path, most_pixels: int = MAX_PIXELS, settings: PixelSettings | None = None
) -> Image.Image:
    """Open an image, read from ``path``, whose header says that it is one that is read; no pixel is decoded.

    It is a PNG, JPEG, BMP, TIFF or WebP; its channels are not looked at.

    Parameters
    ----------
    content, path : bytes, Path
        The file.
    most_pixels : int
        Pixels that it may have.
    settings : PixelSettings or None
        How photographs are decoded; None for a mask or a picture that is no photograph of a run, whose refusals name
        no setting.

    Raises
    ------
    DataError
        If it is of another format, animated, has several pages, another depth than ``settings`` say, or too many
        pixels, is of a kind of which decoders make different pixels, or a PNG with a wrong check sum.
    """
    try:
        if (size := still_webp_size(content)) is not None:  # Pillow makes room for the pixels when it opens the file
            _require_size(*size, path, most_pixels)
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        depth = _bits(image, content)
    except UNREADABLE as error:
        what = f"none of {', '.join(FORMATS)} as read" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(
            f"{shown(path)}: not a readable image ({what}); save it as PNG of 8 bits, or replace the file"
        ) from error
    _require_size(*image.size, path, most_pixels)
    _require_depth(image, depth, path, settings)
    if getattr(image, "is_animated", False) and image.format != "MPO":  # of which the first is the photograph
        raise DataError(f"{shown(path)}: several pictures in one file, expected one; save the wanted one alone")
    require_one_meaning(image, content, path, settings)
    if image.format == "PNG":
        _verify_png(content, path)
    return image


def _require_size(width: int, height: int, path: Path, most_pixels: int) -> None:
    size = f"{shown(path)}: {width} x {height} px"
    if max(width, height) > MAX_SIDE_PX:
        raise DataError(f"{size}, expected at most {MAX_SIDE_PX} px a side; use a smaller image")
    if width * height > most_pixels:
        raise DataError(
            f"{size} is more than the limit of {most_pixels} px; use a smaller image, or raise data.image_px_max if "
            "this one is right"
        )


def _require_depth(image: Image.Image, depth: int, path: Path, settings: PixelSettings | None) -> None:
    if deep(settings):
        if depth != 16:
            raise DataError(
                f"{shown(path)}: {depth} bits per channel, expected 16, as data.depth maps all photographs alike; "
                "convert the file, or set data.depth: null if no photograph has 16"
            )
    elif depth > 8:
        remedy = "convert the file"
        if settings is not None and depth == 16:
            remedy += ", or set data.depth: {black: 0, white: 65535} (or the camera's range) if all photographs are so"
        raise DataError(f"{shown(path)}: mode {image.mode}, {depth} bits per channel, expected 8; {remedy}")


def _bits(image: Image.Image, content: bytes) -> int:
    """Bits per channel in the file, which Pillow's mode does not tell: it reads 16-bit RGB as 8-bit."""
    if image.format == "PNG":
        if content[12:16] != b"IHDR":
            raise ValueError("the header does not come first")
        return content[24]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(BITS, (1,))))
    return 8


def decoded(image: Image.Image, path: Path) -> npt.NDArray[Any]:
    """Decode all pixels of an image, (H, W) or (H, W, C) as stored, never turned. DataError for damaged files."""
    try:
        return np.asarray(as_stored(image))
    except UNREADABLE as error:
        raise DataError(f"{shown(path)}: the image is truncated or damaged ({error}); replace the file") from error


def orientation_note(path: Path, most_pixels: int = MAX_PIXELS, settings: PixelSettings | None = None) -> str:
    """Say what became of an image's orientation tag, for a message about its size; empty where it turns nothing.

    Raises DataError if the image cannot be opened.
    """
    with opened_image(read_image_file(path, most_pixels, settings), path, most_pixels, settings) as image:
        tag = orientation(image)
    if tag == 1:
        return ""
    if settings is not None and settings.orientation == "exif":
        return f"; {shown(path)} is turned by its orientation tag {tag}, as data.orientation says, its mask is not"
    return (
        f"; the orientation tag {tag} of {shown(path)} is ignored, pixels are taken as they are stored: turn the other "
        "file back, or save this one turned and without the tag"
    )


def _verify_png(content: bytes, path: Path) -> None:
    """Check the sums of a PNG without decoding it; DataError if one is wrong or the file ends too early."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.verify()
    except UNREADABLE as error:
        raise DataError(f"{shown(path)}: the image is truncated or damaged ({error}); replace the file") from error
