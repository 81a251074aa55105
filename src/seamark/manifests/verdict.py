"""Manifest of the verdict stage."""

from typing import Literal

from seamark.manifests.base import Inside, Manifest, PositionPx, Px, Record
from seamark.settings.base import Split
from seamark.settings.binarize import Normal

Answer = Literal["good", "look", "bad"]
"""``bad``: p at most the lower rate; ``look``: above it and at most the higher one; ``good``: above both."""


class RateRecord(Record):
    """A share of normal images that may get an answer."""

    asked: float
    used: float
    """The nearest share that so many normal images can tell, at least ``asked``."""
    above: float
    """Highest score that is not flagged at the rate used: what lies above it is."""


class Basis(Record):
    """Normal images that an image is judged by."""

    normal_photographs: int
    normal_images: int
    """Photographs and variants."""
    bad: RateRecord
    look: RateRecord

    @property
    def smallest_p(self) -> float:
        """What an image gets that scores higher than all of them."""
        return 1.0 / (self.normal_images + 1)


class LargestDefect(Record):
    """Box of the component with most pixels, in image px."""

    x: PositionPx
    y: PositionPx
    width: Px
    height: Px


class ImageVerdict(Record):
    """What is said of one image."""

    id: Inside
    score: float
    """Highest score of its map."""
    p: float
    """(1 + normal images with at least its score) / (normal images + 1)."""
    percentile: float
    """Share of the normal images below its score, 0..100."""
    answer: Answer
    defects: int
    """Components of its mask."""
    area_px: int
    """Pixels of its mask."""
    largest: LargestDefect | None
    """None for an empty mask."""
    mask: Literal["kept", "emptied", "marked"] = "kept"
    """What the gate did: ``emptied`` because the answer is good, ``marked`` around the highest score because it is bad
    and the mask was empty."""
    basis: Basis | None = None
    """Of a normal image, which is judged by the others, without its own variants; None for the one of the split."""


class VerdictManifest(Manifest):
    """Verdicts on the images of one category and split, in the order of the index."""

    category: Inside
    split: Split
    normal: Normal
    """Normal images that p rests on."""
    normal_photographs: int
    normal_images: int
    """Photographs and variants."""
    smallest_p: float
    bad: RateRecord
    look: RateRecord
    gate: bool
    normal_scores: tuple[float, ...]
    """Highest score of every normal image, ascending."""
    images: tuple[ImageVerdict, ...]

    def basis_of(self, image: ImageVerdict) -> Basis:
        """Return what an image of the split was judged by."""
        if image.basis is not None:
            return image.basis
        images, photographs = self.normal_images, self.normal_photographs
        return Basis(normal_photographs=photographs, normal_images=images, bad=self.bad, look=self.look)
