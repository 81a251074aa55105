"""Settings of the verdict stage."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings


class VerdictSettings(Settings):
    """What is said of an image as a whole: good, look or bad, by how many normal images score as high."""

    alpha: float = Field(0.05, gt=0.0, lt=1.0, description="share of normal images that may be called bad")
    benchmark_alpha: float = Field(
        0.1, gt=0.0, lt=1.0, description="share of normal images that may be called bad or look; all others are good"
    )
    too_few: Literal["nearest", "refuse"] = Field(
        "nearest",
        description="normal images that cannot tell so small a share: nearest takes the smallest that they can, refuse "
        "ends the planning",
    )
    gate: bool = Field(
        False,
        description="empty the masks of good images, and mark the place of the highest score where another one's is "
        "empty",
    )

    @model_validator(mode="after")
    def _in_order(self) -> "VerdictSettings":
        if self.benchmark_alpha < self.alpha:
            raise ValueError(
                f"benchmark_alpha ({self.benchmark_alpha:g}) is the wider of the two rates: expected at least alpha "
                f"({self.alpha:g})"
            )
        return self
