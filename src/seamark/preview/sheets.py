"""Sheets of pictures with a line above and a line below each, as JPEG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from seamark.files.images import UInt8Array

Colour = tuple[int, int, int]

BACKGROUND: Colour = (24, 26, 31)
TEXT: Colour = (232, 234, 240)
MUTED: Colour = (160, 166, 178)
GAP_PX = 6
MAX_JPEG_PX = 65_000
"""JPEG ends at 65,535 px; a higher sheet gets more columns."""


@dataclass(frozen=True)
class Captioned:
    """A picture, RGB uint8 of shape (h, w, 3), with the lines above and below it."""

    title: str
    pixels: UInt8Array
    note: str = ""


@cache
def _font(size_px: int) -> Any:
    return ImageFont.load_default(size_px)


def line_height(size_px: int) -> int:
    """Return the height in px that a line of text takes."""
    return math.ceil(size_px * 1.5)


def sheet(
    pictures: Sequence[Captioned], columns: int, font_px: int, *, header: str = "", footer_px: int = 0
) -> Image.Image:
    """Lay out pictures in rows.

    Parameters
    ----------
    pictures : sequence of Captioned
        At least one.
    columns : int
        Pictures in a row; more where the sheet would be higher than a JPEG can be.
    font_px : int
        Size of the font.
    header : str
        Line above all pictures; none if empty.
    footer_px : int
        Room below each row.

    Returns
    -------
    Image
        RGB.
    """
    line = line_height(font_px)
    height = max(picture.pixels.shape[0] for picture in pictures)
    width = max(picture.pixels.shape[1] for picture in pictures)
    across, down = width + GAP_PX, height + 2 * line + GAP_PX + footer_px
    columns = min(max(columns, math.ceil(len(pictures) * down / (MAX_JPEG_PX - down))), len(pictures))
    start = line if header else 0
    size = (columns * across + GAP_PX, start + math.ceil(len(pictures) / columns) * down + GAP_PX)
    canvas = Image.new("RGB", size, BACKGROUND)
    write_text(canvas, (GAP_PX, GAP_PX // 2), header, size_px=font_px, width=size[0] - 2 * GAP_PX, colour=TEXT)
    for position, picture in enumerate(pictures):
        left = GAP_PX + position % columns * across
        top = start + GAP_PX // 2 + position // columns * down
        below = top + line + picture.pixels.shape[0]
        write_text(canvas, (left, top), picture.title, size_px=font_px, width=width, colour=TEXT)
        canvas.paste(Image.fromarray(picture.pixels), (left, top + line))
        write_text(canvas, (left, below), picture.note, size_px=font_px, width=width, colour=MUTED)
    return canvas


def write_text(
    canvas: Image.Image, at: tuple[int, int], text: str, *, size_px: int, width: int, colour: Colour
) -> None:
    """Write one line of text with the font that Pillow carries; what does not fit is cut and gets an ellipsis.

    Parameters
    ----------
    canvas : Image
        RGB image that is drawn on.
    at : tuple of int
        Left and upper end of the line in px.
    text : str
        Plain text.
    size_px : int
        Size of the font.
    width : int
        Room for the line in px.
    colour : tuple of int
        RGB.
    """
    font = _font(size_px)
    fitting = text
    while fitting and font.getlength(fitting if fitting == text else fitting + "...") > width:
        fitting = fitting[:-1]
    shown = fitting if fitting == text else fitting + "..." if fitting else ""
    offset = (line_height(size_px) - size_px) // 4
    ImageDraw.Draw(canvas).text((at[0], at[1] + offset), shown, fill=colour, font=font, anchor="la")


def save_jpeg(canvas: Image.Image, target: Path, quality: int) -> None:
    """Write a JPEG without chroma subsampling, in which thin coloured lines would smear; folders are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(target, format="JPEG", quality=quality, subsampling=0)
