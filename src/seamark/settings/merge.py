"""Settings of the merge stage."""

from typing import Literal

from pydantic import Field

from seamark.settings.base import Settings


class MergeSettings(Settings):
    """How tile maps become one anomaly map per image."""

    scale: float = Field(
        1.0, gt=0.0, le=1.0, description="size of the map relative to the image: 1 native, 0.25 quarter"
    )
    blend: Literal["mean", "hann"] = Field(
        "hann", description="mean: plain average of overlapping tiles; hann: seam-free window"
    )
    smooth_sigma_px: float = Field(8.0, ge=0.0, le=200.0, description="Gaussian smoothing in image pixels, 0 for none")
