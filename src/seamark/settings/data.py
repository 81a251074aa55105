"""Settings of the data root."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import SPLITS, Layout, PathSetting, Settings, Split
from seamark.settings.pixels import AlphaOver, Depth, Orientation, Palette, PixelSettings


class DataSettings(Settings):
    """Where the images are and which of them are used."""

    root: PathSetting = Field(Path("data/demo"), description="folder with one sub-folder per category")
    truth_root: PathSetting | None = Field(
        None,
        description="folder with the private ground truth, <category>/<split>/NNN_mask.png; null when it is not known",
    )
    demo: bool = Field(
        False, description="draw the demo images into root and their private truth into truth_root first"
    )
    layout: Layout = Field(
        "mvtec_ad_2",
        description="folder layout below each category; visa, mvtec_3d_ad (RGB alone), mvtec_loco and real_iad: as "
        "these data sets are unpacked; folder: good photographs and nothing else",
    )
    categories: Literal["all"] | tuple[str, ...] = Field("all", description="all, or a list of category names")
    train_images: int | None = Field(
        None,
        ge=1,
        description="train with so many images of each category, chosen at random, nested by number; null for all",
    )
    image_px_max: int = Field(
        1 << 28,
        ge=1,
        le=1 << 30,
        description="pixels that a photograph may have; one with more is refused before it is decoded, which takes up "
        "to 16 bytes of memory per pixel",
    )
    depth: Depth = None
    alpha_over: AlphaOver = None
    palette: Palette = False
    orientation: Orientation = "stored"
    splits: tuple[Split, ...] = Field(
        ("validation", "test_public", "test_private", "test_private_mixed"),
        description="splits that get anomaly maps and masks; validation is always needed",
    )

    @property
    def pixels(self) -> PixelSettings:
        """How photographs are decoded."""
        return PixelSettings.model_validate(self.model_dump(include=set(PixelSettings.model_fields)))

    @model_validator(mode="after")
    def _splits_make_sense(self) -> "DataSettings":
        if "validation" not in self.splits or "train" in self.splits or len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits {list(self.splits)}: validation must be listed, train must not, and none twice")
        if not set(self.splits) <= set(SPLITS):
            raise ValueError(f"splits {list(self.splits)}: variants come in by light_variants.validation_variants")
        if self.categories != "all" and not 0 < len(self.categories) == len(set(self.categories)):
            raise ValueError(f"categories {list(self.categories)}: name at least one and none twice, or write all")
        if self.demo and self.truth_root is None:
            raise ValueError("demo: true also needs truth_root, the folder for the private ground truth of the demo")
        if self.demo and set("{}<>") & set(str(self.root)):
            raise ValueError(
                f"root {self.root}: the manifest of the demo is named after it, and in names of files Snakemake "
                "takes words in {} and <> for wildcards; choose a folder without these"
            )
        return self
