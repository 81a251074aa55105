"""Layers of one image for a viewer: photograph, map, masks and truth as files of one size that lie on each other."""

from pathlib import Path

import numpy as np
from PIL import Image

from seamark.files.atomic import file_digest
from seamark.files.images import BoolArray, UInt8Array
from seamark.manifests.preview import LayerName, LayerRecord
from seamark.preview.panels import (
    COARSE,
    HALO,
    REFINED,
    TRUTH,
    map_panel,
    mask_panel,
    panel_size,
    photograph_panel,
)
from seamark.preview.sheets import Colour, save_jpeg
from seamark.preview.sources import PreviewPixels
from seamark.settings.preview import PreviewSettings

COLOURS: dict[LayerName, Colour] = {"coarse": COARSE, "refined": REFINED, "truth": TRUTH}
"""Colours of the layers that show a mask."""
OPACITIES = (0, 64, 140, 255)
"""Of a mask layer, 0..255: beyond the mask, inside it, halo of its outline, outline."""


def write_layers(
    image_id: str,
    pixels: PreviewPixels,
    thumbnail: UInt8Array,
    folder: Path,
    *,
    published_as: str,
    score_range: tuple[float, float],
    settings: PreviewSettings,
) -> tuple[int, int, tuple[LayerRecord, ...]]:
    """Write the layers of one image to ``layers/<image_id>/``.

    Photograph, map and thumbnail are JPEG; masks and truth are PNG of four colours, clear outside. An empty mask gets
    no file. No layer is larger than the photograph.

    Parameters
    ----------
    image_id : str
        Id of the image; slashes make sub-folders.
    pixels : PreviewPixels
        What to draw.
    thumbnail : ndarray of uint8, shape (h, w, 3)
        RGB.
    folder : Path
        Folder to write to, possibly a draft that is swapped in later.
    published_as : str
        Name that the folder has beside the manifest in the end.
    score_range : tuple of float
        Scores of the first and the last colour of the map.
    settings : PreviewSettings
        Size of the layers and JPEG quality.

    Returns
    -------
    tuple of int, int, tuple of LayerRecord
        Width and height in px of all layers but the thumbnail, and the entries for the manifest.
    """
    target = folder / "layers" / image_id
    target.mkdir(parents=True, exist_ok=True)
    size = panel_size(pixels.image.shape, min(settings.layer_px, max(pixels.image.shape[:2])))
    drawn: dict[LayerName, UInt8Array] = {
        "thumbnail": thumbnail,
        "photograph": photograph_panel(pixels.image, size),
        "map": map_panel(pixels.scores, size, score_range),
    }
    written: dict[LayerName, Path] = {}
    for name, panel in drawn.items():
        written[name] = target / f"{name}.jpg"
        save_jpeg(Image.fromarray(panel), written[name], settings.jpeg_quality)
    masks: dict[LayerName, BoolArray | None] = {
        "coarse": pixels.coarse,
        "refined": pixels.refined,
        "truth": pixels.truth,
    }
    for name, mask in masks.items():
        if mask is not None and mask.any():
            written[name] = target / f"{name}.png"
            _save_mask(mask_panel(mask, size, max(1, settings.layer_px // 512)), COLOURS[name], written[name])
    records = tuple(
        LayerRecord(name=name, file=f"{published_as}/layers/{image_id}/{path.name}", sha256=file_digest(path))
        for name, path in written.items()
    )
    return size[1], size[0], records


def _save_mask(panel: UInt8Array, colour: Colour, target: Path) -> None:
    image = Image.fromarray(panel).convert("P")
    image.putpalette(np.array([colour, colour, HALO, colour], np.uint8).tobytes())
    image.save(target, format="PNG", bits=2, transparency=bytes(OPACITIES))
