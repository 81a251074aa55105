"""Reading photographs as they were when they were indexed."""

import hashlib
from pathlib import Path

from seamark.errors import DataError
from seamark.files.image_checks import read_image_file
from seamark.files.images import UInt8Array, decode_image
from seamark.manifests.index import ImageRecord
from seamark.repair import repair_command


def read_indexed(record: ImageRecord, root: Path, index: Path | None = None) -> UInt8Array:
    """Read an image once, make sure that it is the one that was indexed, and decode it to uint8 (H, W, C).

    Raises DataError, which names the manifest ``index``, if the file is missing, damaged, or its digest or its size is
    not the indexed one.
    """
    path = root / record.file
    rerun = f"rerun index with: {repair_command(index)}" if index else "rerun index"
    if not path.is_file():
        raise DataError(f"{path}: the image is missing; put it back or {rerun}")
    content = read_image_file(path, record.width * record.height, record.pixels)
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise DataError(
            f"{path}: the file has changed since it was indexed (its digest differs); put it back or {rerun}"
        )
    image = decode_image(content, path, record.width * record.height, record.pixels)
    indexed = (record.height, record.width, record.channels)
    if image.shape != indexed:
        raise DataError(
            f"{path}: height, width and channels are {image.shape}, the index says {indexed}; the image has changed "
            f"since it was indexed; {rerun}"
        )
    return image
