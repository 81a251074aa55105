"""Settings of the refine stage."""

from typing import Literal

from pydantic import Field

from seamark.settings.base import Settings


class GrabCutSettings(Settings):
    """GrabCut on a native-scale crop around each box prompt."""

    margin: float = Field(0.5, ge=0.05, le=4.0, description="crop margin around the box as a share of its longer side")
    margin_min_px: int = Field(16, ge=1, le=512, description="smallest crop margin in image pixels")
    iterations: int = Field(3, ge=1, le=20, description="GrabCut iterations per component")
    crop_max_px: int = Field(
        320, ge=64, le=4096, description="crops with a longer side are shrunk to this before GrabCut"
    )


class RefineSettings(Settings):
    """How coarse masks are refined with the image at hand."""

    method: Literal["none", "grabcut"] = Field(
        "grabcut", description="segmenter that is prompted with one box per component"
    )
    compose: Literal["replace", "union", "constrained"] = Field(
        "constrained",
        description="replace: segmenter's mask alone; union: with the coarse mask; constrained: near the coarse mask",
    )
    constrain_px: int = Field(
        9, ge=0, le=255, description="how far a constrained mask may reach beyond the coarse one, in image pixels"
    )
    top_n: int | None = Field(
        None,
        ge=1,
        description="refine only the largest n components (RoBiS: 3), null for all; others stay, vanish with replace",
    )
    fill_holes: bool = Field(True, description="fill holes of the refined mask")
    grabcut: GrabCutSettings = Field(default_factory=GrabCutSettings)
