"""Settings of a grid: how images are cut into tiles."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings


class GridSettings(Settings):
    """A named tiling: window, overlap, layout and the size of the model's input.

    The defaults are Swin-Cropping as RoBiS uses it.
    """

    layout: Literal["padded", "even", "cells", "whole"] = Field(
        "padded",
        description="padded: fixed stride, zeros beyond; even: spread evenly, never beyond the image; cells: as "
        "SuperADD, which shrinks the whole image, by input_px to window_px, and spreads tiles over its whole cells; "
        "whole: one tile per image, squeezed into the model's input",
    )
    window_px: int = Field(
        1024,
        ge=1,
        le=16384,
        description="side of the square window in image pixels (not used by whole); even: the image's shorter side "
        "where that is less, so 16384 sees the whole of it",
    )
    overlap: float = Field(
        0.1, ge=0.0, lt=1.0, description="share of the window that neighbouring tiles have in common"
    )
    input_px: int | tuple[int, int] = Field(
        518, description="size of a stored tile in pixels: one side, or [height, width]"
    )
    resampling: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="Pillow's antialiased filter that resizes windows; the layout cells is always bicubic"
    )
    cell_px: int = Field(
        16,
        ge=1,
        le=256,
        description="cells: side of a cell in pixels of the stored tile, the model's coarsest stride; what is left of "
        "the shrunken image at its right and lower border is not seen",
    )

    @property
    def input_shape(self) -> tuple[int, int]:
        """Height and width of a stored tile in pixels."""
        if isinstance(self.input_px, int):
            return self.input_px, self.input_px
        return self.input_px

    @property
    def window_cells(self) -> int:
        """Cells along the side of a tile of the layout cells."""
        return self.input_shape[0] // self.cell_px

    @model_validator(mode="after")
    def _tiles_advance(self) -> "GridSettings":
        if min(self.input_shape) < 1 or max(self.input_shape) > 4096:
            raise ValueError(f"input_px {self.input_px}: each side must be in 1..4096")
        if self.layout != "whole" and int(self.window_px * (1.0 - self.overlap)) < 1:
            raise ValueError(
                f"window_px {self.window_px} with overlap {self.overlap} gives a stride of 0 px; use a smaller overlap"
            )
        if self.layout == "cells" and (len({*self.input_shape}) > 1 or self.input_shape[0] % self.cell_px):
            raise ValueError(
                f"input_px {self.input_px}: the layout cells needs a square of whole cells of cell_px {self.cell_px}"
            )
        if self.layout == "cells" and int(self.window_cells * (1.0 - self.overlap)) < 1:
            raise ValueError(f"overlap {self.overlap}: tiles of {self.window_cells} cells would not advance; use less")
        return self
