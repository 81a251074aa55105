"""Manifests of the index and truth stages."""

from typing import Literal

from seamark.manifests.base import Inside, Manifest, Px, Record
from seamark.settings.base import Split


class ImageRecord(Record):
    """One image of the data set."""

    id: Inside
    """Unique within its split: the path below the split without suffix, e.g. ``bad/000_regular`` or ``000_mixed``."""
    file: Inside
    """Path relative to the data root."""
    split: Split
    label: Literal["good", "bad"] | None
    """None where the truth is private."""
    light: str
    """Light condition from the file name: ``regular``, ``shift_1``, ``mixed``; ``regular`` when it has none."""
    width: Px
    """px"""
    height: Px
    """px"""
    channels: Literal[1, 3]
    sha256: str
    """Digest of the file."""
    mask: Inside | None
    """Path of the truth mask relative to the data root; None for good and private images."""
    mask_sha256: str | None


class IndexManifest(Manifest):
    """All images of a category and split, sorted by id."""

    category: Inside
    split: Split
    layout: Literal["mvtec_ad_2", "mvtec_ad"]
    images: tuple[ImageRecord, ...]


class TruthRecord(Record):
    """Truth of one image, public or private."""

    split: Split
    id: Inside
    mask: Inside | None
    """Path of the mask relative to the root named by ``root``; None for an image that is good by its folder."""
    root: Literal["data", "truth"]
    sha256: str | None
    defect_px: int
    """Number of defect pixels; 0 for a good image."""


class TruthManifest(Manifest):
    """The known truth of a category and test split; only evaluate and preview read it."""

    category: Inside
    split: Split
    images: tuple[TruthRecord, ...]

    @property
    def by_id(self) -> dict[str, TruthRecord]:
        """Records by image id; empty when the truth of the split is not known."""
        return {record.id: record for record in self.images}
