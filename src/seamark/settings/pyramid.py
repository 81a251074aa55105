"""Settings of the detectors that compare two pyramids of features."""

from typing import Self

from pydantic import Field, model_validator

from seamark.settings.training import DetectorSettings


class PyramidSettings(DetectorSettings):
    """Levels at strides 4, 8 and 16 px, compared cell by cell."""

    backbone: str = Field(
        "wide_resnet50_2", min_length=1, description="pretrained network that gives the features at strides 4, 8, 16"
    )
    smooth_sigma_px: float = Field(
        4.0, ge=0.0, le=100.0, description="Gaussian smoothing of the score map in tile px, 0 for none"
    )
    align_corners: bool = Field(
        True, description="parity: true aligns corners when levels become one map, which shifts borders by half a cell"
    )

    @model_validator(mode="after")
    def _levels_are_fixed(self) -> Self:
        if self.layers is not None:
            raise ValueError(f"layers {list(self.layers)}: leave it null; the levels are at strides 4, 8 and 16 px")
        return self
