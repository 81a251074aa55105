"""Overlay strips: what the detector saw, said and made of one image, side by side."""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from seamark.files.images import UInt8Array
from seamark.manifests.masks import MaskRecord
from seamark.preview.panels import (
    COARSE,
    REFINED,
    TRUTH,
    colours,
    draw_contours,
    folded,
    map_panel,
    panel_size,
    photograph_panel,
    tint,
)
from seamark.preview.sheets import BACKGROUND, GAP_PX, MUTED, TEXT, Captioned, line_height, sheet, write_text
from seamark.preview.sources import PreviewPixels, PreviewSource


def draw_strip(
    source: PreviewSource, pixels: PreviewPixels, score_range: tuple[float, float], panel_px: int
) -> Image.Image:
    """Draw photograph, map, coarse mask, refined mask and known truth of one image side by side.

    Panels of a long image are folded.

    Parameters
    ----------
    source : PreviewSource
        The image and what was made of it.
    pixels : PreviewPixels
        Its pixels.
    score_range : tuple of float
        Scores of the first and the last colour of the map panel.
    panel_px : int
        Longer side of one panel in px.

    Returns
    -------
    Image
        RGB.
    """
    height, width = pixels.image.shape[:2]
    size, line_px, font_px = (
        panel_size(pixels.image.shape, panel_px),
        max(1, panel_px // 240),
        max(9, round(panel_px / 22)),
    )
    photograph = photograph_panel(pixels.image, size)
    panels = [
        Captioned("image", photograph, f"{width} x {height} px"),
        Captioned("anomaly map", map_panel(pixels.scores, size, score_range)),
        Captioned(
            f"coarse mask ({source.coarse_method})",
            draw_contours(photograph, pixels.coarse, COARSE, line_px),
            _mask_note(source.coarse),
        ),
        Captioned(
            f"refined mask ({source.refined_method})",
            draw_contours(photograph, pixels.refined, REFINED, line_px),
            _mask_note(source.refined),
        ),
    ]
    if source.truth is not None:
        panels.append(truth_panel("truth", source, pixels, photograph, line_px))
    panels = [replace(panel, pixels=folded(panel.pixels, pixels.image.shape)) for panel in panels]
    strip = sheet(panels, len(panels), font_px, header=_header(source), footer_px=line_height(font_px))
    _draw_colour_bar(strip, source, panels[0].pixels.shape[:2], score_range, font_px)
    return strip


def truth_panel(
    title: str, source: PreviewSource, pixels: PreviewPixels, photograph: UInt8Array, line_px: int
) -> Captioned:
    """Mark the defects of one image.

    Parameters
    ----------
    title : str
        Line above the panel.
    source, pixels : PreviewSource, PreviewPixels
        The image.
    photograph : ndarray of uint8, shape (h, w, 3)
        RGB, as :func:`seamark.preview.panels.photograph_panel` scales it; left as it is.
    line_px : int
        Width of the outlines on the panel.

    Returns
    -------
    Captioned
        The plain photograph where there is no defect. An image that scores of pixels leave out says why.
    """
    found = source.truth.defect_px if source.truth and pixels.truth is not None else 0
    note = f"{found:,} defect px" if found else "no defect"
    if source.truth and source.truth.left_out:
        note = f"{source.label}, {source.truth.left_out}"
    if pixels.truth is None:
        return Captioned(title, photograph, note)
    return Captioned(title, draw_contours(tint(photograph, pixels.truth, TRUTH), pixels.truth, TRUTH, line_px), note)


def _header(source: PreviewSource) -> str:
    values = ((record.rule, record.value) for record in source.coarse.thresholds)
    thresholds = ", ".join(f"{rule} none" if value is None else f"{rule} {value:.4g}" for rule, value in values)
    parts = [
        source.id,
        f"light: {source.image.light}",
        f"label: {source.label or 'not known'}",
        f"peak score: {source.map.maximum:.4g}",
        f"threshold: {thresholds or 'none'}",
    ]
    return "    ".join(parts)


def _mask_note(record: MaskRecord) -> str:
    if not record.foreground_px:
        return "nothing found"
    kept = f", {record.kept_coarse} left coarse" if record.kept_coarse else ""
    return f"{record.components} component{'s' * (record.components != 1)}, {record.foreground_px:,} px{kept}"


def _draw_colour_bar(
    strip: Image.Image, source: PreviewSource, size: tuple[int, int], score_range: tuple[float, float], font_px: int
) -> None:
    """Draw the colours, their scores and the thresholds as ticks below the map panel."""
    (height, width), (low, high) = size, score_range
    left, top, bar = 2 * GAP_PX + width, 2 * line_height(font_px) + height + 2 * GAP_PX, max(4, font_px - 2)
    gradient = np.tile(np.linspace(0, 255, width).astype(np.uint8), (bar, 1))
    strip.paste(Image.fromarray(colours(gradient)), (left, top))
    for threshold in source.coarse.thresholds:
        if threshold.value is not None and low <= threshold.value <= high:
            x = left + round((threshold.value - low) / (high - low) * (width - 1))
            ImageDraw.Draw(strip).rectangle((x - 1, top - 3, x + 1, top + bar + 2), fill=TEXT, outline=BACKGROUND)
    scale = f"{low:.4g} to {high:.4g}; tick: threshold"
    write_text(strip, (left, top + bar), scale, size_px=font_px, width=width, colour=MUTED)
