"""Settings of training on a tile and its anomalous twin."""

from pydantic import Field, model_validator

from seamark.settings.base import Settings


class PairAugmentationSettings(Settings):
    """Light, noise and blur for every tile; flips and turns where the product has no fixed place."""

    light_probability: float = Field(
        0.5, ge=0.0, le=1.0, description="share of samples for each of brightness, contrast and saturation"
    )
    brightness: tuple[float, float] = Field((0.7, 1.3), description="range of the factor")
    contrast: tuple[float, float] = Field((0.7, 1.3), description="range of the factor about the mean grey value")
    saturation: tuple[float, float] = Field((0.7, 1.3), description="range of the factor; no effect on grey tiles")
    noise_probability: float = Field(0.3, ge=0.0, le=1.0, description="share of samples that get noise")
    noise_std: float = Field(
        7.65, ge=0.0, le=255.0, description="largest standard deviation in grey values, per pixel and channel"
    )
    blur_probability: float = Field(0.3, ge=0.0, le=1.0, description="share of samples that get blurred")
    blur_sigma_px: tuple[float, float] = Field(
        (0.1, 1.5), description="range of the Gaussian's standard deviation in tile px; its kernel has 5 px"
    )
    flip_probability: float = Field(
        0.0, ge=0.0, le=1.0, description="share of samples for each of the two flips; 0.5 for free placement"
    )
    turn_probability: float = Field(
        0.0, ge=0.0, le=1.0, description="share of samples turned by 180 degrees and a little; 0.5 for textures"
    )
    turn_deg: float = Field(
        10.0,
        ge=0.0,
        le=180.0,
        description="largest turn beside the 180 degrees, either way; 180: by any angle",
    )

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "PairAugmentationSettings":
        for name in ("brightness", "contrast", "saturation", "blur_sigma_px"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high or (name == "blur_sigma_px" and low == 0.0):
                raise ValueError(f"{name} [{low}, {high}]: expected a range of positive numbers, smaller end first")
        return self


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
