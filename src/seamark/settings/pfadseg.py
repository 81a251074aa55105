"""Settings of the PFADSeg detector and of DeSTSeg, its base."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.errors import ConfigError
from seamark.settings.anomalous_pairs import EarlyStopSettings
from seamark.settings.base import Settings
from seamark.settings.synthesis import SynthesisSettings
from seamark.settings.training import DetectorSettings


class AttentionSettings(Settings):
    """What PFADSeg adds to DeSTSeg; with pcar, aff and rcm off, the networks are DeSTSeg's."""

    pcar: bool = Field(True, description="second convolution of a residual block: three parallel ones, recalibrated")
    aff: bool = Field(True, description="attentional feature fusion of a residual block with its shortcut; false: sum")
    rcm: bool = Field(True, description="rectangular self-calibration before the head; false: atrous spatial pyramid")
    decoder_block: Literal["pa", "basic"] = Field(
        "pa", description="blocks of the student's decoder: pa as in its encoder; basic as in DeSTSeg"
    )
    spr_shared: bool = Field(True, description="whether the three convolutions of pcar share one recalibration")
    branch_bn: bool = Field(False, description="batch norm behind each of the three convolutions of pcar")
    aff_gain: float = Field(
        2.0, gt=0.0, description="parity: 2 as in the released code of aff, at first a plain sum; 1 as in its formula"
    )
    aff_starts_even: bool = Field(
        False,
        description="whether aff starts as the plain sum of block and shortcut; parity: false starts it with random "
        "weights, which few steps of small batches do not get over",
    )
    layer_scale: float = Field(
        1.0,
        gt=0.0,
        description="parity: initial factor of the branch of rcm; its released code has 1e-6, then it is idle",
    )

    def of_decoder(self) -> "AttentionSettings":
        """Return the settings of the student's decoder."""
        return self if self.decoder_block == "pa" else self.model_copy(update={"pcar": False, "aff": False})


class GuidedSegmentationSettings(Settings):
    """The segmentation network and its training."""

    width: int = Field(256, ge=8, le=1024, description="channels inside")
    steps: int = Field(4000, ge=1, description="training steps at most")
    block_learning_rate: float = Field(0.1, gt=0.0, description="constant learning rate of the residual blocks")
    head_learning_rate: float = Field(0.01, gt=0.0, description="constant learning rate of all that follows them")
    focal_gamma: float = Field(4.0, ge=0.0, description="exponent of the focal loss")
    early_stop: EarlyStopSettings | None = Field(None, description="null: keep the last step, as the paper does")


class PfadsegSettings(DetectorSettings):
    """PFADSeg; the defaults are the paper's for MVTec AD, and DeSTSeg's where the paper is silent."""

    backbone: str = Field(
        "resnet18", min_length=1, description="pretrained network of the teacher, at strides 4, 8, 16"
    )
    attention: AttentionSettings = Field(default_factory=AttentionSettings)
    student_width: float = Field(
        1.0, gt=0.0, le=16.0, description="factor of the channels inside the student; narrow backbones want more than 1"
    )
    steps: int = Field(3000, ge=1, description="training steps of the student at most")
    batch_size: int = Field(16, ge=2, description="tiles per step; at least 2, never more than there are tiles")
    learning_rate: float = Field(
        0.5,
        gt=0.0,
        description="parity: constant, of the student; its loss is a batch sum, so smaller batches learn slower",
    )
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="momentum of the gradient descent in both phases")
    weight_decay: float = Field(1e-4, ge=0.0, description="weight decay in both phases")
    synthesis: SynthesisSettings = Field(default_factory=lambda: SynthesisSettings(beta=(0.15, 1.0)))
    quarter_turns: bool = Field(
        False, description="turn training tiles by a random multiple of 90 degrees; square tiles"
    )
    turn_deg: float = Field(0.0, ge=0.0, le=45.0, description="largest turn beside that, either way")
    early_stop: EarlyStopSettings | None = Field(
        None, description="of the student; null: keep the last step, as the paper does"
    )
    segmentation: GuidedSegmentationSettings = Field(default_factory=GuidedSegmentationSettings)

    def require_turnable(self, tile_shape: tuple[int, int]) -> None:
        """Refuse quarter turns of tiles, height and width in px, that are not square; raises ConfigError."""
        if self.quarter_turns and tile_shape[0] != tile_shape[1]:
            raise ConfigError(
                f"quarter_turns needs square tiles, these are {tile_shape[1]} x {tile_shape[0]} px; "
                "set quarter_turns: false or a square input_px"
            )

    @model_validator(mode="after")
    def _levels_are_fixed(self) -> "PfadsegSettings":
        if self.layers is not None:
            raise ValueError(f"layers {list(self.layers)}: leave it null; the levels are at strides 4, 8 and 16 px")
        return self
