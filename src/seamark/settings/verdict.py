"""Settings of the verdict stage."""

import math
from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings
from seamark.settings.binarize import images_needed


class VerdictSettings(Settings):
    """What is said of an image as a whole: good, look or bad, by how many normal images score as high."""

    alpha: float = Field(0.05, gt=0.0, lt=1.0, description="share of normal images that may be called bad")
    benchmark_alpha: float = Field(
        0.3, gt=0.0, lt=1.0, description="share of normal images that may be called bad or look; all others are good"
    )
    too_few: Literal["nearest", "refuse"] = Field(
        "nearest",
        description="normal images that cannot tell so small a share: nearest takes the smallest that they can, refuse "
        "ends the planning",
    )
    gate: bool = Field(
        False,
        description="empty the masks of good images, and mark the place of the highest score where a bad one's is "
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

    def refusal(self, count: int) -> str | None:
        """Return why so many normal images are too few for rates that may not be wider, None if they suffice."""
        short = self._too_small(count)
        if not short or self.too_few == "nearest":
            return None
        return (
            f"{_named(short)}: needs at least {images_needed(min(short.values()))} normal images, there are {count}; "
            "add some to validation, take variants or training photographs too (binarize.normal), choose rates of at "
            f"least {math.ceil(1e4 / (count + 1)) / 1e4:g}, or set verdict.too_few to nearest"
        )

    def note(self, count: int) -> str | None:
        """Return that so many normal images make a rate wider than asked for, None if they do not."""
        short = self._too_small(count)
        if not short:
            return None
        return (
            f"{_named(short)}: {count} normal images tell no smaller share than {1 / (count + 1):.3g}, which is taken "
            f"instead; needs at least {images_needed(min(short.values()))}"
        )

    def _too_small(self, count: int) -> dict[str, float]:
        """Rates below the smallest that so many normal images can tell, by their settings."""
        rates = {"verdict.alpha": self.alpha, "verdict.benchmark_alpha": self.benchmark_alpha}
        return {name: rate for name, rate in rates.items() if rate < 1.0 / (count + 1)}


def _named(rates: dict[str, float]) -> str:
    return " and ".join(f"{name} {rate:g}" for name, rate in rates.items())
