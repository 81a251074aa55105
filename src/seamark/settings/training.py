"""Settings that the blocks of all detectors share."""

from typing import Annotated, Literal

from pydantic import Field

from seamark.settings.base import PathText, Settings

GPU_BATCH = 16
"""Tiles scored at a time on a GPU; on the CPU it is one, so that the bits of a score never depend on other tiles."""


Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Share that a moment of an optimiser keeps at a step."""


class DetectorSettings(Settings):
    """What a detector sees and how it is trained."""

    grid: str = Field("tile", min_length=1, description="name of the grid whose tiles it works on")
    backbone: str = Field(
        "dinov2_vitb14_reg",
        min_length=1,
        description="pretrained network that gives the features; timm:<name> is a model of timm",
    )
    weights: PathText = Field(
        "pretrained",
        min_length=1,
        description="pretrained: the published file; download: fetch it if missing; a path; random: for tests only",
    )
    layers: tuple[int, ...] | None = Field(
        None, min_length=1, description="layers of the backbone, 0-based; null for the backbone's own choice"
    )
    autocast: Literal["none", "bfloat16"] = Field(
        "none", description="arithmetic on a GPU: none is float32; on the CPU it is always float32"
    )
    feature_cache_mb: int = Field(
        0, ge=0, description="memory for frozen features that are needed again while training; the result is the same"
    )
    checkpoint_every_s: float = Field(
        60.0, ge=0.0, description="seconds between checkpoints of a training; the result does not depend on it"
    )
