"""Ways to spoil a submission folder and its archive, and to look at what the checker says."""

import io
import struct
import tarfile
import zlib

import numpy as np
import tifffile
from PIL import Image
from tests.fuzz.targets.pictures import SIGNATURE, chunk

from seamark.submission.checker import check_submission

MAP = "anomaly_images/felt/test_private/000_regular.tiff"
MASK = "anomaly_images_thresholded/felt/test_private/000_regular.png"
SHAPE = (40, 48)
END = chunk(b"IEND", b"")
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def half(value=0.5, shape=SHAPE):
    return np.full(shape, value, np.float16)


def one(value):
    scores = half()
    scores[7, 9] = value
    return scores


def ramp():
    return np.linspace(0, 1, SHAPE[0] * SHAPE[1]).astype(np.float16).reshape(SHAPE)


def binary():
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:9, 4:20] = 255
    return mask


def write_tiff(array, name=MAP, **options):
    return lambda folder: tifffile.imwrite(folder / name, array, **options)


def retagged(code, index, value, **options):
    """A map of several strips or tiles with another value in a tag."""

    def spoil(folder):
        tifffile.imwrite(folder / MAP, ramp(), metadata=None, **options)
        with tifffile.TiffFile(folder / MAP) as file:
            tag = file.pages.first.tags[code]
        kind = {3: "<H", 4: "<I"}[int(tag.dtype)]
        content = bytearray((folder / MAP).read_bytes())
        struct.pack_into(kind, content, tag.valueoffset + index * struct.calcsize(kind), value)
        (folder / MAP).write_bytes(content)

    return spoil


def two_pages(subifds):
    def spoil(folder):
        with tifffile.TiffWriter(folder / MAP) as file:
            file.write(half(), subifds=subifds, metadata=None)
            file.write(half()[::2, ::2], metadata=None)

    return spoil


def write_png(array, mode=None, name=MASK, **options):
    def spoil(folder):
        image = Image.fromarray(array)
        (image.convert(mode) if mode else image).save(folder / name, **options)

    return spoil


def palette_png(folder):
    image = Image.fromarray(binary(), mode="P")
    image.putpalette([value for value in range(256) for _ in range(3)])
    image.save(folder / MASK)


def turned_png(folder):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(binary()).save(folder / MASK, exif=exif)


def rows(pixels):
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced_rows():
    passes = (binary()[y::down, x::across] for y, x, down, across in PASSES)
    return b"".join(rows(pixels) for pixels in passes)


PIXELS = zlib.compress(rows(binary()))


def raw_png(pixels=PIXELS, *, before=b"", after=b"", end=END, interlaced=False):
    """A mask of given compressed pixels, with chunks before and behind them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], 8, 0, 0, 0, interlaced))
    parts = pixels if isinstance(pixels, list) else [pixels]
    content = SIGNATURE + header + before + b"".join(chunk(b"IDAT", part) for part in parts) + after + end
    return lambda folder: (folder / MASK).write_bytes(content)


def wrong_sum(part):
    return part[:-1] + bytes([part[-1] ^ 1])


def wrong_sum_of_pixels(folder):
    raw_png()(folder)
    content = bytearray((folder / MASK).read_bytes())
    content[-len(END) - 1] ^= 1
    (folder / MASK).write_bytes(content)


def second_png(folder):
    raw_png()(folder)
    (folder / MASK).write_bytes((folder / MASK).read_bytes() * 2)


def add(name):
    def spoil(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")

    return spoil


def rename(old, new):
    return lambda folder: (folder / old).rename(folder / new)


def truncate(name):
    def spoil(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return spoil


def link(name):
    def spoil(folder):
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return spoil


def tar(files, *odd):
    """A tar file of contents by name, then of members with their content, then its end."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in [*(entry(*file) for file in files.items()), *odd]:
            archive.addfile(member, content)
    return stream.getvalue()


def entry(name, content=b"x", **attributes):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in attributes.items():
        setattr(member, key, value)
    return member, io.BytesIO(content)


def check(folder, expected):
    return check_submission(folder, expected, lambda function, items, _: [function(item) for item in items])


def broken(report):
    return {rule.rule for rule in report.rules if not rule.passed}


def examples(report, rule):
    return "\n".join(next(result for result in report.rules if result.rule == rule).examples)
