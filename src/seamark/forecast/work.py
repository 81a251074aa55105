"""One job as a forecast sees it: its settings, the photographs that it works on, and what it writes."""

from dataclasses import dataclass
from pathlib import Path

from seamark.forecast.photographs import NONE, PhotographSizes
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
    photographs: PhotographSizes
    """Those that the job works on; of ``train`` those of train and validation."""
    training: PhotographSizes = NONE
    """Training photographs of its category, for ``train`` and ``infer``."""
    category: str = ""
    split: str = ""
    detector: str = ""
    """Name of its block."""
    grid_name: str = ""
    """Grid of ``crop``; the other stages have their detector's."""
    threads: int = 1
    """Photographs that it works on at a time, if there are as many cores."""
    outputs: tuple[Path, ...] = ()
    """Files that it declares, its manifest first."""

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
    def detector_type(self) -> str:
        """The registered detector that its block is of."""
        return self.config.detector_types[self.detector]

    @property
    def grid(self) -> GridSettings:
        """The tiling that it makes or reads."""
        return self.config.grids[self.grid_name or self.block.grid]

    @property
    def tile_megapixels(self) -> float:
        """Pixels of one stored tile, in millions."""
        height, width = self.grid.input_shape
        return height * width / 1e6

    @property
    def tiles_mb(self) -> float:
        """Size of the stored tiles of its photographs in MB."""
        return self.photographs.tiles(self.grid) * self.tile_megapixels * self.photographs.channels

    @property
    def scale(self) -> float:
        """Size of anomaly maps relative to the photographs."""
        return self.config.merge.scale
