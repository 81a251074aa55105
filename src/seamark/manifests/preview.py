"""Manifest of the preview stage."""

from seamark.manifests.base import Manifest, Record
from seamark.settings.base import Split


class StripRecord(Record):
    """The overlay strip of one image."""

    id: str
    file: str
    """JPEG, path relative to the manifest's folder: image, map, coarse, refined and known truth side by side."""
    sha256: str
    """Digest of the file."""


class PreviewManifest(Manifest):
    """Previews of one category and split."""

    category: str
    split: Split
    contact_sheet: str
    """JPEG with all images of the split, path relative to the manifest's folder."""
    colour_range: tuple[float, float]
    """Scores that the first and the last colour of the map panels stand for; one range per category."""
    strips: tuple[StripRecord, ...]
