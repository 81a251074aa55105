"""Settings of the teacher of EfficientAD and of its distillation."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.errors import ConfigError
from seamark.settings.base import PathText, Settings
from seamark.settings.training import DetectorSettings

DISTILLED, RANDOM = "distilled", "random"
"""Values of ``teacher`` that are no path."""
FIELD_PX = 33
"""Side of what a cell of a patch description network sees."""


def require_field(called: str, shape: tuple[int, int]) -> None:
    """Refuse tiles, height and width in px, that no cell of a patch description network fits into.

    Raises
    ------
    ConfigError
        With the smallest side that does.
    """
    for what, side in zip(("height", "width"), shape, strict=True):
        if side < FIELD_PX:
            raise ConfigError(
                f"{called}: input {what} {side} px; the network sees {FIELD_PX} px at once, "
                f"so set the grid's input_px to at least {FIELD_PX}"
            )


class DistillSettings(Settings):
    """How a pretrained backbone's features get into a patch description network; the defaults are the paper's."""

    image_folder: PathText | None = Field(
        None,
        min_length=1,
        description="folder of photographs, such as ImageNet's training images; null for the training photographs of "
        "all categories of the data root",
    )
    input_px: int = Field(
        256, ge=64, le=1024, multiple_of=32, description="side of what the network sees; the backbone sees twice that"
    )
    crop_scale: tuple[float, float] | None = Field(
        None, description="area of a random square crop, relative to the largest one; null: the photograph, resized"
    )
    flip_and_turn: bool = Field(False, description="mirror crops and turn them by multiples of 90 degrees, at random")
    grey_probability: float = Field(0.1, ge=0.0, le=1.0, description="share of crops without colour")
    colour_jitter_probability: float = Field(
        0.0, ge=0.0, le=1.0, description="share of crops whose brightness, contrast, colour, sharpness or gamma changes"
    )
    corrupted_share: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="share of crops with noise, foreign patches, textures or blur, so that the teacher knows what is "
        "not normal; 0 for ImageNet",
    )
    steps: int = Field(60000, ge=1, description="training steps")
    batch_size: int = Field(16, ge=1, description="crops per step")
    learning_rate: float = Field(0.0001, gt=0.0, description="learning rate at the beginning")
    schedule: Literal["constant", "cosine"] = Field("constant", description="learning rate; cosine falls to 0")
    weight_decay: float = Field(0.00001, ge=0.0, description="weight decay, added to the gradient")
    padded: bool = Field(
        True, description="zeros around crops and maps; false leaves out the four outer cells, a fifth of the work"
    )
    statistics_crops: int = Field(
        10000, ge=1, description="crops from which mean and standard deviation of each feature are taken"
    )
    held_out_share: float = Field(
        0.05, gt=0.0, lt=1.0, description="share of the photographs on which the distillation is measured, at least one"
    )
    evaluate_every: int = Field(
        1000, ge=1, description="steps between measurements on 32 held-out crops; the best weights are kept"
    )
    patience: int | None = Field(
        None, ge=1, description="measurements without improvement that end the distillation; null: all steps are made"
    )
    photograph_cache_mb: int = Field(
        1000, ge=0, description="memory for decoded photographs; the result does not depend on it"
    )

    @model_validator(mode="after")
    def _scales_are_shares(self) -> "DistillSettings":
        if self.crop_scale and not 0.0 < self.crop_scale[0] <= self.crop_scale[1] <= 1.0:
            raise ValueError(f"crop_scale {list(self.crop_scale)}: expected a range within 0..1, smaller end first")
        return self


class TeacherSettings(DetectorSettings):
    """A patch description network and the pretrained network whose features it is to give."""

    backbone: str = Field(
        "wide_resnet101_2", min_length=1, description="pretrained network that the teacher is distilled from"
    )
    network: Literal["small", "medium"] = Field("small", description="patch description network: small or medium")
    width: float = Field(
        1.0, gt=0.0, le=4.0, description="factor of the channels inside the networks; below 1 for machines without GPU"
    )
    channels: int = Field(384, ge=2, le=4096, description="features per cell of the teacher")
    distill: DistillSettings = Field(default_factory=DistillSettings)
