"""Settings of synthetic anomalies, shared by the detectors that train on them."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import PathText, Settings


class ForegroundSettings(Settings):
    """Where on a tile the product is; anomalies are drawn there only."""

    method: Literal["none", "otsu_dark", "otsu_border", "grabcut"] = Field(
        "none",
        description="none: the whole tile; otsu_dark: pixels at or below Otsu's threshold; otsu_border: the side of it "
        "that the tile's border mostly is not; grabcut: a graph cut that starts from the whole tile",
    )
    blur_sigma_px: float = Field(
        0.0,
        ge=0.0,
        le=64.0,
        description="Gaussian smoothing of the grey values before Otsu's threshold in tile px, 0 for none. AAND: 8 px "
        "of the photograph",
    )
    grabcut_iterations: int = Field(11, ge=1, le=50, description="rounds of GrabCut")
    share_min: float = Field(
        0.02, ge=0.0, le=1.0, description="a foreground with a smaller share of the tile is not believed: whole tile"
    )
    share_max: float = Field(
        0.98, ge=0.0, le=1.0, description="a foreground with a larger share of the tile is not believed: whole tile"
    )

    @model_validator(mode="after")
    def _shares_are_ordered(self) -> "ForegroundSettings":
        if self.share_min > self.share_max:
            raise ValueError(f"share_min {self.share_min} is above share_max {self.share_max}")
        return self


class SynthesisSettings(Settings):
    """Textures blended in where Perlin noise is high; the defaults are those of URD."""

    probability: float = Field(1.0, ge=0.0, le=1.0, description="share of samples that get an anomaly")
    beta: tuple[float, float] = Field(
        (0.2, 1.0), description="range of the weight of the texture; the tile has the rest. PFADSeg: [0.15, 1.0]"
    )
    texture_folder: PathText | None = Field(
        None, min_length=1, description="folder of photographs of textures, such as DTD; null for drawn textures"
    )
    texture_cache_mb: int = Field(
        1500, ge=0, description="memory for decoded photographs of textures; the result does not depend on it"
    )
    foreground: ForegroundSettings = Field(default_factory=ForegroundSettings)
    foreground_tries: int = Field(
        1, ge=1, description="masks that are drawn, at most, until one meets the foreground in more than 4 px. AAND: 11"
    )

    @model_validator(mode="after")
    def _weights_are_shares(self) -> "SynthesisSettings":
        if not 0.0 <= self.beta[0] <= self.beta[1] <= 1.0:
            raise ValueError(f"beta {list(self.beta)}: expected a range within 0..1, smaller end first")
        return self


class NoisePatchSettings(Settings):
    """Rectangles of noise; the defaults are those of EfficientAD with collaborative discrepancy optimisation."""

    probability: float = Field(0.4, ge=0.0, le=1.0, description="share of samples that get patches")
    count: tuple[int, int] = Field((1, 4), description="smallest and largest number of patches")
    side_divisors: tuple[int, int] = Field(
        (40, 10), description="sides are from tile / first to tile / second, for height and width on their own"
    )
    square: bool = Field(
        False,
        description="parity: true: one side for both, of the tile's shorter one, as in the thesis; false: height and "
        "width on their own, as in the released code of the loss",
    )
    half_side: bool = Field(
        False,
        description="parity: true: the divisors bound half a side, as in the released code; false: the whole side",
    )
    noise: Literal["uniform", "gaussian"] = Field(
        "uniform", description="grey values of each pixel and channel: uniform 0..254, or normal with 127.5 and 63.75"
    )
    skip_background: bool = Field(
        True, description="no patch has its centre on background, where the category has enough of it to tell"
    )

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "NoisePatchSettings":
        if not 1 <= self.count[0] <= self.count[1]:
            raise ValueError(f"count {list(self.count)}: expected a range from at least 1, smaller end first")
        if not 1 <= self.side_divisors[1] <= self.side_divisors[0]:
            raise ValueError(f"side_divisors {list(self.side_divisors)}: expected at least 1, larger divisor first")
        return self
