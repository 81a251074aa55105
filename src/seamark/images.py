"""Images, masks and maps on disk: defensive decoding, plain formats."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from seamark.errors import DataError, ManifestError

MAX_PIXELS = 1 << 28
"""Largest image that is decoded, in px (268 Mpx)."""

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


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: the image is missing; put it back or rebuild the index") from error
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


def read_image(path: Path) -> UInt8Array:
    """Decode a photograph.

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
    with _open(path) as image:
        if image.mode not in ("L", "RGB"):
            raise DataError(f"{path}: mode {image.mode}, expected 8-bit grey (L) or RGB; convert the file")
        pixels = _decode(image, path)
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels


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
    with _open(path) as image:
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
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255), mode="L").save(path, format="PNG", compress_level=1)


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
