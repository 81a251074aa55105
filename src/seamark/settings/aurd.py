"""Settings of the AURD detector."""

from typing import Literal

from pydantic import Field

from seamark.settings.anomalous_pairs import EarlyStopSettings, PairAugmentationSettings
from seamark.settings.base import Settings
from seamark.settings.urd import UrdSettings


class SegmentationSettings(Settings):
    """The segmentation network and its training."""

    input: Literal["product", "cosine"] = Field(
        "product", description="product: teacher times student, per channel; cosine: one distance map per level"
    )
    width: int = Field(256, ge=8, le=1024, description="channels inside")
    steps: int = Field(4000, ge=1, description="training steps at most")
    learning_rate: float = Field(0.001, gt=0.0, description="constant learning rate")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="momentum of the gradient descent")
    weight_decay: float = Field(1e-4, ge=0.0, description="weight decay")
    focal_gamma: float = Field(4.0, ge=0.0, description="exponent of the focal loss")
    early_stop: EarlyStopSettings | None = Field(
        default_factory=EarlyStopSettings, description="null: keep the last step"
    )


class AurdSettings(UrdSettings):
    """AURD; the defaults are the paper's, and those of docs/methods/urd.md#aurd where the paper is silent."""

    steps: int = Field(10_000, ge=1, description="training steps of teacher and student at most")
    batch_size: int = Field(4, ge=2, description="tiles per step; at least 2, never more than there are tiles")
    augmentation: PairAugmentationSettings = Field(default_factory=PairAugmentationSettings)
    early_stop: EarlyStopSettings | None = Field(
        default_factory=EarlyStopSettings, description="of teacher and student; null: keep the last step"
    )
    segmentation: SegmentationSettings | None = Field(
        default_factory=SegmentationSettings,
        description="null: the sum of the cosine maps as in URD, which is aug_URD in the paper's table",
    )
