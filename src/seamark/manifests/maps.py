"""Manifest of the merge and fuse stages."""

from seamark.manifests.base import Inside, Manifest, Px, Record
from seamark.settings.base import Split


class MapRecord(Record):
    """The anomaly map of one image: a float32 TIFF."""

    id: Inside
    file: str
    """Path relative to the manifest's folder; beyond it where the maps of a single member are referred to."""
    image_width: Px
    """px of the photograph"""
    image_height: Px
    map_width: Px
    """px of the map"""
    map_height: Px
    sha256: str
    """Digest of the pixels."""
    minimum: float
    maximum: float
    mean: float


class MapsManifest(Manifest):
    """The anomaly maps of one category and split, in the order of the index."""

    detector: str
    """Name of the detector, or of the fused members joined by ``+``."""
    category: Inside
    split: Split
    maps: tuple[MapRecord, ...]
