"""Manifest of the merge and fuse stages."""

from seamark.manifests.base import Manifest, Record
from seamark.settings.base import Split


class MapRecord(Record):
    """The anomaly map of one image: a float32 TIFF."""

    id: str
    file: str
    """Path relative to the manifest's folder."""
    image_width: int
    """px of the photograph"""
    image_height: int
    map_width: int
    """px of the map"""
    map_height: int
    sha256: str
    """Digest of the pixels."""
    minimum: float
    maximum: float
    mean: float


class MapsManifest(Manifest):
    """The anomaly maps of one category and split, in the order of the index."""

    detector: str
    """Name of the detector, or of the fused members joined by ``+``."""
    category: str
    split: Split
    maps: tuple[MapRecord, ...]
