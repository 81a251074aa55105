"""Settings of the map that is ranked."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings


class RankingSettings(Settings):
    """The map that is submitted and scored without a threshold; masks always come from the fused map itself."""

    fit: Literal["none", "quantiles"] = Field(
        "none",
        description="none: the fused map; quantiles: each map shifted and scaled until two of its quantiles are those "
        "of the validation scores",
    )
    low: float = Field(0.1, ge=0.0, le=1.0, description="lower quantile of the fit")
    high: float = Field(0.9, ge=0.0, le=1.0, description="upper quantile of the fit")

    @model_validator(mode="after")
    def _low_is_lower(self) -> "RankingSettings":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be less than high {self.high:g}")
        return self
