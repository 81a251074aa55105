"""Inspection of one submitted file, wherever its bytes come from: format, wholeness, values and size.

Source: docs/methods/mvtec_ad2.md#official-checker, rules 6 and 7.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from seamark.files.image_checks import MAX_PIXELS, MOST_BYTES_PER_PIXEL, SPARE_BYTES
from seamark.files.images import array_digest
from seamark.files.plain import UNREADABLE, read_plain_file, shown
from seamark.files.wholeness import opened_tiff, require_whole_png, require_whole_tiff
from seamark.submission.expected import MAPS_FOLDER, MASKS_FOLDER, ExpectedSubmission, scaled_size
from seamark.submission.rounding import count_patterns

Read = Callable[[int], bytes]
"""Returns the bytes of a file, or raises an error where they are more than so many."""

FLOAT16_EXPONENT = 0x7C00
"""Exponent bits of a float16; all set means infinite or not a number."""


@dataclass(frozen=True)
class Violation:
    """A rule that is broken, and a sentence that begins with the file's name."""

    rule: str
    text: str


@dataclass(frozen=True)
class InspectedFile:
    """What is known of one file after reading it.

    Parameters
    ----------
    violations : tuple of Violation
        Broken rules.
    size_bytes : int
        Size of the file; 0 if it could not be read.
    levels : int
        Distinct scores of a map; 0 for masks and unreadable maps.
    commonest_share : float
        Share of a map's pixels that have its commonest score, 0..1.
    empty, full : bool
        Whether a mask is 0 everywhere, or 255 everywhere.
    mask_sha256 : str
        Digest of a mask's pixels, as manifests have it; empty for maps and unreadable masks.
    """

    violations: tuple[Violation, ...]
    size_bytes: int
    levels: int = 0
    commonest_share: float = 0.0
    empty: bool = False
    full: bool = False
    mask_sha256: str = ""


def inspect_map(name: str, read: Read, sizes: Sequence[tuple[int, int]]) -> InspectedFile:
    """Read and decode one submitted map.

    Parameters
    ----------
    name : str
        What to call the file in messages.
    read : callable
        Returns its bytes.
    sizes : sequence of (int, int)
        Allowed widths and heights, px.

    Returns
    -------
    InspectedFile
        With the broken rules among ``map_format``, ``whole``, ``finite`` and ``map_size``.
    """
    content = b""
    try:
        content = read(most_bytes(sizes))
        scores, fault = _read_float16(content, _most_pixels(sizes))
    except UNREADABLE as error:
        scores, fault = None, f"cannot be read as TIFF ({shown(str(error))})"
    if scores is None:
        return InspectedFile((Violation("map_format", f"{name}: {fault}"),), len(content))
    pixels = count_patterns(scores)
    violations = _whole_violations(name, content, require_whole_tiff)
    bits = np.arange(1 << 16)
    strange = int(pixels[bits & FLOAT16_EXPONENT == FLOAT16_EXPONENT].sum())
    if strange:
        violations.append(Violation("finite", f"{name}: {strange} scores are infinite or not a number"))
    violations += _size_violations("map_size", name, scores, sizes)
    share = float(pixels.max()) / scores.size
    return InspectedFile(tuple(violations), len(content), levels=int(np.count_nonzero(pixels)), commonest_share=share)


def _most_pixels(sizes: Sequence[tuple[int, int]]) -> int:
    """Pixels up to which a file of a wrong size is decoded all the same, to say what else is wrong with it."""
    return min(MAX_PIXELS, 4 * max(width * height for width, height in sizes))


def most_bytes(sizes: Sequence[tuple[int, int]]) -> int:
    """Return the size up to which a file that may have these widths and heights in px is read."""
    return MOST_BYTES_PER_PIXEL * _most_pixels(sizes) + SPARE_BYTES


def _read_float16(content: bytes, most_pixels: int) -> tuple[npt.NDArray[np.float16] | None, str]:
    """Return the scores, or None and what is wrong with the file; pixels are decoded only if the header is right."""
    with opened_tiff(content) as file:
        if _has_second_page(file):
            return None, "several pages, expected one with two axes"
        series = file.series[0]
        if len(series.shape) != 2 or series.dtype != np.float16:
            return None, f"{series.dtype} of shape {series.shape}, expected float16 with two axes"
        if not 0 < series.size <= most_pixels:
            return None, f"{series.shape[1]} x {series.shape[0]} px, expected between 1 and {most_pixels} px"
        return np.ascontiguousarray(series.asarray(), dtype=np.float16), ""


def _has_second_page(file: tifffile.TiffFile) -> bool:
    """Look no further than that: a damaged file can claim pages without end."""
    try:
        file.pages[1]
    except IndexError:
        return False
    return True


def inspect_mask(name: str, read: Read, sizes: Sequence[tuple[int, int]]) -> InspectedFile:
    """Read and decode one submitted mask.

    Parameters
    ----------
    name : str
        What to call the file in messages.
    read : callable
        Returns its bytes.
    sizes : sequence of (int, int)
        Allowed widths and heights, px.

    Returns
    -------
    InspectedFile
        With the broken rules among ``mask_format``, ``whole``, ``mask_mode`` and ``mask_size``.
    """
    content = b""
    try:
        content = read(most_bytes(sizes))
        pixels, mode, fault = _read_png(content, _most_pixels(sizes))
    except UNREADABLE as error:
        what = "not one" if isinstance(error, UnidentifiedImageError) else shown(str(error))
        pixels, mode, fault = None, "", f"cannot be read as PNG ({what})"
    if pixels is None:
        return InspectedFile((Violation("mask_format", f"{name}: {fault}"),), len(content))
    violations = _whole_violations(name, content, require_whole_png)
    if mode != "L":
        violations.append(Violation("mask_mode", f"{name}: mode {mode}, expected 8-bit grey (L)"))
    violations += _size_violations("mask_size", name, pixels, sizes)
    full = bool((pixels == 255).all())
    digest = array_digest(pixels != 0)
    return InspectedFile(tuple(violations), len(content), empty=not pixels.any(), full=full, mask_sha256=digest)


def _read_png(content: bytes, most_pixels: int) -> tuple[npt.NDArray[Any] | None, str, str]:
    """Return pixels and mode, or None and what is wrong; a palette image gives its indices, as officially."""
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        if image.width * image.height > most_pixels:
            return None, image.mode, f"{image.width} x {image.height} px, expected at most {most_pixels} px"
        pixels, mode = np.asarray(image), image.mode
    if pixels.ndim != 2:
        return None, mode, f"mode {mode} with {pixels.shape[2]} channels, expected one channel"
    # Among bytes, 0 and 255 alone become 1 and 0 when 1 is added, which is far quicker than to list others.
    if pixels.dtype != np.uint8 or (pixels + np.uint8(1)).max() > 1:
        strange = np.unique(pixels[(pixels != 0) & (pixels != 255)])
        if strange.size:
            return None, mode, f"values {strange[:5].tolist()} besides 0 and 255"
    return pixels, mode, ""


def _whole_violations(name: str, content: bytes, require_whole: Callable[[bytes], None]) -> list[Violation]:
    try:
        require_whole(content)
    except UNREADABLE as error:
        return [Violation("whole", f"{name}: {shown(str(error))}; write the file anew")]
    return []


def _size_violations(
    rule: str, name: str, pixels: npt.NDArray[Any], sizes: Sequence[tuple[int, int]]
) -> list[Violation]:
    height, width = pixels.shape
    if (width, height) in sizes:
        return []
    allowed = " or ".join(f"{w} x {h}" for w, h in dict.fromkeys(sizes))
    return [Violation(rule, f"{name}: {width} x {height} px, expected {allowed}")]


@dataclass(frozen=True)
class CheckedFile:
    """A map or mask that is expected."""

    id: str
    sizes: tuple[tuple[int, int], ...]
    """Allowed (width, height)."""
    inspect: Callable[[str, Read, Sequence[tuple[int, int]]], InspectedFile]


def expected_files(expected: ExpectedSubmission) -> dict[str, CheckedFile]:
    """Return all maps and masks of a complete submission by their id, the path below its folder."""
    files = []
    for category, splits in expected.images.items():
        for split, images in splits.items():
            for image in images:
                full = (image.width, image.height)
                sizes = (full, scaled_size(*full, expected.map_scale))
                anomaly_map = f"{MAPS_FOLDER}/{category}/{split}/{image.name}.tiff"
                mask = f"{MASKS_FOLDER}/{category}/{split}/{image.name}.png"
                files.append(CheckedFile(anomaly_map, sizes, inspect_map))
                files.append(CheckedFile(mask, (full,), inspect_mask))
    return {file.id: file for file in files}


def inspect_file(folder: Path, file: CheckedFile) -> InspectedFile:
    """Read a file of a submission folder and return what is known of it, broken rules included."""
    return file.inspect(file.id, partial(read_plain_file, folder / file.id), file.sizes)
