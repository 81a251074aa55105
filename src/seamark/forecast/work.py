"""One job as a forecast sees it: its settings and the photographs that it works on."""

from dataclasses import dataclass

from seamark.forecast.photographs import NONE, Photographs
from seamark.settings.config import Config
from seamark.settings.grid import GridSettings
from seamark.settings.training import DetectorSettings


@dataclass(frozen=True)
class Work:
    """What one job does."""

    stage: str
    """Name of its rule."""
    config: Config
    """Configuration of its category and split, overrides applied."""
    photographs: Photographs
    """Those that the job works on; of ``train`` those of train and validation."""
    training: Photographs = NONE
    """Training photographs of its category, for ``train`` and ``infer``."""
    category: str = ""
    split: str = ""
    detector: str = ""
    grid_name: str = ""
    """Grid of ``crop``; the other stages have their detector's."""

    @property
    def label(self) -> str:
        """The stage and its wildcards in one line."""
        words = (self.stage, self.detector or self.grid_name, self.category, self.split)
        return " ".join(word for word in words if word)

    @property
    def block(self) -> DetectorSettings:
        """Settings of its detector."""
        block = self.config.detector_blocks[self.detector]
        if not isinstance(block, DetectorSettings):
            raise TypeError(f"{self.detector}: its settings class is no DetectorSettings")
        return block

    @property
    def grid(self) -> GridSettings:
        """The tiling that it makes or reads."""
        return self.config.grids[self.grid_name or self.block.grid]

    @property
    def tile_megapixels(self) -> float:
        """Pixels of one stored tile, in millions."""
        height, width = self.grid.input_shape
        return height * width / 1e6

    def tiles_mb(self, photographs: Photographs) -> float:
        """Return the size of the stored tiles of some photographs in MB."""
        return photographs.tiles(self.grid) * self.tile_megapixels * photographs.channels

    @property
    def scale(self) -> float:
        """Size of anomaly maps relative to the photographs."""
        return self.config.merge.scale
