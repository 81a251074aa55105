"""Settings of the map that is ranked."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings
from seamark.settings.calibrate import CalibrateSettings, Quantile


class RankingSettings(Settings):
    """The map that is submitted and scored without a threshold; masks always come from the fused map itself."""

    fit: Literal["none", "quantiles"] = Field(
        "none",
        description="none: the fused map; quantiles: each map shifted and scaled until two of its quantiles are those "
        "of the validation scores",
    )
    low: Quantile = Field(0.1, description="lower quantile of the fit; in calibrate.quantiles")
    high: Quantile = Field(0.9, description="upper quantile of the fit; in calibrate.quantiles")

    def refusals(self, calibrate: CalibrateSettings) -> list[str]:
        """Return what the settings of calibrate lack for these, one sentence each."""
        asked = {} if self.fit == "none" else {"low": self.low, "high": self.high}
        return [
            f"ranking.{name} {share:g}: add it to calibrate.quantiles"
            for name, share in asked.items()
            if share not in calibrate.quantiles
        ]

    @model_validator(mode="after")
    def _low_is_lower(self) -> "RankingSettings":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be less than high {self.high:g}")
        return self
