"""Settings of the calibrate stage."""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from seamark.settings.base import Settings


def _of_six_digits(share: float) -> float:
    if float(f"{share:g}") != share:
        raise ValueError(f"quantiles are written down with six digits, {share!r} would be {share:g}: round it")
    return share


Quantile = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(_of_six_digits)]
"""A share of pixels that a statistic is kept for, under its name in six digits."""

IMAGE_QUANTILES = (0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
"""Quantiles that are written down for each image, whatever the settings are."""


class CalibrateSettings(Settings):
    """Which statistics of the anomaly maps are written down."""

    quantiles: tuple[Quantile, ...] = Field(
        (0.01, 0.1, 0.5, 0.9, 0.99, 0.995, 0.999, 0.9999),
        description="quantiles of the pixel scores to write down, each in 0..1; the lowest one is the dark end of "
        "previews. What binarize and ranking need is taken from the histogram",
    )

    @field_validator("quantiles")
    @classmethod
    def _each_once(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(quantiles)))
