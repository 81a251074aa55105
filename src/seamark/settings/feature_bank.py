"""Settings of the feature_bank detector."""

from pydantic import Field

from seamark.settings.augmentation import WideSettings
from seamark.settings.training import DetectorSettings


class FeatureBankSettings(DetectorSettings):
    """A thinned memory of training features and nearest-neighbour distances."""

    variants: int = Field(
        2, ge=0, le=32, description="wide photometric variants of each training tile, besides the tile"
    )
    wide: WideSettings = Field(default_factory=WideSettings)
    bank_size: int = Field(10_000, ge=2, description="vectors kept in the bank")
    candidates_per_vector: float = Field(
        4.0,
        ge=1.0,
        le=10_000.0,
        description="vectors drawn at random from all tiles for each one kept, before thinning",
    )
    projection_dim: int = Field(
        32, ge=1, description="dimensions of the random projection in which the bank is thinned"
    )
    neighbours: int = Field(1, ge=1, le=50, description="distances to this many nearest vectors are averaged")
    memory_limit_mb: int = Field(4096, ge=16, description="error when bank and candidates would need more than this")
