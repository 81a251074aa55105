"""Settings of the photometric augmentation of training tiles."""

import math
from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings

MOST_LOG = 3.0
"""Largest natural logarithm of a change of light: a factor of 20, beyond which a photograph is black or white."""


class WideSettings(Settings):
    """Wide photometric variants that imitate another lamp and camera: drawn anew for every variant of a picture."""

    log_gamma: tuple[float, float] = Field(
        (-0.5, 0.5), description="range of the natural logarithm of the gamma exponent"
    )
    log_gain: tuple[float, float] = Field((-0.65, 0.5), description="range of the natural logarithm of the gain")
    gain: tuple[float, float] | None = Field(
        None, description="range of the gain itself, in place of log_gain; null for none (SuperADD: 0.8 to 1.2)"
    )
    gradient: float = Field(
        0.3, ge=0.0, lt=1.0, description="largest relative change of light from the middle of a picture to its border"
    )
    vignette: float = Field(
        0.0, ge=0.0, lt=1.0, description="largest relative loss of light from the middle of a picture to its corners"
    )
    log_white_balance: float = Field(
        0.0,
        ge=0.0,
        le=2.0,
        description="largest natural logarithm of the gain of each colour, either way; not for grey",
    )
    noise_std: float = Field(
        0.0,
        ge=0.0,
        le=255.0,
        description="largest standard deviation of noise in grey values, per pixel and channel, at a gain of 1; it "
        "grows with the gain",
    )

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "WideSettings":
        for name in ("log_gamma", "log_gain"):
            low, high = getattr(self, name)
            if not -MOST_LOG <= low <= high <= MOST_LOG:
                raise ValueError(
                    f"{name} [{low:g}, {high:g}]: expected -{MOST_LOG:g}..{MOST_LOG:g} and the smaller end first"
                )
        if self.gain is not None and not math.exp(-MOST_LOG) <= self.gain[0] <= self.gain[1] <= math.exp(MOST_LOG):
            raise ValueError(f"gain [{self.gain[0]:g}, {self.gain[1]:g}]: expected 0.05..20 and the smaller end first")
        return self


class AugmentationSettings(Settings):
    """RoBiS's exposure and noise, and wide variants before it; the defaults are those of RoBiS."""

    probability: float = Field(0.5, ge=0.0, le=1.0, description="share of samples that get exposure and noise")
    exposure_stops: float = Field(
        0.2, ge=0.0, le=8.0, description="largest exposure change in stops, either way: factor 2^u, u uniform"
    )
    noise_std: float = Field(
        15.0, ge=0.0, le=255.0, description="standard deviation of the noise in grey values, per pixel and channel"
    )
    order: Literal["exposure_first", "noise_first"] = Field(
        "exposure_first", description="exposure_first as in the released code; noise_first as in the paper"
    )
    wide_probability: float = Field(0.0, ge=0.0, le=1.0, description="share of samples that get a wide variant first")
    wide: WideSettings = Field(default_factory=WideSettings)
    frozen_variants: int | None = Field(
        None,
        ge=0,
        le=64,
        description="null: augment anew at every step; n: the tile and n augmented versions of it, drawn once",
    )
