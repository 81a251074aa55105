"""Settings of early stopping on synthetic anomalies."""

from pydantic import Field

from seamark.settings.base import Settings


class EarlyStopSettings(Settings):
    """When a training phase ends before its last step; the weights of the best evaluation are kept.

    Measured is the average precision over cells, on synthetic anomalies on validation tiles, the same ones each time.
    """

    every_steps: int = Field(250, ge=1, description="steps between evaluations")
    patience: int = Field(6, ge=1, description="evaluations without improvement after which the phase ends")
    min_improvement: float = Field(
        0.001, ge=0.0, description="what average precision must gain to count as improvement, 0..1"
    )
    min_steps: int = Field(1500, ge=1, description="the phase never ends before this many steps")
    anomalies_per_tile: int = Field(2, ge=1, description="synthetic anomalies on each validation tile")
    max_tiles: int | None = Field(
        None, ge=1, description="use at most this many validation tiles, spread evenly; null for all"
    )
