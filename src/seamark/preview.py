"""Overlay strips and contact sheets: what the detector saw, said and made of one image, side by side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from seamark.artifacts import file_digest
from seamark.errors import DataError, ManifestError
from seamark.images import BoolArray, UInt8Array, read_image, read_mask
from seamark.manifests.base import read_manifest
from seamark.manifests.index import ImageRecord, IndexManifest, TruthManifest, TruthRecord
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.manifests.masks import MaskRecord, MasksManifest
from seamark.manifests.preview import StripRecord
from seamark.panels import (
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
from seamark.settings.preview import PreviewSettings
from seamark.stored_maps import load_map
from seamark.stored_masks import load_mask

THUMBNAIL_PX = 240
"""Longer side of an image on a contact sheet."""
MAX_JPEG_PX = 65_000
"""JPEG ends at 65,535 px; a higher contact sheet gets more columns."""
GAP_PX = 6


@dataclass(frozen=True)
class PreviewManifests:
    """The manifests of one category and split that strips are made of; index and truth cover all splits."""

    index: Path
    truth: Path
    maps: Path
    coarse: Path
    refined: Path


@dataclass(frozen=True)
class PreviewSource:
    """Where the panels of one image come from, and what is written above them."""

    id: str
    manifests: PreviewManifests
    image: ImageRecord
    image_file: Path
    map: MapRecord
    coarse: MaskRecord
    refined: MaskRecord
    truth: TruthRecord | None
    truth_file: Path | None
    coarse_method: str
    refined_method: str

    @property
    def label(self) -> Literal["good", "bad"] | None:
        """Whether the image has a defect; None where the truth is not known."""
        if self.truth is None:
            return self.image.label
        return "bad" if self.truth.defect_px else "good"


@dataclass(frozen=True)
class Preview:
    """The strip of one image on disk, and its part of the contact sheet."""

    record: StripRecord
    thumbnail: UInt8Array
    """RGB, shape (h, w, 3)."""
    captions: tuple[str, str]


@dataclass(frozen=True)
class _Panel:
    title: str
    pixels: UInt8Array
    note: str


def preview_sources(manifests: PreviewManifests, root: Path, truth_root: Path | None) -> list[PreviewSource]:
    """Bring together what the manifests say about each image of a split.

    Parameters
    ----------
    manifests : PreviewManifests
        Of one category and split.
    root : Path
        Data root.
    truth_root : Path, optional
        Folder of the private truth.

    Returns
    -------
    list of PreviewSource
        In the order of the maps.

    Raises
    ------
    ManifestError
        If a manifest is damaged, lists no images or does not know one of them.
    DataError
        If private truth is listed but its folder is not configured.
    """
    maps = read_manifest(manifests.maps, MapsManifest)
    if not maps.maps:
        raise ManifestError(f"{manifests.maps}: lists no images; take {maps.split} out of data.splits or add images")
    images = {record.id: record for record in read_manifest(manifests.index, IndexManifest).of(maps.split)}
    truths = read_manifest(manifests.truth, TruthManifest).of(maps.split)
    coarse = read_manifest(manifests.coarse, MasksManifest)
    refined = read_manifest(manifests.refined, MasksManifest)
    coarse_masks = {record.id: record for record in coarse.masks}
    refined_masks = {record.id: record for record in refined.masks}
    _require_same_images(manifests, maps, [images, coarse_masks, refined_masks])
    return [
        PreviewSource(
            id=record.id,
            manifests=manifests,
            image=images[record.id],
            image_file=root / images[record.id].file,
            map=record,
            coarse=coarse_masks[record.id],
            refined=refined_masks[record.id],
            truth=truths.get(record.id),
            truth_file=_truth_file(truths.get(record.id), root, truth_root),
            coarse_method=coarse.method,
            refined_method=refined.method,
        )
        for record in maps.maps
    ]


def _require_same_images(
    manifests: PreviewManifests, maps: MapsManifest, known: Sequence[Mapping[str, object]]
) -> None:
    for path, records in zip((manifests.index, manifests.coarse, manifests.refined), known, strict=True):
        for record in maps.maps:
            if record.id not in records:
                raise ManifestError(
                    f"{path}: image {record.id} of {manifests.maps} is missing; "
                    f"rebuild it with: snakemake --cores 2 -f {path}"
                )


def _truth_file(truth: TruthRecord | None, root: Path, truth_root: Path | None) -> Path | None:
    if truth is None or truth.mask is None:
        return None
    if truth.root == "data":
        return root / truth.mask
    if truth_root is None:
        raise DataError(f"{truth.mask}: the mask lies below the private truth, but no truth_root is configured")
    return truth_root / truth.mask


def write_strip(
    source: PreviewSource, folder: Path, score_range: tuple[float, float], settings: PreviewSettings
) -> Preview:
    """Draw the strip of one image and write it as a JPEG.

    Parameters
    ----------
    source : PreviewSource
        The image and what was made of it.
    folder : Path
        Folder of the split; the strip becomes ``<id>.jpg`` below it.
    score_range : tuple of float
        Scores of the first and the last colour of the map panel.
    settings : PreviewSettings
        Panel size and JPEG quality.

    Returns
    -------
    Preview
        With ``record.file`` relative to ``folder``.

    Raises
    ------
    DataError
        If an image or a mask is damaged, or a mask has another size than its image.
    ManifestError
        If the anomaly map or a mask is not the one that its manifest describes.
    """
    image = read_image(source.image_file)
    refined = load_mask(source.manifests.refined, source.refined)
    _require_same_size(source.manifests.refined, source.refined.file, refined, image)
    strip = _assemble(
        _header(source), _panels(source, image, refined, score_range, settings.panel_px), settings.panel_px
    )
    _draw_colour_bar(strip, source, image, score_range, settings.panel_px)
    target = folder / f"{source.id}.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    _save(strip, target, settings)
    thumbnail = photograph_panel(image, panel_size(image.shape, min(THUMBNAIL_PX, settings.panel_px)))
    return Preview(
        record=StripRecord(id=source.id, file=f"{source.id}.jpg", sha256=file_digest(target)),
        thumbnail=draw_contours(thumbnail, refined, REFINED, 1),
        captions=(source.id, f"peak {source.map.maximum:.4g}" + (f", {source.label}" if source.label else "")),
    )


def _require_same_size(folder: Path, name: str, mask: BoolArray, image: UInt8Array) -> None:
    if mask.shape != image.shape[:2]:
        raise DataError(
            f"{name} ({folder}): the mask is {mask.shape[1]} x {mask.shape[0]} px, "
            f"its image {image.shape[1]} x {image.shape[0]} px; rebuild the mask or repair the data set"
        )


def _save(canvas: Image.Image, target: Path, settings: PreviewSettings) -> None:
    # Without chroma subsampling: thin coloured lines would smear.
    canvas.save(target, format="JPEG", quality=settings.jpeg_quality, subsampling=0)


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
    source: PreviewSource, image: UInt8Array, refined: BoolArray, score_range: tuple[float, float], panel_px: int
) -> list[_Panel]:
    size = panel_size(image.shape, panel_px)
    line_px = max(1, panel_px // 240)
    photograph = photograph_panel(image, size)
    scores = load_map(source.manifests.maps, source.map)
    coarse = load_mask(source.manifests.coarse, source.coarse)
    _require_same_size(source.manifests.coarse, source.coarse.file, coarse, image)
    panels = [
        _Panel("image", photograph, f"{image.shape[1]} x {image.shape[0]} px"),
        _Panel("anomaly map", map_panel(scores, size, score_range), ""),
        _Panel(
            f"coarse mask ({source.coarse_method})",
            draw_contours(photograph, coarse, COARSE, line_px),
            _mask_note(source.coarse),
        ),
        _Panel(
            f"refined mask ({source.refined_method})",
            draw_contours(photograph, refined, REFINED, line_px),
            _mask_note(source.refined),
        ),
    ]
    if source.truth is not None:
        panels.append(_truth_panel(source.truth, source.truth_file, image, photograph, line_px))
    return panels


def _truth_panel(
    truth: TruthRecord, path: Path | None, image: UInt8Array, photograph: UInt8Array, line_px: int
) -> _Panel:
    if path is None:
        return _Panel("truth", photograph, "no defect")
    mask = read_mask(path)
    _require_same_size(path.parent, path.name, mask, image)
    drawn = draw_contours(tint(photograph, mask, TRUTH), mask, TRUTH, line_px)
    return _Panel("truth", drawn, f"{truth.defect_px:,} defect px")


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
    strip: Image.Image, source: PreviewSource, image: UInt8Array, score_range: tuple[float, float], panel_px: int
) -> None:
    """Draw the colours, their scores and the thresholds as ticks below the map panel."""
    font = _font_px(panel_px)
    height, width = panel_size(image.shape, panel_px)
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


def write_contact_sheet(previews: Sequence[Preview], target: Path, settings: PreviewSettings) -> None:
    """Write one JPEG with all images of a split, their refined contours and their peak scores.

    Parameters
    ----------
    previews : sequence of Preview
        At least one, in the order of the sheet.
    target : Path
        JPEG to write; its folder must exist.
    settings : PreviewSettings
        Images per row (more when the sheet would be higher than a JPEG can be) and JPEG quality.
    """
    font = max(9, THUMBNAIL_PX // 18)
    line = line_height(font)
    height = max(preview.thumbnail.shape[0] for preview in previews)
    width = max(preview.thumbnail.shape[1] for preview in previews)
    cell_height, cell_width = height + 2 * line + GAP_PX, width + GAP_PX
    columns = max(settings.contact_columns, math.ceil(len(previews) * cell_height / (MAX_JPEG_PX - cell_height)))
    rows = math.ceil(len(previews) / columns)
    canvas = Image.new(
        "RGB", (min(columns, len(previews)) * cell_width + GAP_PX, rows * cell_height + GAP_PX), BACKGROUND
    )
    for position, preview in enumerate(previews):
        left, top = GAP_PX + position % columns * cell_width, GAP_PX + position // columns * cell_height
        canvas.paste(Image.fromarray(preview.thumbnail), (left, top))
        for row, (caption, shade) in enumerate(zip(preview.captions, (TEXT, MUTED), strict=True)):
            write_text(
                canvas,
                (left, top + preview.thumbnail.shape[0] + row * line),
                caption,
                size_px=font,
                width=width,
                colour=shade,
            )
    _save(canvas, target, settings)
