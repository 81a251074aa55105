"""Reading files that others wrote: plain files of a bounded size, in one go."""

import errno
import os
import stat
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
"""Image formats whose decoders are used, whatever a file is called; others of Pillow's start foreign programs."""
GREY_MODES = ("L", "LA", "I;16", "I;16B")
"""Pillow's modes of grey photographs."""
IMAGE_SUFFIXES = {".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
RENAMED_SUFFIXES = {".jfif": ".jpg", ".jif": ".jpg", ".jpe": ".jpg", ".pjpeg": ".jpg", ".mpo": ".jpg", ".dib": ".bmp"}
"""Suffixes that are not looked for although the content is read; renamed, such a file is."""
OTHER_KINDS = (
    "heic heif hif avif jxl jp2 j2k jpx gif apng tga ico psd jxr ppm pgm pbm pnm pfm pcx sgi rgb dds exr hdr npy "
    "npz dcm fits nrrd mhd nii czi raw dng cr2 cr3 nef arw sr2 orf rw2 raf pef srw 3fr x3f"
)
OTHER_IMAGE_SUFFIXES = {f".{kind}" for kind in OTHER_KINDS.split()}
"""Suffixes of images that are not read."""
MOST_EXAMPLES = 3
MANIFEST_BYTES = 1 << 28
"""Largest JSON or YAML file that is read; manifests of a thousand images with a hundred tiles each have 10 MB."""


UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    zlib.error,
)
"""What decoders of other packages raise on damaged files, as found by feeding them such."""


def require_plain_file(path: Path, most_bytes: int) -> None:
    """Refuse, by an OSError, what is missing, no plain file, or larger; links are followed.

    Pipes, devices and folders are refused before they are opened, because reading may never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a plain file but a folder, a pipe or a device")
    if status.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"{status.st_size} bytes, expected at most {most_bytes}")


def read_plain_file(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a plain file; OSError if it is unreadable, or refused by :func:`require_plain_file`."""
    require_plain_file(path, most_bytes)
    return path.read_bytes()


def looked_for(path: str | os.PathLike[str]) -> str:
    """Return a path that is missing, a relative one with the folder in which it was looked for."""
    return shown(path) if Path(path).is_absolute() else f"{shown(path)} (looked for in {shown(Path.cwd())})"


def shown(name: str | os.PathLike[str]) -> str:
    """Return a name as it may be printed: with escapes where it holds line breaks, control codes or broken UTF-8."""
    text = os.fspath(name)
    return text if text.isprintable() else ascii(text)


def examples(names: Sequence[str]) -> tuple[str, ...]:
    """Return at most three of many names as they may be printed, and how many more there are."""
    more = (f"{len(names) - MOST_EXAMPLES} more",) if len(names) > MOST_EXAMPLES else ()
    return (*map(shown, names[:MOST_EXAMPLES]), *more)
