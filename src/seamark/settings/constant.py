"""Settings of the constant detector."""

from pydantic import Field

from seamark.settings.training import DetectorSettings


class ConstantSettings(DetectorSettings):
    """The same score map for every tile, to rehearse a run; it finds nothing."""

    backbone: str = Field(
        "efficientnet_lite0", min_length=1, description="its layers set the cells of the map; no feature is computed"
    )
    weights: str = Field("random", min_length=1, description="random, because no weight is used")
    layers: tuple[int, ...] | None = Field((2,), min_length=1, description="layers that set the cells of the map")
    score: float = Field(1.0, description="score at the border of a tile of usual brightness")
    bump: float = Field(
        0.0, ge=0.0, description="what the middle of a tile scores more, so that thresholds and masks have work to do"
    )
    brightness: float = Field(
        0.0, ge=0.0, description="what a white tile scores more than a black one, so that images differ"
    )
