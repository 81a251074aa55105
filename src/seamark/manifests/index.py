"""Manifests of the index and truth stages."""

from typing import Literal

from pydantic import Field

from seamark.manifests.base import Inside, Manifest, Px, Record
from seamark.settings.base import Layout, Split
from seamark.settings.pixels import PixelSettings


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
    """px, of the photograph as it is decoded"""
    height: Px
    """px"""
    channels: Literal[1, 3]
    sha256: str
    """Digest of the file."""
    mask: Inside | None
    """Path of the truth mask relative to the data root; None for private images, for good ones without a mask, and for
    all of a category without masks."""
    pixels: PixelSettings = Field(PixelSettings(), exclude_if=lambda pixels: pixels == PixelSettings())
    """How the file is decoded, by every stage alike."""


class IndexManifest(Manifest):
    """All images of a category and split, sorted by id."""

    category: Inside
    split: Split
    layout: Layout
    images: tuple[ImageRecord, ...]


LeftOut = Literal["no mask", "empty mask", "mask of a good image"]
"""Why the pixels of an image have no truth: a bad one's mask is not there or empty, a good one's has defect pixels."""


class TruthRecord(Record):
    """Truth of one image, public or private."""

    split: Split
    id: Inside
    mask: Inside | None
    """Path of the mask, a file or a folder of several, relative to the root named by ``root``; None for none."""
    root: Literal["data", "truth"]
    sha256: str | None
    labels: bool = Field(False, exclude_if=lambda labels: not labels)
    """Whether values of the mask are kinds of defects, all but 0, and not 255 alone."""
    bad: bool
    """By the folder of the image; by its mask where the truth is private, which has no folders."""
    defect_px: int | None
    """Number of defect pixels of the mask; without one 0 for a good image, None for a bad one."""
    left_out: LeftOut | None = Field(None, exclude_if=lambda why: why is None)
    """Why scores of pixels and defects leave the image out; it still counts as an image."""


class TruthManifest(Manifest):
    """The known truth of a category and test split; only evaluate and preview read it."""

    category: Inside
    split: Split
    images: tuple[TruthRecord, ...]

    @property
    def by_id(self) -> dict[str, TruthRecord]:
        """Records by image id; empty when the truth of the split is not known."""
        return {record.id: record for record in self.images}
