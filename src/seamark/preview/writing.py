"""Previews of one split: a strip and the layers of every image, and a contact sheet of all."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from seamark.files.atomic import file_digest
from seamark.files.images import UInt8Array
from seamark.manifests.preview import StripRecord
from seamark.preview.layers import save_jpeg, write_layers
from seamark.preview.panels import (
    BACKGROUND,
    MUTED,
    REFINED,
    TEXT,
    draw_contours,
    line_height,
    panel_size,
    photograph_panel,
    write_text,
)
from seamark.preview.sources import PreviewPixels, PreviewSource, read_pixels
from seamark.preview.strips import GAP_PX, draw_strip
from seamark.settings.preview import PreviewSettings

THUMBNAIL_PX = 240
"""Longer side of an image on a contact sheet and in a gallery."""
MAX_JPEG_PX = 65_000
"""JPEG ends at 65,535 px; a higher contact sheet gets more columns."""


@dataclass(frozen=True)
class Preview:
    """The strip and the layers of one image on disk, and its part of the contact sheet."""

    record: StripRecord
    thumbnail: UInt8Array
    """RGB, shape (h, w, 3)."""
    captions: tuple[str, str]


def write_preview(
    source: PreviewSource, folder: Path, published: Path, score_range: tuple[float, float], settings: PreviewSettings
) -> Preview:
    """Draw strip and layers of one image and write them.

    Parameters
    ----------
    source : PreviewSource
        The image and what was made of it.
    folder : Path
        Folder to write to, possibly a draft that is swapped in later; the strip becomes ``<id>.jpg`` below it.
    published : Path
        The folder's path in the end; the manifest lies beside it.
    score_range : tuple of float
        Scores of the first and the last colour of the map.
    settings : PreviewSettings
        Sizes and JPEG quality.

    Returns
    -------
    Preview
        With files relative to the folder of the manifest.

    Raises
    ------
    DataError
        If an image or a mask is damaged, or a mask has another size than its image.
    ManifestError
        If the anomaly map or a mask is not the one that its manifest describes.
    """
    pixels = read_pixels(source)
    target = folder / f"{source.id}.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    strip = draw_strip(source, pixels, score_range, settings.panel_px)
    save_jpeg(strip, target, settings.jpeg_quality)
    thumbnail = _thumbnail(pixels, min(THUMBNAIL_PX, settings.panel_px))
    width, height, layers = write_layers(
        source.id,
        pixels,
        thumbnail,
        folder,
        published_as=published.name,
        score_range=score_range,
        settings=settings,
    )
    record = StripRecord(
        id=source.id,
        file=f"{published.name}/{source.id}.jpg",
        sha256=file_digest(target),
        layer_width=width,
        layer_height=height,
        layers=layers,
        map=_relative(source.manifests.maps.parent / source.map.file, published.parent),
        coarse=_relative(source.manifests.coarse.parent / source.coarse.file, published.parent),
        refined=_relative(source.manifests.refined.parent / source.refined.file, published.parent),
    )
    label = f", {source.label}" if source.label else ""
    return Preview(record, thumbnail, (source.id, f"peak {source.map.maximum:.4g}{label}"))


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _thumbnail(pixels: PreviewPixels, longer_side: int) -> UInt8Array:
    photograph = photograph_panel(pixels.image, panel_size(pixels.image.shape, longer_side))
    return draw_contours(photograph, pixels.refined, REFINED, 1)


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
    save_jpeg(canvas, target, settings.jpeg_quality)
