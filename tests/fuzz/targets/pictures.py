"""Photographs, masks, maps and submitted files."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from tests.fuzz.targets.base import Target

from seamark.errors import DataError
from seamark.files.images import decode_image, photograph_header, read_map, read_mask
from seamark.settings.pixels import DepthSettings, PixelSettings

MOST_PX = 1 << 20
"""Limit that the targets set; with 16 bytes per px that is 16 MB, and the rest of the bound is the decoders' own."""
CONVERTED = PixelSettings(alpha_over=(7, 7, 7), palette=True, orientation="exif")
CAMERA = {"depth": DepthSettings(black=9, white=4095)}
WAYS = (PixelSettings(), CONVERTED, PixelSettings().model_copy(update=CAMERA), CONVERTED.model_copy(update=CAMERA))
"""Settings that each picture is read with; without any first."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def picture(mode: str, side: int = 12) -> Image.Image:
    """Return a small picture of noise in any mode."""
    noise = np.random.default_rng(3).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a part of a PNG with its check sum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def raw_png(width: int, height: int, depth: int, colour: int, content: bytes) -> bytes:
    """Return a PNG with any header."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


def with_right_sums(content: bytes) -> bytes:
    """Return a PNG whose check sums are right, so that what lies behind them is reached."""
    repaired, place = bytearray(content), len(SIGNATURE)
    while place + 12 <= len(repaired):
        size = int.from_bytes(repaired[place : place + 4], "big")
        end = place + 8 + size
        if end + 4 > len(repaired):
            break
        repaired[end : end + 4] = struct.pack(">I", zlib.crc32(repaired[place + 4 : end]))
        place = end + 4
    return bytes(repaired)


def refusal(content: bytes, path: Path, settings: PixelSettings) -> DataError | None:
    """Index and decode with some settings, and return why it is refused."""
    header: tuple[int, int, int] | None = None
    with suppress(DataError):
        header = photograph_header(content, path, MOST_PX, settings)
    try:
        pixels = decode_image(content, path, MOST_PX, settings)
    except DataError as error:
        return error
    assert header is not None, "decoded although the index refused it"
    assert pixels.shape == (header[1], header[0], header[2])
    assert pixels.dtype == np.uint8
    return None


def read_photograph(content: bytes, folder: Path) -> None:
    """Index, decode and read as a mask."""
    content = with_right_sums(content) if content[:8] == SIGNATURE and content[-1] & 1 == 0 else content
    path = folder / "x.png"
    path.write_bytes(content)
    refused, *_ = [refusal(content, path, settings) for settings in WAYS]
    try:
        mask = read_mask(path, MOST_PX)
        assert mask.dtype == np.bool_
        assert mask.size <= MOST_PX
    except DataError:
        if refused:
            raise


def pngs() -> list[bytes]:
    """PNG of every kind, and a few that lie."""
    files = [saved(picture(mode), "PNG") for mode in ("L", "RGB", "P", "1", "LA", "RGBA", "I;16")]
    files += [saved(picture("L"), "PNG", transparency=7), saved(picture("RGB"), "PNG", icc_profile=b"none")]
    files += [raw_png(4, 4, 16, colour, bytes(range(4 * 33))) for colour in (4, 6)]
    files.append(saved(picture("L"), "PNG", save_all=True, append_images=[picture("L")]))
    files += [raw_png(4, 4, 16, 2, bytes(100)), raw_png(1 << 30, 1 << 30, 8, 2, bytes(100)), raw_png(9, 9, 8, 0, b"")]
    return [*files, raw_png(8, 8, 4, 0, bytes(40)), raw_png(1 << 20, 1, 8, 0, bytes(1 << 21)), b"", SIGNATURE]


def deep_tiff(pixels: npt.NDArray[np.uint16], compression: int) -> bytes:
    """Return a 16-bit TIFF, also with LZW (5), which tifffile does not write."""
    return bytes(cv2.imencode(".tif", pixels, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1])


def tiffs() -> list[bytes]:
    """TIFF of several kinds and compressions."""
    kinds = [saved(picture(mode), "TIFF") for mode in ("L", "RGB", "P", "1", "RGBA", "CMYK", "F", "I;16", "LAB")]
    packed = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    kinds += [saved(picture("RGB"), "TIFF", compression=name) for name in packed]
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((9, 9, 3), np.uint16), photometric="rgb")
    deep = np.random.default_rng(4).integers(0, 1 << 16, (9, 9, 4), np.uint16)
    kinds += [deep_tiff(deep[..., :channels], compression) for channels in (1, 3, 4) for compression in (1, 5)]
    return [*kinds, saved(picture("1"), "TIFF", compression="group4"), stream.getvalue()]


def jpegs() -> list[bytes]:
    """JPEG of several kinds."""
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [saved(picture(mode, 17), "JPEG") for mode in ("L", "RGB", "CMYK")]
    kinds += [saved(picture("RGB", 17), "JPEG", progressive=True), saved(picture("RGB", 17), "JPEG", exif=exif)]
    return [*kinds, saved(picture("RGB"), "MPO", save_all=True, append_images=[picture("RGB")])]


def bitmaps() -> list[bytes]:
    """BMP of several kinds, and formats that are not read."""
    others = [saved(picture("RGB"), kind) for kind in ("GIF", "PPM", "TGA", "EPS")]
    return [*(saved(picture(mode), "BMP") for mode in ("L", "RGB", "RGBA", "P", "1")), *others]


def webps() -> list[bytes]:
    """WebP of every kind."""
    exif = Image.Exif()
    exif[0x0112] = 6
    see_through = picture("RGB", 17)
    see_through.putalpha(picture("L", 17))
    kinds = [
        saved(image, "WEBP", lossless=lossless) for image in (picture("RGB", 17), see_through) for lossless in (0, 1)
    ]
    kinds += [saved(see_through, "WEBP", exif=exif), saved(picture("RGB"), "WEBP", icc_profile=b"none")]
    return [*kinds, saved(picture("RGB"), "WEBP", save_all=True, append_images=[see_through.resize((12, 12))])]


def float_tiffs() -> list[bytes]:
    """Maps as they are written, and others."""
    files = []
    for pixels, options in (
        (np.ones((6, 11), np.float32), {}),
        (np.ones((6, 11), np.float16), {}),
        (np.ones((2, 6, 11), np.float32), {}),
        (np.full((6, 11), np.nan, np.float32), {}),
        (np.ones((32, 32), np.float32), {"tile": (16, 16)}),
        (np.ones((6, 11), np.float32), {"ome": True}),
    ):
        stream = io.BytesIO()
        tifffile.imwrite(stream, pixels, **options)  # type: ignore[arg-type]
        files.append(stream.getvalue())
    return files


def read_maps(content: bytes, folder: Path) -> None:
    """Read as a map of a known size, and of any."""
    path = folder / "x.tiff"
    path.write_bytes(content)
    for shape in ((6, 11), None):
        pixels = read_map(path, shape)
        assert pixels.dtype == np.float32
        assert pixels.ndim == 2


TARGETS = {
    "png": Target(pngs, read_photograph),
    "tiff": Target(tiffs, read_photograph),
    "jpeg": Target(jpegs, read_photograph),
    "bitmap": Target(bitmaps, read_photograph),
    "webp": Target(webps, read_photograph),
    "map": Target(float_tiffs, read_maps),
}
