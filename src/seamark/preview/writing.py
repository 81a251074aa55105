"""Previews of one split: a strip and the layers of every image, and a contact sheet of all."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seamark.files.atomic import file_digest
from seamark.manifests.preview import StripRecord
from seamark.preview.layers import write_layers
from seamark.preview.panels import REFINED, draw_contours, panel_size, photograph_panel
from seamark.preview.sheets import Captioned, save_jpeg, sheet
from seamark.preview.sources import PreviewSource, read_pixels
from seamark.preview.strips import draw_strip
from seamark.settings.preview import PreviewSettings

THUMBNAIL_PX = 240
"""Longer side of an image on a contact sheet and in a gallery."""


@dataclass(frozen=True)
class Preview:
    """The strip and the layers of one image on disk, and its part of the contact sheet."""

    record: StripRecord
    thumbnail: Captioned


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
    save_jpeg(draw_strip(source, pixels, score_range, settings.panel_px), target, settings.jpeg_quality)
    size = panel_size(pixels.image.shape, min(THUMBNAIL_PX, settings.panel_px))
    thumbnail = draw_contours(photograph_panel(pixels.image, size), pixels.refined, REFINED, 1)
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
    return Preview(record, Captioned(source.id, thumbnail, f"peak {source.map.maximum:.4g}{label}"))


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def write_contact_sheet(previews: Sequence[Preview], target: Path, settings: PreviewSettings) -> None:
    """Write one JPEG with all images of a split, their refined contours and their peak scores.

    Parameters
    ----------
    previews : sequence of Preview
        At least one, in the order of the sheet.
    target : Path
        JPEG to write.
    settings : PreviewSettings
        Images per row (more when the sheet would be higher than a JPEG can be) and JPEG quality.
    """
    thumbnails = [preview.thumbnail for preview in previews]
    save_jpeg(sheet(thumbnails, settings.contact_columns, max(9, THUMBNAIL_PX // 18)), target, settings.jpeg_quality)
