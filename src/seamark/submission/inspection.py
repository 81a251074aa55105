"""Inspection of one submitted file: format, values and size.

Source: docs/methods/mvtec_ad2.md#official-checker, rules 6 and 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from seamark.files.image_checks import MAX_PIXELS
from seamark.files.images import array_digest
from seamark.files.plain import UNREADABLE, shown
from seamark.submission.rounding import count_patterns

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
        Size on disk.
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


def inspect_map(name: str, path: Path, sizes: Sequence[tuple[int, int]]) -> InspectedFile:
    """Read one submitted map.

    Parameters
    ----------
    name : str
        What to call the file in messages.
    path : Path
        The file.
    sizes : sequence of (int, int)
        Allowed widths and heights, px.

    Returns
    -------
    InspectedFile
        With the broken rules among ``map_format``, ``finite`` and ``map_size``.
    """
    size_bytes = path.stat().st_size
    try:
        scores, fault = _read_float16(path, _most_pixels(sizes))
    except UNREADABLE as error:
        scores, fault = None, f"cannot be read as TIFF ({shown(str(error))})"
    if scores is None:
        return InspectedFile((Violation("map_format", f"{name}: {fault}"),), size_bytes)
    pixels = count_patterns(scores)
    violations = []
    bits = np.arange(1 << 16)
    strange = int(pixels[bits & FLOAT16_EXPONENT == FLOAT16_EXPONENT].sum())
    if strange:
        violations.append(Violation("finite", f"{name}: {strange} scores are infinite or not a number"))
    violations += _size_violations("map_size", name, scores, sizes)
    share = float(pixels.max()) / scores.size
    return InspectedFile(tuple(violations), size_bytes, levels=int(np.count_nonzero(pixels)), commonest_share=share)


def _most_pixels(sizes: Sequence[tuple[int, int]]) -> int:
    """Pixels up to which a file of a wrong size is decoded all the same, to say what else is wrong with it."""
    return min(MAX_PIXELS, 4 * max(width * height for width, height in sizes))


def _read_float16(path: Path, most_pixels: int) -> tuple[npt.NDArray[np.float16] | None, str]:
    """Return the scores, or None and what is wrong with the file; pixels are decoded only if the header is right."""
    with tifffile.TiffFile(path, is_ome=False) as file:  # whose XML could name other files
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


def inspect_mask(name: str, path: Path, sizes: Sequence[tuple[int, int]]) -> InspectedFile:
    """Read one submitted mask.

    Parameters
    ----------
    name : str
        What to call the file in messages.
    path : Path
        The file.
    sizes : sequence of (int, int)
        Allowed widths and heights, px.

    Returns
    -------
    InspectedFile
        With the broken rules among ``mask_format``, ``mask_mode`` and ``mask_size``.
    """
    size_bytes = path.stat().st_size
    try:
        pixels, mode, fault = _read_png(path, _most_pixels(sizes))
    except UNREADABLE as error:
        pixels, mode, fault = None, "", f"cannot be read as PNG ({shown(str(error))})"
    if pixels is None:
        return InspectedFile((Violation("mask_format", f"{name}: {fault}"),), size_bytes)
    violations = []
    if mode != "L":
        violations.append(Violation("mask_mode", f"{name}: mode {mode}, expected 8-bit grey (L)"))
    violations += _size_violations("mask_size", name, pixels, sizes)
    full = bool((pixels == 255).all())
    digest = array_digest(pixels != 0)
    return InspectedFile(tuple(violations), size_bytes, empty=not pixels.any(), full=full, mask_sha256=digest)


def _read_png(path: Path, most_pixels: int) -> tuple[npt.NDArray[Any] | None, str, str]:
    """Return pixels and mode, or None and what is wrong; a palette image gives its indices, as officially."""
    with Image.open(path, formats=["PNG"]) as image:
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


def _size_violations(
    rule: str, name: str, pixels: npt.NDArray[Any], sizes: Sequence[tuple[int, int]]
) -> list[Violation]:
    height, width = pixels.shape
    if (width, height) in sizes:
        return []
    allowed = " or ".join(f"{w} x {h}" for w, h in dict.fromkeys(sizes))
    return [Violation(rule, f"{name}: {width} x {height} px, expected {allowed}")]
