"""Files of each row of the table of docs/photographs.md, what they hold, and what a refusal says."""

import io
import re
import struct
import zlib

import numpy as np
from PIL import Image
from tests.fuzz.targets.pictures import picture, raw_png, saved
from tests.hostile.image_files import (
    BLACK_WHITE,
    COLOUR,
    GREYS,
    INDICES,
    NOISE,
    SPOTS,
    File,
    adam7,
    bits_of,
    bmp,
    by_tifffile,
    exif,
    jpeg,
    lined,
    pages,
    png,
    tiff,
    turned_bits,
    with_sub_image,
    xmp,
)

COLOURS = "mode RGB, expected one channel with values 0 and 255"
GREY = "expected 8-bit grey"
SOFT = "besides 0 and 255"
SEVERAL = "several pictures in one file"
UNKNOWN = "none of PNG, JPEG, BMP, TIFF, WEBP"
PARTS = "strips or tiles"
PALETTE = "grey palette of other colours"
TWO = struct.pack(">IIB", 1000, 3000, 1)
RAMP_8 = {320: (0, 255, *[0] * 254) * 3}


def refused(content, message):
    return File(content, None, message, message)


def read(content, pixels=SPOTS):
    return File(content, pixels)


def one_bit(content, pixels=SPOTS):
    return File(content, pixels, photograph=GREY)


def in_colour(content, pixels=COLOUR):
    return File(content, pixels, mask=COLOURS)


def palette(*colours):
    return b"PLTE", b"".join(map(bytes, colours))


def as_tiff(pixels, **options):
    return saved(Image.fromarray(pixels), "TIFF", **options)


FILES = {
    "8-bit grey": [
        *(read(saved(Image.fromarray(SPOTS), kind)) for kind in ("PNG", "BMP", "TIFF")),
        *(File(saved(Image.fromarray(NOISE), kind), NOISE, mask=SOFT) for kind in ("PNG", "BMP", "TIFF")),
    ],
    "8-bit RGB": [in_colour(saved(Image.fromarray(COLOUR), kind)) for kind in ("PNG", "BMP", "TIFF")],
    "grey of 2 or 4 bits": [
        *(read(raw_png(24, 16, bits, 0, lined(bits_of(INDICES * (2**bits - 1), bits)))) for bits in (2, 4)),
        *(
            File(write(NOISE // step * step, bits), NOISE // step * step, mask=SOFT)
            for bits, step in ((2, 85), (4, 17))
            for write in (
                lambda grey, bits: raw_png(24, 16, bits, 0, lined(bits_of(grey // (255 // (2**bits - 1)), bits))),
                lambda grey, bits: tiff(grey, {258: bits}, bits_of(grey // (255 // (2**bits - 1)), bits).tobytes()),
            )
        ),
    ],
    "1 bit": [
        *(one_bit(saved(Image.fromarray(SPOTS).convert("1"), kind)) for kind in ("PNG", "BMP", "TIFF")),
        one_bit(bmp(bits_of(INDICES, 1), 24, 1, BLACK_WHITE[::-1]), 255 - SPOTS),
    ],
    "palette": [
        one_bit(png(INDICES, palette(*BLACK_WHITE, (3, 4, 5)), colour=3)),
        one_bit(png(INDICES, palette(*BLACK_WHITE[::-1]), (b"tRNS", b"\0\x80"), colour=3), 255 - SPOTS),
        one_bit(bmp(INDICES, 24, 8, BLACK_WHITE[::-1], colours=2), 255 - SPOTS),
        one_bit(bmp(bits_of(INDICES * 15, 4), 24, 4, [(0, 0, 0)] * 15 + [(255, 255, 255)])),
        one_bit(tiff(INDICES, {262: 3, 320: (0, 65535, *[7] * 254) * 3})),
        *(
            File(png(INDICES, palette(*pair), colour=3), None, GREY, "besides black and white; threshold")
            for pair in (((0, 0, 0), (255, 255, 254)), ((0, 0, 4), (255, 255, 255)), ((0, 0, 0), (255, 0, 0)))
        ),
    ],
    "palette without a colour that a pixel has, TIFF palette of 8-bit colours": [
        File(png(SPOTS, palette(*BLACK_WHITE), colour=3), None, GREY, "colour 255 of a palette of 2"),
        File(bmp(SPOTS, 24, 8, [*BLACK_WHITE, (1, 2, 3)], colours=3), None, GREY, "colour 255 of a palette of 3"),
        refused(tiff(INDICES, {262: 3} | RAMP_8), "a palette of 8-bit colours"),
    ],
    "grey or RGB with an alpha channel or another one": [
        *(File(saved(picture(mode), "PNG"), None, f"mode {mode}", f"mode {mode}") for mode in ("LA", "RGBA")),
        File(saved(Image.fromarray(np.dstack([COLOUR, NOISE])), "WEBP"), None, "mode RGBA", "mode RGBA"),
        *(
            refused(tiff(np.dstack([COLOUR, SPOTS]), {338: kind}), "4 channels, expected 3; flatten")
            for kind in (0, 1, 2)
        ),
        *(refused(tiff(np.dstack([SPOTS, SPOTS]), {338: kind}), "2 channels, expected 1; flatten") for kind in (0, 2)),
        refused(tiff(np.dstack([INDICES, SPOTS]), {262: 3, 338: 0, 320: (0, 65535, *[0] * 254) * 3}), "2 channels"),
        refused(tiff(np.dstack([COLOUR, SPOTS]), {32995: 1}), "4 channels"),
        *(
            refused(
                by_tifffile(
                    np.stack([SPOTS] * 4),
                    photometric="rgb",
                    planarconfig="separate",
                    extrasamples=[0],
                    compression=name,
                ),
                f"4 channels|{UNKNOWN}",
            )
            for name in (None, "zlib")
        ),
        refused(
            bmp(np.dstack([COLOUR, SPOTS]).reshape(16, -1), 24, 32, compression=3, masks=bytes(16)),
            "not a readable|mode",
        ),
    ],
    "PNG with one transparent colour": [
        read(png(SPOTS, (b"tRNS", b"\0\xff"))),
        in_colour(
            png(COLOUR, (b"tRNS", bytes((0, COLOUR[0, 0, 0], 0, COLOUR[0, 0, 1], 0, COLOUR[0, 0, 2]))), colour=2)
        ),
    ],
    "PNG with gamma, profile, significant bits, background, unequal resolution, or interlaced": [
        *(
            file
            for name, of_grey, of_colour in (
                (b"gAMA", struct.pack(">I", 300000), struct.pack(">I", 300000)),
                (b"sRGB", b"\0", b"\0"),
                (b"iCCP", b"x\0\0" + zlib.compress(b"none"), b"x\0\0" + zlib.compress(b"none")),
                (b"cICP", bytes((9, 16, 0, 1)), bytes((9, 16, 0, 1))),
                (b"cHRM", bytes(range(32)), bytes(range(32))),
                (b"sBIT", b"\5", b"\5\5\5"),
                (b"bKGD", b"\0\7", b"\0\7\0\7\0\7"),
                (b"pHYs", TWO, TWO),
            )
            for file in (read(png(SPOTS, (name, of_grey))), in_colour(png(COLOUR, (name, of_colour), colour=2)))
        ),
        in_colour(png(COLOUR, palette(*GREYS[:10]), colour=2)),
        read(png(SPOTS, interlaced=1, scanlines=adam7(SPOTS))),
        in_colour(png(COLOUR, colour=2, interlaced=1, scanlines=adam7(COLOUR))),
    ],
    "16-bit grey or RGB, 32-bit, float, signed, even of 8 bits": [
        refused(saved(picture("I;16"), "PNG"), "16 bits per channel, expected 8"),
        refused(raw_png(4, 4, 16, 2, bytes(100)), "mode RGB, 16 bits per channel, expected 8"),
        *(
            refused(
                tiff(pixels.astype(dtype), {339: (kind,) * channels}), f"bits per channel|signed or float|{UNKNOWN}"
            )
            for pixels, channels in ((SPOTS, 1), (COLOUR, 3))
            for kind, dtypes in ((1, "HI"), (2, "bhi"), (3, "efd"), (4, "B"))
            for dtype in dtypes
        ),
    ],
    "CMYK, Lab, YCbCr outside a JPEG": [
        *(File(saved(picture("CMYK"), kind), None, "mode CMYK", "mode CMYK") for kind in ("TIFF", "JPEG")),
        refused(saved(picture("LAB"), "TIFF"), "mode LAB"),
        *(
            refused(tiff(COLOUR, {262: 6, 530: (1, 1), 259: kind}, pack(COLOUR.tobytes())), "YCbCr without JPEG")
            for kind, pack in ((1, bytes), (8, zlib.compress), (6, bytes))
        ),
        refused(tiff(SPOTS, {262: 6}), "1 channels, expected 3"),
    ],
    "JPEG, progressive or stored as RGB too": [
        *(read(jpeg(SPOTS, **options)) for options in ({}, {"progressive": True}, {"icc_profile": b"none"})),
        in_colour(
            jpeg(np.dstack([SPOTS, 255 - SPOTS, SPOTS[::-1]]), keep_rgb=True),
            np.dstack([SPOTS, 255 - SPOTS, SPOTS[::-1]]),
        ),
        File(saved(picture("L"), "JPEG"), np.asarray(Image.open(io.BytesIO(saved(picture("L"), "JPEG")))), mask=SOFT),
    ],
    "JPEG of 12 bits": [refused(re.sub(rb"(?s)(\xff\xc0..)\x08", b"\\1\x0c", jpeg(SPOTS)), UNKNOWN)],
    "any file with an orientation tag of 2 to 8": [
        file
        for tag in range(2, 9)
        for file in (
            read(saved(Image.fromarray(SPOTS), "PNG", exif=exif(tag))),
            read(jpeg(SPOTS, exif=exif(tag))),
            read(jpeg(SPOTS, xmp=xmp(tag))),
            read(tiff(SPOTS, {274: tag})),
            read(tiff(SPOTS, {700: xmp(tag)})),
            read(tiff(SPOTS, {274: tag, 700: xmp(9 - tag)}, order=">")),
            read(tiff(SPOTS, {274: tag}, big=True)),
            in_colour(as_tiff(COLOUR, compression="tiff_lzw", tiffinfo={274: tag})),
            one_bit(saved(Image.fromarray(SPOTS).convert("1"), "TIFF", compression="group4", tiffinfo={274: tag})),
            one_bit(tiff(INDICES, {262: 3, 320: (0, 65535, *[7] * 254) * 3, 274: tag})),
        )
    ],
    "stereo JPEG (MPO) of a camera": [read(pages("MPO"))],
    "TIFF, uncompressed, LZW, Deflate, PackBits or JPEG; strips, tiles, planes, any order of bytes or bits": [
        *(read(as_tiff(SPOTS, compression=name)) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")),
        *(in_colour(as_tiff(COLOUR, compression=name)) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")),
        read(as_tiff(SPOTS, compression="jpeg", quality=100)),
        in_colour(
            saved(Image.fromarray(np.dstack([SPOTS] * 3)).convert("YCbCr"), "TIFF", compression="jpeg", quality=100),
            np.dstack([SPOTS] * 3),
        ),
        *(
            in_colour(by_tifffile(COLOUR, photometric="rgb", **options))
            for options in (
                {"rowsperstrip": 5},
                {"tile": (16, 16)},
                {"tile": (16, 16), "compression": "zlib", "predictor": True, "byteorder": ">"},
            )
        ),
        *(
            in_colour(by_tifffile(COLOUR.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", **options))
            for options in ({}, {"rowsperstrip": 5}, {"tile": (16, 16)}, {"compression": "zlib"})
        ),
        *(in_colour(tiff(COLOUR, order=order)) for order in "<>"),
        in_colour(tiff(COLOUR, {266: 2}, turned_bits(COLOUR.tobytes()))),
        in_colour(tiff(COLOUR, {266: 2, 259: 8}, turned_bits(zlib.compress(COLOUR.tobytes())))),
        in_colour(tiff(COLOUR, {317: 2})),
        *(
            read(tiff(SPOTS, tags))
            for tags in ({278: None}, {278: (1 << 32) - 1}, {279: 7}, {254: 2}, {280: 9, 281: 99})
        ),
    ],
    "TIFF in which 0 is white": [
        read(tiff(255 - SPOTS, {262: 0})),
        read(tiff(SPOTS, {262: 0, 259: 8}, zlib.compress((255 - SPOTS).tobytes()))),
        one_bit(tiff(SPOTS, {262: 0, 258: 1}, bits_of(1 - INDICES, 1).tobytes())),
    ],
    "TIFF compressed for fax": [
        one_bit(saved(Image.fromarray(SPOTS).convert("1"), "TIFF", compression=name))
        for name in ("tiff_ccitt", "group3", "group4")
    ],
    "BigTIFF": [read(tiff(SPOTS, big=True)), in_colour(tiff(COLOUR, big=True))],
    "BigTIFF with the high byte first": [refused(tiff(SPOTS, big=True, order=">"), "not a readable image")],
    "TIFF with sub-images": [read(with_sub_image())],
    "TIFF that starts with a thumbnail or a mask of another picture, as raw formats do": [
        refused(tiff(SPOTS, tags), "small copy or a mask of another") for tags in ({254: 1}, {254: 4}, {255: 2})
    ],
    "TIFF that does not say whether 0 is black, or lacks strips or tiles, or has several in depth": [
        refused(tiff(SPOTS, {262: None}), "no tag PhotometricInterpretation"),
        refused(tiff(SPOTS, {278: 8, 279: 8 * 24}), PARTS),
        refused(tiff(SPOTS, {273: 0, 279: 0}), PARTS),
        refused(tiff(COLOUR, {284: 2}), PARTS),
        refused(by_tifffile(np.stack([SPOTS] * 3), photometric="minisblack", volumetric=True), PARTS),
        refused(tiff(SPOTS, {278: 0}), "not a readable image|damaged"),
    ],
    "BMP of 24 bits, of 32 without alpha, or of all 256 greys; top row first too": [
        read(bmp(SPOTS, 24, 8, GREYS)),
        read(bmp(SPOTS, 24, 8, GREYS, colours=256, top_first=True)),
        *(in_colour(bmp(COLOUR[..., ::-1].reshape(16, -1), 24, 24, top_first=first)) for first in (True, False)),
        in_colour(bmp(np.dstack([COLOUR[..., ::-1], NOISE]).reshape(16, -1), 24, 32)),
    ],
    "BMP of 16 bits, with run lengths, or with a grey palette that is short or of 4 bits": [
        refused(bmp(np.hstack([NOISE, NOISE]), 24, 16), "5 or 6 bits per channel"),
        refused(bmp(b"\x18\xff\0\0" * 16 + b"\0\1", 24, 8, GREYS, compression=1), "run lengths"),
        refused(bmp(INDICES, 24, 8, BLACK_WHITE, colours=2), PALETTE),
        refused(bmp(bits_of(INDICES, 4), 24, 4, BLACK_WHITE, colours=2), PALETTE),
        refused(bmp(bits_of(NOISE >> 4, 4), 24, 4, GREYS[:16]), PALETTE),
        refused(bmp(bits_of(INDICES, 1), 24, 1, BLACK_WHITE[:1], colours=1), PALETTE),
        refused(bmp(SPOTS, 24, 8, BLACK_WHITE[:1], colours=1), PALETTE),
    ],
    "several pages, animated PNG or WebP": [
        *(refused(pages(kind), SEVERAL) for kind in ("PNG", "TIFF", "WEBP")),
        refused(by_tifffile(np.stack([SPOTS] * 3), imagej=True), SEVERAL),
    ],
    "WebP, lossless or lossy": [
        in_colour(saved(Image.fromarray(COLOUR), "WEBP", lossless=True)),
        in_colour(saved(Image.fromarray(COLOUR), "WEBP", lossless=True, exif=exif(6))),
        in_colour(saved(Image.fromarray(SPOTS), "WEBP", lossless=True), np.dstack([SPOTS] * 3)),
        *(in_colour(webp, np.asarray(Image.open(io.BytesIO(webp)))) for webp in [saved(picture("RGB"), "WEBP")]),
    ],
    "GIF, EPS, PDF and all others": [
        refused(saved(picture("RGB"), kind), UNKNOWN) for kind in ("GIF", "EPS", "PDF", "PPM", "TGA", "ICO")
    ],
    "truncated, a wrong check sum, zero bytes": [
        refused(b"", "not a readable image"),
        *(
            refused(saved(Image.fromarray(SPOTS), kind, **options)[:-12], "truncated|damaged|not a readable")
            for kind, options in (
                ("PNG", {}),
                ("BMP", {}),
                ("JPEG", {}),
                ("TIFF", {"compression": "tiff_lzw"}),
                ("TIFF", {"compression": "packbits"}),
                ("WEBP", {}),
                ("WEBP", {"lossless": True}),
            )
        ),
        refused(tiff(SPOTS)[:200], "not a readable|truncated"),
        *(refused(png(SPOTS)[:-end] + bytes((7,)) + png(SPOTS)[1 - end :], "damaged") for end in (13, 16, 20)),
        refused(png(SPOTS).replace(b"IEND", b"IEnD"), "damaged"),
    ],
}
