"""Manifest of the binarize and refine stages."""

from typing import Literal

from pydantic import Field

from seamark.manifests.base import Inside, Manifest, Px, Record
from seamark.settings.base import Split


class ThresholdRecord(Record):
    """One threshold of one image, in raw score units."""

    rule: Literal["mean_std", "quantile", "evt", "conformal", "mebin", "grow"]
    """``grow`` is what components were grown down to, around what the other rules found."""
    value: float | None
    """Pixels above it are foreground; None when the rule found no threshold, so it contributes nothing."""
    sees_test_images: bool
    """Whether a test image had a part in it."""
    from_variants: bool = False
    """Whether it comes from variants of the validation photographs and not from these."""
    crossfitted: Literal["train_crossfit", "validation_and_crossfit"] | None = Field(
        None, exclude_if=lambda normal: normal is None
    )
    """Normal images that it comes from, where training photographs scored by models of folds are among them; absent
    otherwise. Test images are scored by another model, so a promise is no guarantee then: it holds as far as the models
    score alike what they have not seen."""
    promised_image_rate: float | None = None
    """Largest share of normal images that the rule flags on average; None where it promises none."""
    promised_pixel_rate: float | None = None
    """Largest share of the pixels of the normal images it saw that lie above; None where it promises none."""


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


class MasksManifest(Manifest):
    """The masks of one category and split, in the order of the index."""

    category: Inside
    split: Split
    stage: Literal["coarse", "refined"]
    method: str
    """The rules joined by ``+`` for coarse masks, the refinement method for refined ones."""
    masks: tuple[MaskRecord, ...]
