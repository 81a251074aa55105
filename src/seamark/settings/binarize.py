"""Settings of the binarize stage."""

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from seamark.settings.base import Settings, Split
from seamark.settings.calibrate import IMAGE_QUANTILES
from seamark.settings.crossfit import CROSSFIT_TRAIN, CrossfitSettings
from seamark.settings.fuse import FuseSettings
from seamark.settings.light_variants import VALIDATION_VARIANTS, LightVariantsSettings
from seamark.settings.merge import MergeSettings

Scope = Literal["validation", "split", "image"]
"""Whose pixels a statistic is taken over; only ``validation``, the normal images, never sees a test image."""

Normal = Literal[
    "validation", "validation_variants", "train_crossfit", "validation_and_crossfit", "validation_and_variants"
]
NORMAL_SPLITS: Mapping[Normal, tuple[Split, ...]] = {
    "validation": ("validation",),
    "validation_variants": (VALIDATION_VARIANTS,),
    "train_crossfit": (CROSSFIT_TRAIN,),
    "validation_and_crossfit": ("validation", CROSSFIT_TRAIN),
    "validation_and_variants": ("validation", VALIDATION_VARIANTS),
}
"""Splits whose images are the normal ones, together as if they were of one split."""


def normal_with(split: Split) -> tuple[Normal, ...]:
    """Return the choices of normal images that have those of a split among them."""
    return tuple(normal for normal, splits in NORMAL_SPLITS.items() if split in splits)


def images_needed(rate: float) -> int:
    """Return the fewest normal images that can tell such a share of them: 1 / rate - 1."""
    return math.ceil(round(1.0 / rate - 1.0, 9))


def conformal_rank(alpha: float, count: int) -> int:
    """Return which of so many values of normal images, counted from the lowest as 1, a share alpha may exceed."""
    return math.ceil(round((count + 1) * (1.0 - alpha), 9))


CROSSFITTED = normal_with(CROSSFIT_TRAIN)
"""Choices with training photographs, each scored by a model that has not seen it."""

RULES = ("mean_std", "quantile", "evt", "conformal", "peaks", "mebin")
"""Blocks of the binarize section that each give a threshold."""


class MeanStdSettings(Settings):
    """Threshold at mean + k standard deviations of all pixel scores in scope."""

    enabled: bool = Field(True, description="whether this rule contributes to the mask")
    k: float = Field(3.0, ge=0.0, le=100.0, description="number of standard deviations above the mean")
    scope: Scope = Field(
        "validation",
        description="validation: the normal images, no test image is seen; split: RoBiS; image: each map alone",
    )

    @property
    def sees_test_images(self) -> bool:
        """Whether test images have a part in the thresholds of a test split."""
        return self.enabled and self.scope != "validation"


class MebinSettings(Settings):
    """MEBin: the threshold with the longest constant number of components (docs/methods/robis.md#mebin)."""

    enabled: bool = Field(False, description="whether this rule contributes to the mask; it always sees the test split")
    scores: Literal["raw", "robis"] = Field(
        "raw",
        description="raw: brought to 0..255 by the range of the split; "
        "robis: on that scale already (parity: maps merged as RoBiS merges them)",
    )
    sample_rate: int = Field(4, ge=1, le=64, description="step between sampled thresholds on the 0..255 scale")
    min_interval: int = Field(4, ge=1, le=64, description="shortest run of equal component counts, in steps")
    erode_px: int = Field(6, ge=0, le=64, description="side of the square erosion in map pixels, 0 for none")
    truncate: bool = Field(True, description="parity: round the threshold down to an integer of the 0..255 scale")

    @property
    def sees_test_images(self) -> bool:
        """Whether test images have a part in the thresholds of a test split: always, the range is that of the split."""
        return self.enabled


class QuantileSettings(Settings):
    """Threshold that a share of the pixels of normal images does not exceed."""

    enabled: bool = Field(False, description="whether this rule contributes to the mask")
    q: float = Field(0.999, ge=0.0, le=1.0, description="share of the pixels of normal images up to the quantile")
    factor: float = Field(
        1.0, gt=0.0, le=100.0, description="the threshold is so many times the quantile of raw scores (SuperADD: 1.421)"
    )


class EvtSettings(Settings):
    """Threshold from an extreme-value (Gumbel) fit of the peaks of normal images."""

    enabled: bool = Field(False, description="whether this rule contributes to the mask")
    image_rate: float = Field(
        0.1, gt=0.0, lt=1.0, description="share of normal images that it may flag, if their peaks follow the fit"
    )

    def refusal(self, count: int) -> str | None:
        """Return why so many normal images are too few, or None if they may suffice."""
        if count >= 2:
            return None
        return (
            f"binarize.evt.enabled: an extreme-value fit needs at least 2 normal images, there is {count}; add some to "
            "validation, take training photographs too (crossfit.folds, binarize.normal), or use binarize.mean_std"
        )


class ConformalSettings(Settings):
    """Threshold that a further normal image exceeds with a probability of at most alpha, whatever the distribution."""

    enabled: bool = Field(False, description="whether this rule contributes to the mask")
    alpha: float = Field(
        0.2, gt=0.0, lt=1.0, description="share of normal images that it may flag; needs 1 / alpha - 1 of them"
    )

    @property
    def images_needed(self) -> int:
        """Fewest normal images for which the guarantee can be given."""
        return images_needed(self.alpha)

    def refusal(self, count: int) -> str | None:
        """Return why so many normal images are too few, or None if they suffice."""
        if count >= self.images_needed:
            return None
        return (
            f"binarize.conformal.alpha {self.alpha:g} needs at least {self.images_needed} normal images, there are "
            f"{count}; add some to validation, take training photographs too (crossfit.folds, binarize.normal), or "
            f"choose alpha >= {math.ceil(1e4 / (count + 1)) / 1e4:g}"
        )

    def rank(self, count: int) -> int:
        """Return which of so many peaks, counted from the lowest as 1, is the threshold."""
        return conformal_rank(self.alpha, count)


class PeaksSettings(Settings):
    """Threshold that normal images reach, without the odd ones among them."""

    enabled: bool = Field(False, description="whether this rule contributes to the mask")
    k: float = Field(
        4.0,
        ge=0.0,
        le=100.0,
        description="normal images whose peak lies more than so many robust standard deviations (1.4826 MAD) above the "
        "median peak are odd and left out",
    )
    q: float = Field(0.9, ge=0.0, le=1.0, description="share of the peaks of the others up to the threshold")


class ExtentSettings(Settings):
    """Where a defect ends: each component by the height of its own peak, less what features reach beyond a defect."""

    enabled: bool = Field(
        False, description="whether pixels above a threshold are only seeds, around which each defect is drawn"
    )
    floor_quantile: float = Field(
        0.99,
        json_schema_extra={"enum": list(IMAGE_QUANTILES)},
        description="no defect reaches below the median over the normal images of this quantile of their scores: "
        f"{', '.join(f'{q:g}' for q in IMAGE_QUANTILES[:-1])} or {IMAGE_QUANTILES[-1]:g}",
    )
    share: float = Field(
        0.4, gt=0.0, lt=1.0, description="share of its peak's height above normal scores that a defect's outline has"
    )
    reach_cells: float = Field(
        2.0,
        ge=0.0,
        le=100.0,
        description="how far beyond a defect that outline lies, in cells of the map; each component is made tighter by "
        "it",
    )
    depth: float = Field(
        3.0,
        ge=0.0,
        le=1000.0,
        description="how far below the threshold an outline may lie, in multiples of what the peak rises above it",
    )

    @field_validator("floor_quantile")
    @classmethod
    def _of_each_image(cls, share: float) -> float:
        if share not in IMAGE_QUANTILES:
            known = ", ".join(f"{q:g}" for q in IMAGE_QUANTILES)
            raise ValueError(f"{share!r} is not written down for each image; choose one of {known}")
        return share


class ClosingSettings(Settings):
    """Gaps between what exceeds a threshold closed along lines, as SuperADD does (docs/methods/superadd.md#mask)."""

    enabled: bool = Field(
        False,
        description="whether masks are closed along lines of many directions, cut to a lower threshold, filled and "
        "eroded",
    )
    directions: int = Field(16, ge=1, le=64, description="directions of the lines, spread over half a turn")
    half_length_px: float = Field(26.0, ge=1.0, le=200.0, description="half the length of a line in pixels of the map")
    half_length_share: float | None = Field(
        None, gt=0.0, le=0.1, description="half its length as a share of the map's shorter side; null: half_length_px"
    )
    floor_share: float = Field(
        0.8, gt=0.0, le=1.0, description="pixels that closing adds have scores above this share of the threshold"
    )
    erode_px: int = Field(
        1, ge=0, le=16, description="radius of the ellipse that filled masks are eroded with, in pixels of the mask"
    )

    def half_length(self, map_shape: tuple[int, int]) -> float:
        """Return half the length of a line in px of a map of this height and width, at most 200."""
        if self.half_length_share is None:
            return self.half_length_px
        return min(max(1.0, self.half_length_share * min(map_shape)), 200.0)


class BinarizeSettings(Settings):
    """How anomaly maps become coarse masks: the union of all enabled rules."""

    normal: Normal = Field(
        "validation",
        description="normal images that thresholds come from, where a rule does not say otherwise: the photographs, "
        "their variants (light_variants.validation_variants), training photographs that are each scored by a model "
        "that has not seen them (crossfit), or the photographs and one of these",
    )
    at: Literal["native", "map"] = Field(
        "native", description="native: bring the map to image size first; map: threshold, then enlarge"
    )
    mean_std: MeanStdSettings = Field(default_factory=MeanStdSettings)
    quantile: QuantileSettings = Field(default_factory=QuantileSettings)
    evt: EvtSettings = Field(default_factory=EvtSettings)
    conformal: ConformalSettings = Field(default_factory=ConformalSettings)
    peaks: PeaksSettings = Field(default_factory=PeaksSettings)
    mebin: MebinSettings = Field(default_factory=MebinSettings)
    erode_px: int = Field(
        0, ge=0, le=64, description="square erosion before all rules but MEBin in map pixels, 0 for none (RoBiS: 6)"
    )
    compensate_erosion: bool = Field(
        False, description="dilate eroded masks back by the mirrored square; parity: false, they stay shrunken"
    )
    grow_share: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="grow components down to this share of the lowest threshold's height above the validation mean; "
        "1 for none",
    )
    peak_share: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="drop pixels that rise less above the validation mean than this share of their component's peak",
    )
    extent: ExtentSettings = Field(default_factory=ExtentSettings)
    closing: ClosingSettings = Field(default_factory=ClosingSettings)
    min_area_px: int = Field(0, ge=0, description="drop components smaller than this many image pixels")
    evidence_alpha: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="drop components with no more evidence, area times mean excess over the lowest threshold, than "
        "those of normal images have, but for this share of these, and for those that peaks leaves out; null for none",
    )

    def refusals(
        self,
        light_variants: LightVariantsSettings,
        crossfit: CrossfitSettings,
        merge: MergeSettings,
        fuse: FuseSettings,
    ) -> list[str]:
        """Return what the settings of other stages lack for these, one sentence each."""
        refusals = []
        if self.mebin.enabled and self.mebin.scores == "robis" and (fuse.rescales or not merge.stretched):
            refusals.append(
                "binarize.mebin.scores robis: takes maps on 0..255, which merge.method robis with "
                "merge.robis.score_range split makes, of a single member or with fuse.normalise none; set it to raw"
            )
        if self.normal in normal_with(VALIDATION_VARIANTS) and not light_variants.validation_variants:
            refusals.append(f"binarize.normal {self.normal}: needs light_variants.validation_variants of at least 1")
        if self.normal in CROSSFITTED and not crossfit.scores_training:
            refusals.append(
                f"binarize.normal {self.normal}: needs crossfit.folds of at least 2, or crossfit.holdout_every"
            )
        return refusals

    def normal_images(self, crossfitted: int, validation: int) -> int:
        """Return how many photographs thresholds come from, of so many scored ones for training and for validation."""
        return crossfitted * (self.normal in CROSSFITTED) + validation * (self.normal != CROSSFIT_TRAIN)

    def images_refusal(self, crossfitted: int, validation: int) -> str | None:
        """Return why so many photographs that thresholds may come from are too few for a rule, None if they suffice.

        Of training those count that are scored by a model which has not seen them.
        """
        count = self.normal_images(crossfitted, validation)
        refusals = [rule.refusal(count) for rule in (self.conformal, self.evt) if rule.enabled]
        return next(filter(None, refusals), None)

    @property
    def enabled_rules(self) -> tuple[str, ...]:
        """Names of the rules whose masks are united."""
        return tuple(rule for rule in RULES if getattr(self, rule).enabled)

    @model_validator(mode="after")
    def _at_least_one_rule(self) -> "BinarizeSettings":
        if not self.enabled_rules:
            raise ValueError(f"enable at least one of {', '.join(RULES)}: without a rule every mask would be empty")
        return self

    @model_validator(mode="after")
    def _evidence_of_one_threshold(self) -> "BinarizeSettings":
        seeing = [rule for rule in ("mean_std", "mebin") if getattr(self, rule).sees_test_images]
        if self.evidence_alpha is not None and seeing:
            raise ValueError(
                f"evidence_alpha weighs components by thresholds that are the same for normal images; {seeing[0]} has "
                f"others: set {'mean_std.scope to validation' if seeing[0] == 'mean_std' else 'mebin.enabled to false'}"
                ", or evidence_alpha to null"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_end(self) -> "BinarizeSettings":
        if self.extent.enabled and (self.grow_share < 1.0 or self.peak_share > 0.0):
            raise ValueError(
                f"extent.enabled draws each defect in place of grow_share ({self.grow_share:g}) and peak_share "
                f"({self.peak_share:g}): set grow_share to 1 and peak_share to 0, or extent.enabled to false"
            )
        others = {
            "extent.enabled": self.extent.enabled,
            "grow_share": self.grow_share < 1.0,
            "peak_share": self.peak_share,
        }
        used = " and ".join(name for name, value in others.items() if value)
        if self.closing.enabled and used:
            raise ValueError(
                f"closing.enabled draws masks in its own way, and {used} is set: set extent.enabled to false, "
                "grow_share to 1 and peak_share to 0, or closing.enabled to false"
            )
        return self
