"""Settings of a grid: how images are cut into tiles."""

from typing import Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings


class GridSettings(Settings):
    """A named tiling: window, overlap, layout and the size of the model's input.

    The defaults are Swin-Cropping as RoBiS uses it.
    """

    layout: Literal["padded", "even", "whole"] = Field(
        "padded",
        description="padded: fixed stride, zeros beyond; even: spread evenly, never beyond the image; whole: one tile "
        "per image, squeezed into the model's input",
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

    @property
    def input_shape(self) -> tuple[int, int]:
        """Height and width of a stored tile in pixels."""
        if isinstance(self.input_px, int):
            return self.input_px, self.input_px
        return self.input_px

    @model_validator(mode="after")
    def _tiles_advance(self) -> "GridSettings":
        if min(self.input_shape) < 1 or max(self.input_shape) > 4096:
            raise ValueError(f"input_px {self.input_px}: each side must be in 1..4096")
        if self.layout != "whole" and int(self.window_px * (1.0 - self.overlap)) < 1:
            raise ValueError(
                f"window_px {self.window_px} with overlap {self.overlap} gives a stride of 0 px; use a smaller overlap"
            )
        return self
