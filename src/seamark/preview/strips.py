"""Overlay strips: what the detector saw, said and made of one image, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from seamark.files.images import BoolArray, UInt8Array
from seamark.manifests.index import TruthRecord
from seamark.manifests.masks import MaskRecord
from seamark.preview.panels import (
    BACKGROUND,
    COARSE,
    MUTED,
    REFINED,
    TEXT,
    TRUTH,
    colours,
    draw_contours,
    line_height,
    map_panel,
    panel_size,
    photograph_panel,
    tint,
    write_text,
)
from seamark.preview.sources import PreviewPixels, PreviewSource

GAP_PX = 6


@dataclass(frozen=True)
class _Panel:
    title: str
    pixels: UInt8Array
    note: str


def draw_strip(
    source: PreviewSource, pixels: PreviewPixels, score_range: tuple[float, float], panel_px: int
) -> Image.Image:
    """Draw photograph, map, coarse mask, refined mask and known truth of one image side by side.

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
    strip = _assemble(_header(source), _panels(source, pixels, score_range, panel_px), panel_px)
    _draw_colour_bar(strip, source, pixels.image.shape, score_range, panel_px)
    return strip


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _header(source: PreviewSource) -> str:
    thresholds = ", ".join(f"{record.rule} {_number(record.value)}" for record in source.coarse.thresholds)
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


def _panels(
    source: PreviewSource, pixels: PreviewPixels, score_range: tuple[float, float], panel_px: int
) -> list[_Panel]:
    height, width = pixels.image.shape[:2]
    size = panel_size(pixels.image.shape, panel_px)
    line_px = max(1, panel_px // 240)
    photograph = photograph_panel(pixels.image, size)
    panels = [
        _Panel("image", photograph, f"{width} x {height} px"),
        _Panel("anomaly map", map_panel(pixels.scores, size, score_range), ""),
        _Panel(
            f"coarse mask ({source.coarse_method})",
            draw_contours(photograph, pixels.coarse, COARSE, line_px),
            _mask_note(source.coarse),
        ),
        _Panel(
            f"refined mask ({source.refined_method})",
            draw_contours(photograph, pixels.refined, REFINED, line_px),
            _mask_note(source.refined),
        ),
    ]
    if source.truth is not None:
        panels.append(_truth_panel(source.truth, pixels.truth, photograph, line_px))
    return panels


def _truth_panel(record: TruthRecord, mask: BoolArray | None, photograph: UInt8Array, line_px: int) -> _Panel:
    if mask is None:
        return _Panel("truth", photograph, "no defect")
    drawn = draw_contours(tint(photograph, mask, TRUTH), mask, TRUTH, line_px)
    return _Panel("truth", drawn, f"{record.defect_px:,} defect px")


def _font_px(panel_px: int) -> int:
    return max(9, round(panel_px / 22))


def _assemble(header: str, panels: Sequence[_Panel], panel_px: int) -> Image.Image:
    """Lay out header, titles, panels and a line of notes."""
    font = _font_px(panel_px)
    line = line_height(font)
    height, width = panels[0].pixels.shape[:2]
    total = len(panels) * (width + GAP_PX) + GAP_PX
    canvas = Image.new("RGB", (total, 2 * line + height + _footer_height(panel_px) + 2 * GAP_PX), BACKGROUND)
    write_text(canvas, (GAP_PX, GAP_PX // 2), header, size_px=font, width=total - 2 * GAP_PX, colour=TEXT)
    for position, panel in enumerate(panels):
        left = GAP_PX + position * (width + GAP_PX)
        write_text(canvas, (left, line + GAP_PX // 2), panel.title, size_px=font, width=width, colour=MUTED)
        canvas.paste(Image.fromarray(panel.pixels), (left, 2 * line + GAP_PX))
        write_text(canvas, (left, 2 * line + height + GAP_PX), panel.note, size_px=font, width=width, colour=MUTED)
    return canvas


def _footer_height(panel_px: int) -> int:
    return 2 * line_height(_font_px(panel_px))


def _draw_colour_bar(
    strip: Image.Image, source: PreviewSource, shape: tuple[int, ...], score_range: tuple[float, float], panel_px: int
) -> None:
    """Draw the colours, their scores and the thresholds as ticks below the map panel."""
    font = _font_px(panel_px)
    height, width = panel_size(shape, panel_px)
    left, top = 2 * GAP_PX + width, 2 * line_height(font) + height + 2 * GAP_PX
    bar = max(4, font - 2)
    gradient = np.tile(np.linspace(0, 255, width).astype(np.uint8), (bar, 1))
    strip.paste(Image.fromarray(colours(gradient)), (left, top))
    low, high = score_range
    for threshold in source.coarse.thresholds:
        if threshold.value is not None and low <= threshold.value <= high:
            x = left + round((threshold.value - low) / (high - low) * (width - 1))
            ImageDraw.Draw(strip).rectangle((x - 1, top - 3, x + 1, top + bar + 2), fill=TEXT, outline=BACKGROUND)
    write_text(
        strip, (left, top + bar), f"{low:.4g} to {high:.4g}; tick: threshold", size_px=font, width=width, colour=MUTED
    )
