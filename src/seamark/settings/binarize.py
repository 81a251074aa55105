"""Settings of the binarize stage."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings

Scope = Literal["validation", "split", "image"]
"""Whose pixels a statistic is taken over; only ``validation`` never sees a test image."""


class MeanStdSettings(Settings):
    """Threshold at mean + k standard deviations of all pixel scores in scope."""

    enabled: bool = Field(True, description="whether this rule contributes to the mask")
    k: float = Field(3.0, ge=0.0, le=100.0, description="number of standard deviations above the mean")
    scope: Scope = Field(
        "validation", description="validation: no test image is seen; split: RoBiS; image: each map alone"
    )

    @property
    def sees_test_images(self) -> bool:
        """Whether test images have a part in the thresholds of a test split."""
        return self.enabled and self.scope != "validation"


class MebinSettings(Settings):
    """MEBin: the threshold at which the number of components stays constant the longest (RoBiS section E.2)."""

    enabled: bool = Field(False, description="whether this rule contributes to the mask; it always sees the test split")
    scores: Literal["raw", "released"] = Field(
        "raw",
        description="raw: brought to 0..255 by the range of the split; "
        "released: on that scale already (parity: maps merged like the released ones)",
    )
    sample_rate: int = Field(4, ge=1, le=64, description="step between sampled thresholds on the 0..255 scale")
    min_interval: int = Field(4, ge=1, le=64, description="shortest run of equal component counts, in steps")
    erode_px: int = Field(6, ge=0, le=64, description="side of the square erosion in map pixels, 0 for none")
    truncate: bool = Field(True, description="parity: round the threshold down to an integer of the 0..255 scale")

    @property
    def sees_test_images(self) -> bool:
        """Whether test images have a part in the thresholds of a test split: always, the range is that of the split."""
        return self.enabled


class BinarizeSettings(Settings):
    """How anomaly maps become coarse masks: mean + k std OR MEBin."""

    at: Literal["native", "map"] = Field(
        "native", description="native: bring the map to image size first; map: threshold, then enlarge"
    )
    mean_std: MeanStdSettings = Field(default_factory=MeanStdSettings)
    mebin: MebinSettings = Field(default_factory=MebinSettings)
    erode_px: int = Field(
        0, ge=0, le=64, description="square erosion of the mean + k std mask in map pixels, 0 for none (RoBiS: 6)"
    )
    compensate_erosion: bool = Field(
        False, description="dilate eroded masks back by the mirrored square; parity: false, they stay shrunken"
    )
    peak_share: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="drop pixels that rise less above the validation mean than this share of their component's peak",
    )
    min_area_px: int = Field(0, ge=0, description="drop components smaller than this many image pixels")

    @model_validator(mode="after")
    def _at_least_one_rule(self) -> "BinarizeSettings":
        if not (self.mean_std.enabled or self.mebin.enabled):
            raise ValueError("enable mean_std, mebin or both: without a rule every mask would be empty")
        return self
