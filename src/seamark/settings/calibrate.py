"""Settings of the calibrate stage."""

from pydantic import Field, field_validator

from seamark.settings.base import Settings


class CalibrateSettings(Settings):
    """Which statistics of the anomaly maps are written down."""

    quantiles: tuple[float, ...] = Field(
        (0.01, 0.1, 0.5, 0.9, 0.99, 0.995, 0.999, 0.9999),
        description="quantiles of the pixel scores to write down, each in 0..1; the lowest one is the dark end of "
        "previews. What binarize and ranking need is taken from the histogram",
    )

    @field_validator("quantiles")
    @classmethod
    def _in_unit_interval(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0.0 <= quantile <= 1.0 for quantile in quantiles):
            raise ValueError(f"quantiles {quantiles} must all lie in 0..1")
        return tuple(sorted(set(quantiles)))
