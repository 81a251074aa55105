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
    """What the gate did: ``emptied`` because the answer is good, ``marked`` around the highest score because it is not
    and the mask was empty."""


class VerdictManifest(Manifest):
    """Verdicts on the images of one category and split, in the order of the index."""

    category: Inside
    split: Split
    normal: Normal
    """Normal images that p rests on; a normal image is judged by the others, without its own variants."""
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
