"""Manifest of the merge and fuse stages."""

from typing import Annotated

from pydantic import Field, model_validator

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
    cell_px: Annotated[float, Field(gt=0.0)] = 1.0
    """Side of the cells that were scored, in px of the photograph; 1 where pixels were."""


class Scaling(Record):
    """How a member's scores are brought to a common scale: ``weight * (score - rise - centre) / spread``."""

    weight: float
    centre: float = 0.0
    spread: float = 1.0
    rise: tuple[tuple[float, ...], ...] = ()
    """What is taken off towards the border, see :func:`seamark.maps.borders.levelled`; empty for nothing."""


class FusedMember(Record):
    """A member of a fusion."""

    scaling: Scaling
    maps: tuple[MapRecord, ...]
    """As they were merged, beyond the manifest's folder, in the order of the fused ones."""


class MapsManifest(Manifest):
    """The anomaly maps of one category and split, in the order of the index."""

    detector: str
    """Name of the detector, or of the fused members joined by ``+``."""
    category: Inside
    split: Split
    maps: tuple[MapRecord, ...]
    members: tuple[FusedMember, ...] = ()
    """Of maxima, what they were taken of."""

    @model_validator(mode="after")
    def _members_have_the_same_images(self) -> "MapsManifest":
        images = [record.id for record in self.maps]
        if any([record.id for record in member.maps] != images for member in self.members):
            raise ValueError("a member has maps of other images")
        return self
