"""Images, masks and maps on disk: defensive decoding, plain formats."""

import hashlib
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from seamark.errors import DataError, ManifestError
from seamark.files.conversion import laid_on, to_8_bits, turned, turned_size
from seamark.files.image_checks import (
    MAX_PIXELS,
    MOST_BYTES_PER_PIXEL,
    PNG_SIGNATURE,
    SPARE_BYTES,
    decoded,
    deep,
    opened_image,
    read_image_file,
)
from seamark.files.image_kinds import alpha_remedy, orientation, stored_size, white_is_zero
from seamark.files.plain import GREY_MODES, UNREADABLE, require_plain_file, shown
from seamark.files.wholeness import upright_tiff
from seamark.settings.pixels import PixelSettings

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
IntegerArray = npt.NDArray[np.integer[Any]]
UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

RUN_LENGTHS = (
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
)
"""Options with which masks take the least time and space as PNG: no filters, run lengths."""


def array_digest(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of an array's type, shape and values, 64 hexadecimal digits."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class _Form(NamedTuple):
    """What the header of a photograph says of its pixels."""

    channels: Literal[1, 3]
    """Of the photograph that is made of them."""
    alpha: bool


def _form(image: Image.Image, content: bytes, path: Path, settings: PixelSettings | None) -> _Form:
    """Say what an opened photograph is made of; DataError, with the setting by which it is read, if it is refused."""
    fault = f"{shown(path)}: mode {image.mode}, expected {16 if deep(settings) else 8}-bit grey (L) or RGB; convert the"
    if image.mode not in (*GREY_MODES, "RGB", "RGBA", "P"):
        raise DataError(f"{fault} file")
    if image.mode == "P" and not (settings and settings.palette):
        raise DataError(f"{fault} file{', or set data.palette: true to look its colours up' if settings else ''}")
    if image.mode not in ("LA", "RGBA") and not (image.mode == "P" and "transparency" in image.info):
        return _Form(1 if image.mode in GREY_MODES else 3, alpha=False)
    if settings is None or settings.alpha_over is None:
        raise DataError(f"{fault} file{alpha_remedy(settings)}")
    grey = image.mode == "LA" or (image.format == "PNG" and content[25] == 4)  # Pillow takes 16-bit LA for RGBA
    if grey and len({*settings.alpha_over}) > 1:
        raise DataError(
            f"{shown(path)}: grey with an alpha channel, but data.alpha_over {list(settings.alpha_over)} is no grey; "
            "set three equal values, or convert the file to RGB with alpha"
        )
    return _Form(1 if grey else 3, alpha=True)


def _is_plain_png(content: bytes) -> bool:
    """Whether the header is that of a PNG with 8-bit grey or RGB pixels that are not interlaced."""
    return content[:8] == PNG_SIGNATURE and content[24] == 8 and content[25] in (0, 2) and content[28] == 0


def _decode_plain_png(content: bytes, path: Path) -> UInt8Array:
    """Decode with OpenCV, a third faster than Pillow, which has found all check sums intact."""
    colour = content[25] == 2
    kind = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    return np.asarray(_by_opencv(content, path, kind | cv2.IMREAD_IGNORE_ORIENTATION), dtype=np.uint8)


def _by_opencv(content: bytes, path: Path, kind: int) -> IntegerArray:
    """Decode to (H, W), (H, W, 3) of RGB or (H, W, 4) of RGBA."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), kind)
    except cv2.error as error:
        raise DataError(f"{shown(path)}: the image is damaged ({error}); replace the file") from error
    if pixels is None:
        raise DataError(f"{shown(path)}: the image is truncated or damaged; replace the file")
    if pixels.ndim == 2:
        return np.asarray(pixels)
    order = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(pixels, order, dst=pixels))


def _stored(image: Image.Image, content: bytes, path: Path, settings: PixelSettings | None) -> IntegerArray:
    """Decode a photograph as it is stored: uint8 or uint16 (H, W), or (H, W, channels), alpha last.

    Pillow keeps 8 bits of 16, and takes four times the memory for WebP.
    """
    if image.format == "TIFF" and deep(settings):
        pixels = _by_opencv(upright_tiff(content, path), path, cv2.IMREAD_UNCHANGED)
        return ~pixels if white_is_zero(image) else pixels
    if image.format == "WEBP" or deep(settings):
        return _by_opencv(content, path, cv2.IMREAD_UNCHANGED)
    if _is_plain_png(content):
        return _decode_plain_png(content, path)
    if image.mode != "P":
        return decoded(image, path)
    image.apply_transparency()
    indices, colours = decoded(image, path), np.reshape(image.getpalette("RGBA") or (), (-1, 4)).astype(np.uint8)
    _used_colours(indices, len(colours), path)
    return np.asarray(colours[indices])


def photograph_header(
    content: bytes, path: Path, most_pixels: int = MAX_PIXELS, settings: PixelSettings | None = None
) -> tuple[int, int, Literal[1, 3]]:
    """Check that a photograph can be read, as far as that can be said of a PNG without decoding it.

    Returns width and height in px and the number of channels. Raises DataError as :func:`decode_image`; pixels behind a
    right check sum may still turn out damaged.
    """
    with opened_image(content, path, most_pixels, settings) as image:
        channels = _form(image, content, path, settings).channels
        if image.format == "PNG":
            return *turned_size(*image.size, _turn(image, settings)), channels
    height, width = decode_image(content, path, most_pixels, settings).shape[:2]
    return width, height, channels


def _turn(image: Image.Image, settings: PixelSettings | None) -> int:
    """Return the orientation tag by which a photograph is turned."""
    return orientation(image) if settings is not None and settings.orientation == "exif" else 1


def decode_image(
    content: bytes, path: Path, most_pixels: int = MAX_PIXELS, settings: PixelSettings | None = None
) -> UInt8Array:
    """Decode a photograph that has been read from ``path`` already: uint8 (H, W, C), C is 1 for grey and 3 for RGB.

    Parameters
    ----------
    content, path : bytes, Path
        The file.
    most_pixels : int
        Pixels that it may have.
    settings : PixelSettings or None
        What is made of 16 bits, alpha, palettes and orientation tags. By default, and with None, such files are refused
        and pixels come as they are stored; with None, for pictures that are no photographs of a run, messages name no
        setting.

    Raises
    ------
    DataError
        If the file is damaged, has more than ``most_pixels``, or is none of those that the settings let in.
    """
    with opened_image(content, path, most_pixels, settings) as image:
        form, (width, height), turn = _form(image, content, path, settings), stored_size(image), _turn(image, settings)
        stored = np.atleast_3d(_stored(image, content, path, settings))
        # OpenCV makes four channels of 16-bit grey with alpha, and of 16-bit RGB with one transparent colour.
        counts = {form.channels + form.alpha} | ({4} if deep(settings) or image.mode == "P" else set())
    whole = stored.shape[:2] == (height, width) and stored.shape[2] in counts
    if not whole or stored.dtype != (np.uint16 if deep(settings) else np.uint8):
        raise DataError(f"{shown(path)}: the image has two headers that do not agree; replace the file")
    pixels, alpha = stored[:, :, : form.channels], stored[:, :, -1]
    if settings is not None:
        pixels = to_8_bits(pixels, settings.depth) if settings.depth else pixels
        if form.alpha and settings.alpha_over:
            pixels = laid_on(pixels, alpha, settings.alpha_over)
    return np.ascontiguousarray(turned(pixels, turn), dtype=np.uint8)


def read_image(path: Path, most_pixels: int = MAX_PIXELS, settings: PixelSettings | None = None) -> UInt8Array:
    """Read and decode a photograph as :func:`decode_image` does; raises DataError, too, if the file is missing."""
    return decode_image(read_image_file(path, most_pixels, settings), path, most_pixels, settings)


def read_mask(path: Path, most_pixels: int = MAX_PIXELS, *, labels: bool = False) -> BoolArray:
    """Decode a binary mask: bool (H, W), True where it is 255.

    The file has a single channel of 0 (good) and 255 (defect), of 1 or 8 bits or with a palette of these. Where values
    are ``labels``, all but 0 are a defect, whatever their colours.

    Raises
    ------
    DataError
        If the file is missing, damaged, has several channels or any other value: a soft mask is never thresholded.
    """
    content = read_image_file(path, most_pixels)
    with opened_image(content, path, most_pixels) as image:
        if image.mode not in ("L", "1", "P"):
            raise DataError(
                f"{shown(path)}: mode {image.mode}, expected one channel with values 0 and 255; convert the file"
            )
        pixels = decoded(image, path)
        if image.mode == "1":
            return pixels.view(np.uint8) > 0  # Pillow's True is 255, whose digest would be another one
        if labels:
            return np.asarray(pixels > 0, np.bool_)
        if image.mode == "P":
            return _white(pixels, np.reshape(image.getpalette() or (), (-1, 3)), path)
    if (pixels + np.uint8(1)).max() > 1:  # among bytes, 0 and 255 alone become 1 and 0
        strange = np.unique(pixels[(pixels != 0) & (pixels != 255)])
        raise DataError(
            f"{shown(path)}: mask values {strange[:5].tolist()} besides 0 and 255; threshold the file yourself"
        )
    return pixels > 0


def _white(pixels: UInt8Array, palette: Int64Array, path: Path) -> BoolArray:
    """Look up indices, (H, W), in a palette, (colours, 3), of which all that are used are black or white."""
    used = _used_colours(pixels, len(palette), path)
    strange = [colour for colour in palette[used].tolist() if colour not in ([0, 0, 0], [255, 255, 255])]
    if strange:
        raise DataError(
            f"{shown(path)}: mask colours {strange[:5]} besides black and white; threshold the file yourself"
        )
    white = palette[:, 0] == 255
    return np.asarray(white[pixels], dtype=np.bool_)


def _used_colours(indices: UInt8Array, colours: int, path: Path) -> Int64Array:
    used = np.flatnonzero(np.bincount(indices.ravel()))
    if used[-1] >= colours:
        raise DataError(
            f"{shown(path)}: a pixel has colour {used[-1]} of a palette of {colours}; save it without a palette"
        )
    return used


def write_mask(path: Path, mask: BoolArray) -> None:
    """Write a binary mask as an 8-bit PNG of 0 and 255.

    Parameters
    ----------
    path : Path
        Target; its folder must exist.
    mask : ndarray of bool, shape (H, W)
        True becomes 255.
    """
    pixels = mask.astype(np.uint8) * np.uint8(255)
    path.write_bytes(cv2.imencode(".png", pixels, RUN_LENGTHS)[1].tobytes())


def write_map(path: Path, anomaly_map: Float32Array) -> None:
    """Write an anomaly map, float32 (H, W), as an uncompressed TIFF that Pillow, OpenCV and ImageJ open.

    Its folder must exist. Raises DataError if a score is not finite.
    """
    if not np.isfinite(anomaly_map).all():
        raise DataError(f"{path}: the anomaly map has {int((~np.isfinite(anomaly_map)).sum())} non-finite scores")
    tifffile.imwrite(path, anomaly_map.astype(np.float32, copy=False), metadata=None)


def read_map(path: Path, shape: tuple[int, int] | None = None) -> Float32Array:
    """Read an anomaly map that :func:`write_map` wrote, float32 (H, W), of the shape that the manifest promises.

    Raises
    ------
    ManifestError
        If the file is missing, damaged, of another shape or dtype, or holds a non-finite score.
    """
    try:
        pixels = _read_float32(path, shape)
    except UNREADABLE as error:
        raise ManifestError(
            f"{path}: cannot read the anomaly map ({error}); rebuild the stage that wrote it"
        ) from error
    if not np.isfinite(pixels).all():
        raise ManifestError(f"{path}: the anomaly map has non-finite scores; rebuild the stage that wrote it")
    return pixels


def _read_float32(path: Path, shape: tuple[int, int] | None) -> Float32Array:
    """Read the only page of a TIFF; its pixels are read only if its header is that of a map."""
    require_plain_file(path, MOST_BYTES_PER_PIXEL * math.prod(shape or (MAX_PIXELS,)) + SPARE_BYTES)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        found = page.shape
        if page.dtype != np.float32 or len(found) != 2 or (shape is not None and found != shape):
            raise ValueError(f"expected float32 of shape {shape or '(H, W)'}, found {page.dtype} {found}")
        if not page.is_contiguous:
            raise ValueError("expected uncompressed pixels in one piece")
        return np.asarray(page.asarray(), dtype=np.float32)
