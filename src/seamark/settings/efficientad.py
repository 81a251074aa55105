"""Settings of EfficientAD with collaborative discrepancy optimisation."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import PathText
from seamark.settings.synthesis import NoisePatchSettings
from seamark.settings.teacher import TeacherSettings

ColourJitter = Literal["brightness", "contrast", "saturation", "sharpness", "gamma"]


class EfficientAdSettings(TeacherSettings):
    """EfficientAD; the defaults are those of the thesis that adds collaborative discrepancy optimisation."""

    teacher: PathText = Field(
        "distilled",
        min_length=1,
        description="distilled: by the distill stage, once for all categories; a path: a published teacher (.pth or "
        ".safetensors); random: for tests",
    )
    steps: int = Field(70000, ge=1, description="training steps; the learning rate falls to a tenth after 95 %")
    batch_size: int = Field(1, ge=1, description="tiles per step; another number is another method")
    learning_rate: float = Field(0.0001, gt=0.0, description="learning rate of student and autoencoder")
    weight_decay: float = Field(0.00001, ge=0.0, description="weight decay, added to the gradient")
    hard_share: float = Field(
        0.999,
        ge=0.0,
        lt=1.0,
        description="quantile of a tile's squared differences from which on they count; 0: all. parity: 0.999 as in "
        "the released code; the thesis says 0.99",
    )
    penalty: Literal["cdo", "images", "none"] = Field(
        "cdo",
        description="what keeps the student from copying the teacher everywhere. cdo: noise patches; images: the "
        "student gives 0 on other photographs, as in EfficientAD; none",
    )
    penalty_folder: PathText | None = Field(
        None, min_length=1, description="penalty images: folder of photographs, such as ImageNet; null draws textures"
    )
    cdo_gamma: float = Field(2.0, ge=0.0, description="cdo: exponent of the weights; 0 weighs all cells alike")
    ring: Literal["ignored", "normal"] = Field(
        "ignored",
        description="cdo: what cells count as that see a noise patch beside their middle; parity: normal, taken "
        "literally, rewards the student for following the teacher on noise",
    )
    patches: NoisePatchSettings = Field(default_factory=NoisePatchSettings)
    hard_weight: float = Field(1.0, ge=0.0, description="weight of the student's loss on hard features")
    penalty_weight: float = Field(1.0, ge=0.0, description="weight of the penalty")
    autoencoder_weight: float = Field(1.0, ge=0.0, description="weight of the autoencoder's loss against the teacher")
    student_autoencoder_weight: float = Field(
        1.0, ge=0.0, description="weight of the student's loss against the autoencoder; 0 needs autoencoder_map teacher"
    )
    colour_jitter: tuple[ColourJitter, ...] = Field(
        ("brightness", "contrast", "saturation", "sharpness", "gamma"),
        min_length=1,
        description="changes, one of which the autoencoder's tiles get; parity: the released code has the first three",
    )
    colour_jitter_strength: float = Field(0.2, ge=0.0, lt=1.0, description="the change is a factor within 1 -/+ this")
    autoencoder_map: Literal["student", "teacher"] = Field(
        "student", description="what the autoencoder's map compares the autoencoder with"
    )
    quantiles: tuple[float, float] = Field(
        (0.9, 0.995), description="quantiles of a validation map that become 0 and 0.1"
    )
    border: Literal["zeros", "nearest"] = Field(
        "zeros",
        description="the outer four cells, which the networks do not give. zeros, as in the reference: the lower "
        "quantile; nearest: the outermost cell that they give, right for tiles that overlap",
    )
    exact_centres: bool = Field(
        True, description="parity: false shifts maps by 1.5 tile px down and right, as the reference's resizing does"
    )

    @model_validator(mode="after")
    def _choices_agree(self) -> "EfficientAdSettings":
        if not 0.0 <= self.quantiles[0] < self.quantiles[1] <= 1.0:
            raise ValueError(f"quantiles {list(self.quantiles)}: expected a range within 0..1, smaller end first")
        if not self.student_autoencoder_weight and self.autoencoder_map == "student":
            raise ValueError("student_autoencoder_weight 0 leaves that map untrained; set autoencoder_map: teacher")
        return self

    @property
    def teacher_settings(self) -> TeacherSettings:
        """The part of this block that the distillation depends on, and how it is run."""
        return TeacherSettings.model_validate(self.model_dump(include=set(TeacherSettings.model_fields)))
