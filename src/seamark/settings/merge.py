"""Settings of the merge stage."""

from typing import Literal

from pydantic import Field

from seamark.settings.base import Settings
from seamark.settings.grid import GridSettings


class RobisMergeSettings(Settings):
    """The quirks of RoBiS's released merge, each with its remedy (docs/methods/robis.md#merging-as-released)."""

    align_corners: bool = Field(
        True,
        description="parity: true aligns corners when tile maps are brought to the model's input, which shifts borders",
    )
    blur_border: Literal["zeros", "normalised"] = Field(
        "zeros", description="parity: zeros lets the 5 x 5 blur of each tile darken its border; normalised does not"
    )
    score_range: Literal["split", "none"] = Field(
        "split", description="parity: split stretches all tiles of a split, padding too, to 0..255; none: raw scores"
    )
    stride: Literal["truncated", "exact"] = Field(
        "truncated", description="parity: truncated puts tiles every 230 map px; exact where they lie, every 230.25"
    )
    precision: Literal["float16", "float32"] = Field(
        "float16", description="parity: float16 rounds stretched tiles, their sums and the map; float32 does not"
    )


class CutMergeSettings(Settings):
    """The quirk of SuperADD's merge, with its remedy (docs/methods/superadd.md#map)."""

    cells: Literal["stretched", "exact"] = Field(
        "stretched",
        description="parity: stretched spreads the whole cells over all of the image, which shifts the map by up to a "
        "cell at its far border; exact leaves them where they lie",
    )


class MergeSettings(Settings):
    """How tile maps become one anomaly map per image."""

    method: Literal["exact", "robis", "cut"] = Field(
        "exact",
        description="exact: tiles where they lie, smoothed after merging; robis: as RoBiS's code does it; cut: as "
        "SuperADD, each tile cut in the middle of its overlaps, for the layout cells",
    )
    scale: float = Field(
        1.0, gt=0.0, le=1.0, description="size of the map relative to the image: 1 native, 0.25 quarter"
    )
    blend: Literal["mean", "hann"] = Field(
        "hann",
        description="mean: plain average of overlapping tiles; hann: seam-free window (not used by robis, which "
        "takes the mean, and cut)",
    )
    smooth_sigma_px: float | None = Field(
        8.0,
        ge=0.0,
        le=200.0,
        description="Gaussian smoothing in image pixels, 0 for none (not used by robis and cut); null: "
        "smooth_sigma_cells",
    )
    smooth_sigma_cells: float = Field(
        0.7,
        ge=0.0,
        le=10.0,
        description="Gaussian smoothing in cells of each member's tile maps, as large as they lie in the image, where "
        "smooth_sigma_px is null",
    )
    alpha: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="weight of the student's map of EfficientAD, the autoencoder's has the rest; null: 0.5. Nothing is "
        "scored anew for it",
    )
    robis: RobisMergeSettings = Field(default_factory=RobisMergeSettings)
    cut: CutMergeSettings = Field(default_factory=CutMergeSettings)

    @property
    def stretched(self) -> bool:
        """Whether the maps of a split are stretched to 0..255, as in RoBiS."""
        return self.method == "robis" and self.robis.score_range == "split"

    @property
    def sees_test_images(self) -> bool:
        """Whether the scale of a test split's maps comes from that split."""
        return self.stretched

    def refusal(self, grid: GridSettings) -> str | None:
        """Say why these settings cannot merge the tiles of a grid, None if they can."""
        if (self.method == "cut") != (grid.layout == "cells"):
            return (
                f"merge.method cut and the layout cells need each other, found {self.method} and {grid.layout}; choose "
                "both, or for example merge.method exact and the layout even"
            )
        if self.method != "robis":
            return None
        tile_px = grid.window_px * self.scale
        if grid.layout != "padded":
            return (
                f"merge.method robis needs the layout padded, not {grid.layout}; choose that layout for its grid, or "
                "merge.method exact"
            )
        if abs(tile_px - round(tile_px)) > 1e-6 or int(tile_px * (1.0 - grid.overlap)) < 1:
            return (
                f"merge.method robis needs tiles of whole map px that advance: window_px {grid.window_px}, scale "
                f"{self.scale:g} and overlap {grid.overlap:g} give {tile_px:g} map px; 1024, 0.25 and 0.1 would do"
            )
        return None
