"""Manifest of the preview stage."""

from typing import Literal

from seamark.manifests.base import Inside, Manifest, Record
from seamark.settings.base import Split

LayerName = Literal["thumbnail", "photograph", "map", "coarse", "refined", "truth"]


class LayerRecord(Record):
    """One picture of an image for a gallery or a viewer."""

    name: LayerName
    """``coarse``, ``refined`` and ``truth`` are clear outside of the mask; an empty mask has no layer."""
    file: Inside
    """JPEG, or PNG of a mask, path relative to the manifest's folder."""
    sha256: str
    """Digest of the file."""


class StripRecord(Record):
    """The overlay strip of one image, its layers, and the files of earlier stages that they show."""

    id: Inside
    file: Inside
    """JPEG, path relative to the manifest's folder: image, map, coarse, refined and known truth side by side."""
    sha256: str
    """Digest of the file."""
    layer_width: int
    """px of every layer but the thumbnail"""
    layer_height: int
    layers: tuple[LayerRecord, ...]
    map: str
    """float32 TIFF of the map, path relative to the manifest's folder like the following ones."""
    coarse: str
    """PNG of the coarse mask."""
    refined: str


class PreviewManifest(Manifest):
    """Previews of one category and split."""

    category: Inside
    split: Split
    contact_sheet: str
    """JPEG with all images of the split, path relative to the manifest's folder."""
    colour_range: tuple[float, float]
    """Scores that the first and the last colour of the map panels stand for; one range per category."""
    strips: tuple[StripRecord, ...]
