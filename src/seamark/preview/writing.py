"""Previews of one split: a strip and the layers of every image, and a contact sheet of all.

Layers are photograph, map, masks and truth of one image as files of one size that lie on each other in a viewer.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seamark.files.atomic import file_digest
from seamark.files.images import UInt8Array
from seamark.manifests.preview import LayerName, LayerRecord, StripRecord
from seamark.preview.panels import (
    HALO,
    MASK_COLOURS,
    REFINED,
    draw_contours,
    folded,
    map_panel,
    mask_panel,
    panel_size,
    photograph_panel,
)
from seamark.preview.sheets import Captioned, Colour, save_jpeg, sheet
from seamark.preview.sources import PreviewPixels, PreviewSource, read_pixels
from seamark.preview.strips import draw_strip
from seamark.settings.preview import PreviewSettings

THUMBNAIL_PX = 240
"""Longer side of an image on a contact sheet and in a gallery."""
OPACITIES = (0, 64, 140, 255)
"""Of a mask layer, 0..255: beyond the mask, inside it, halo of its outline, outline."""


@dataclass(frozen=True)
class Preview:
    """The strip and the layers of one image on disk, and its part of the contact sheet."""

    record: StripRecord
    thumbnail: Captioned


def write_preview(
    source: PreviewSource, folder: Path, published: Path, score_range: tuple[float, float], settings: PreviewSettings
) -> Preview:
    """Draw strip and layers of one image and write them.

    Layers lie in ``layers/<id>/``. Photograph, map and thumbnail are JPEG; masks and truth are PNG of four colours,
    clear outside. An empty mask gets no file. No layer is larger than the photograph.

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
    shape, strip, layers = pixels.image.shape, folder / f"{source.id}.jpg", folder / "layers" / source.id
    save_jpeg(draw_strip(source, pixels, score_range, settings.panel_px), strip, settings.jpeg_quality)
    small = photograph_panel(pixels.image, panel_size(shape, min(THUMBNAIL_PX, settings.panel_px)))
    size = min(panel_size(shape, settings.layer_px), shape[:2])
    drawn: dict[LayerName, UInt8Array] = {
        "thumbnail": folded(draw_contours(small, pixels.refined, REFINED, 1), shape),
        "photograph": photograph_panel(pixels.image, size),
        "map": map_panel(pixels.scores, size, score_range),
    }
    written: dict[LayerName, Path] = {}
    for name, panel in drawn.items():
        written[name] = layers / f"{name}.jpg"
        save_jpeg(Image.fromarray(panel), written[name], settings.jpeg_quality)
    written |= _write_masks(pixels, size, layers, max(1, settings.layer_px // 512))
    record = StripRecord(
        id=source.id,
        file=f"{published.name}/{source.id}.jpg",
        sha256=file_digest(strip),
        layer_width=size[1],
        layer_height=size[0],
        layers=tuple(
            LayerRecord(name=name, file=f"{published.name}/layers/{source.id}/{path.name}", sha256=file_digest(path))
            for name, path in written.items()
        ),
        map=_relative(source.manifests.maps.parent / source.map.file, published.parent),
        coarse=_relative(source.manifests.coarse.parent / source.coarse.file, published.parent),
        refined=_relative(source.manifests.refined.parent / source.refined.file, published.parent),
    )
    label = f", {source.label}" if source.label else ""
    return Preview(record, Captioned(source.id, drawn["thumbnail"], f"peak {source.map.maximum:.4g}{label}"))


def _write_masks(pixels: PreviewPixels, size: tuple[int, int], folder: Path, line_px: int) -> dict[LayerName, Path]:
    written: dict[LayerName, Path] = {}
    for name, colour in MASK_COLOURS.items():
        mask = getattr(pixels, name)
        if mask is not None and mask.any():
            written[name] = folder / f"{name}.png"
            _save_mask(mask_panel(mask, size, line_px), colour, written[name])
    return written


def _save_mask(panel: UInt8Array, colour: Colour, target: Path) -> None:
    image = Image.fromarray(panel).convert("P")
    image.putpalette(np.array([colour, colour, HALO, colour], np.uint8).tobytes())
    image.save(target, format="PNG", bits=2, transparency=bytes(OPACITIES))


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def write_contact_sheet(previews: Sequence[Preview], target: Path, settings: PreviewSettings) -> None:
    """Write one JPEG with all images of a split, at least one, their refined contours and their peak scores."""
    thumbnails = [preview.thumbnail for preview in previews]
    save_jpeg(sheet(thumbnails, settings.contact_columns, max(9, THUMBNAIL_PX // 18)), target, settings.jpeg_quality)
