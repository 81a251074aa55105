"""Manifest of the masks of the binarize, refine and verdict stages."""

from typing import Literal

from seamark.manifests.base import Inside, Manifest, Px, Record
from seamark.settings.base import Split
from seamark.settings.binarize import Normal


class ThresholdRecord(Record):
    """One threshold of one image, in raw score units."""

    rule: Literal["mean_std", "quantile", "evt", "conformal", "peaks", "mebin", "grow", "extent", "closing"]
    """``grow`` is what components were grown down to around what the other rules found, ``extent`` what the outline of
    no defect lies below, and ``closing`` what no pixel that closing adds lies below."""
    value: float | None
    """Pixels above it are foreground; None when the rule found no threshold, so it contributes nothing."""
    sees_test_images: bool
    """Whether a test image had a part in it."""
    normal: Normal | None = None
    """Normal images that it comes from; None if it comes from none. Where training photographs scored by models of
    folds are among them, a promise is no guarantee: test images are scored by another model, so it holds as far as the
    models score alike what they have not seen."""
    promised_image_rate: float | None = None
    """Largest share of normal images that the rule flags on average; None where it promises none."""
    promised_pixel_rate: float | None = None
    """Largest share of the pixels of the normal images it saw that lie above; None where it promises none."""

    @property
    def finds(self) -> bool:
        """Whether it decides what is a defect, and not how far one reaches."""
        return self.rule not in ("grow", "extent", "closing")


class MaskRecord(Record):
    """The binary mask of one image: an 8-bit PNG of 0 and 255 at the size of the photograph."""

    id: Inside
    file: Inside
    """Path relative to the manifest's folder."""
    width: Px
    height: Px
    sha256: str
    """Digest of the mask as a bool array."""
    foreground_px: int
    components: int
    """8-connected components of the foreground."""
    thresholds: tuple[ThresholdRecord, ...]
    """Empty after refinement."""
    kept_coarse: int = 0
    """Components that refinement left as they were because nothing was found in them, or what the anomaly map did not
    bear out; 0 for coarse masks."""


class MaskWarning(Record):
    """What a person should know of the masks of a split."""

    text: str
    photograph: Inside
    """Normal photograph that it names."""
    photograph_split: Split


class MasksManifest(Manifest):
    """The masks of one category and split, in the order of the index."""

    category: Inside
    split: Split
    stage: Literal["coarse", "refined", "judged"]
    method: str
    """The rules joined by ``+`` for coarse masks, the refinement method for refined and judged ones."""
    masks: tuple[MaskRecord, ...]
    least_evidence: float | None = None
    """What the evidence of every component of a coarse mask exceeds, image px times score; None if none is weighed."""
    warnings: tuple[MaskWarning, ...] = ()
    """Of the binarize stage; empty after refinement."""
