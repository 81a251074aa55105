"""Images, masks and maps on disk: defensive decoding, plain formats."""

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from seamark.errors import DataError, ManifestError

MAX_PIXELS = 1 << 28
"""Largest image that is decoded, in px (268 Mpx)."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


def array_digest(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of an array's type, shape and values.

    Parameters
    ----------
    array : ndarray
        Any shape and dtype.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: the image is missing; put it back or rebuild the index") from error
    except OSError as error:
        raise DataError(f"{path}: not a readable image ({error}); replace the file") from error


def _open(content: bytes, path: Path) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a readable image ({error}); replace the file") from error
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{path}: {image.width} x {image.height} px is more than the limit of {MAX_PIXELS} px")
    return image


def _decode(image: Image.Image, path: Path) -> npt.NDArray[Any]:
    try:
        return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: the image is truncated or damaged ({error}); replace the file") from error


def _is_plain_png(content: bytes) -> bool:
    """Whether the header is that of a PNG with 8-bit grey or RGB pixels that are not interlaced."""
    return content[:8] == PNG_SIGNATURE and content[24] == 8 and content[25] in (0, 2) and content[28] == 0


def _decode_plain_png(content: bytes, path: Path) -> UInt8Array:
    """Decode with OpenCV, a third faster than Pillow, after Pillow has found all check sums intact."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: the image is truncated or damaged ({error}); replace the file") from error
    colour = content[25] == 2
    kind = (cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), kind)
    if pixels is None:
        raise DataError(f"{path}: the image is truncated or damaged; replace the file")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels) if colour else pixels, dtype=np.uint8)


def decode_image(content: bytes, path: Path) -> UInt8Array:
    """Decode a photograph whose file has been read already.

    Parameters
    ----------
    content : bytes
        The file: an 8-bit grey or RGB image. Orientation tags are ignored, as by the benchmark.
    path : Path
        Where it was read, for messages.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
        C is 1 for grey and 3 for RGB, values 0..255.

    Raises
    ------
    DataError
        If the file is damaged, too large or neither 8-bit grey nor RGB.
    """
    with _open(content, path) as image:
        if image.mode not in ("L", "RGB"):
            raise DataError(f"{path}: mode {image.mode}, expected 8-bit grey (L) or RGB; convert the file")
        pixels = _decode_plain_png(content, path) if _is_plain_png(content) else _decode(image, path)
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels


def read_image(path: Path) -> UInt8Array:
    """Read and decode a photograph.

    Parameters
    ----------
    path : Path
        An 8-bit grey or RGB image. Orientation tags are ignored, as by the benchmark.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
        C is 1 for grey and 3 for RGB, values 0..255.

    Raises
    ------
    DataError
        If the file is missing, damaged, too large or neither 8-bit grey nor RGB.
    """
    return decode_image(_read_bytes(path), path)


def read_mask(path: Path) -> BoolArray:
    """Decode a binary mask.

    Parameters
    ----------
    path : Path
        An 8-bit single-channel PNG whose values are 0 (good) and 255 (defect).

    Returns
    -------
    ndarray of bool, shape (H, W)
        True where the mask is 255.

    Raises
    ------
    DataError
        If the file is missing, damaged, has several channels or any other value: a soft mask is never thresholded.
    """
    with _open(_read_bytes(path), path) as image:
        if image.mode not in ("L", "1", "P"):
            raise DataError(f"{path}: mode {image.mode}, expected one channel with values 0 and 255; convert the file")
        pixels = _decode(image if image.mode == "L" else image.convert("L"), path)
    strange = np.unique(pixels[(pixels != 0) & (pixels != 255)])
    if strange.size:
        raise DataError(f"{path}: mask values {strange[:5].tolist()} besides 0 and 255; threshold the file yourself")
    return pixels > 0


def write_mask(path: Path, mask: BoolArray) -> None:
    """Write a binary mask as an 8-bit PNG of 0 and 255.

    Parameters
    ----------
    path : Path
        Target; its folder must exist.
    mask : ndarray of bool, shape (H, W)
        True becomes 255.
    """
    path.write_bytes(_encode_png(mask.astype(np.uint8) * np.uint8(255)))


def _encode_png(pixels: UInt8Array) -> bytes:
    """Encode grey pixels (H, W) without filters and with run lengths.

    For masks that takes a third of the time of Pillow's or OpenCV's search for filters and matches, and the file is a
    third as large.
    """
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with the number of its filter, 0 for none
    rows[:, 1:] = pixels
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = compressor.compress(rows.data) + compressor.flush()
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def write_map(path: Path, anomaly_map: Float32Array) -> None:
    """Write an anomaly map as an uncompressed float32 TIFF that Pillow, OpenCV and ImageJ open.

    Parameters
    ----------
    path : Path
        Target; its folder must exist.
    anomaly_map : ndarray of float32, shape (H, W)
        Finite scores of any range.

    Raises
    ------
    DataError
        If a score is not finite.
    """
    if not np.isfinite(anomaly_map).all():
        raise DataError(f"{path}: the anomaly map has {int((~np.isfinite(anomaly_map)).sum())} non-finite scores")
    tifffile.imwrite(path, anomaly_map.astype(np.float32, copy=False), metadata=None)


def read_map(path: Path, shape: tuple[int, int] | None = None) -> Float32Array:
    """Read an anomaly map that :func:`write_map` wrote.

    Parameters
    ----------
    path : Path
        Float32 TIFF.
    shape : tuple of int, optional
        Height and width that the manifest promises.

    Returns
    -------
    ndarray of float32, shape (H, W)
        The scores.

    Raises
    ------
    ManifestError
        If the file is missing, damaged, of another shape or dtype, or holds a non-finite score.
    """
    try:
        pixels = tifffile.imread(path)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ManifestError(
            f"{path}: cannot read the anomaly map ({error}); rebuild the stage that wrote it"
        ) from error
    if pixels.dtype != np.float32 or pixels.ndim != 2 or (shape is not None and pixels.shape != shape):
        raise ManifestError(
            f"{path}: expected float32 of shape {shape or '(H, W)'}, found {pixels.dtype} {pixels.shape}; "
            "rebuild the stage that wrote it"
        )
    if not np.isfinite(pixels).all():
        raise ManifestError(f"{path}: the anomaly map has non-finite scores; rebuild the stage that wrote it")
    return pixels
