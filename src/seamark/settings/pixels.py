"""Settings of what becomes of pixels that are not 8-bit grey or RGB already; each is the same for all photographs."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seamark.settings.base import Settings

Byte = Annotated[int, Field(ge=0, le=255)]


class DepthSettings(Settings):
    """The values of 16-bit files that become black and white."""

    black: int = Field(ge=0, le=65534, description="value that becomes 0, as all below it do")
    white: int = Field(ge=1, le=65535, description="value that becomes 255, as all above it do")

    @model_validator(mode="after")
    def _black_is_below_white(self) -> "DepthSettings":
        if self.black >= self.white:
            raise ValueError(f"black {self.black} is not below white {self.white}")
        return self


Depth = Annotated[
    DepthSettings | None,
    Field(
        description="files have 16 bits per channel, of which {black: 0, white: 4095} makes 8: linearly, to the "
        "nearest, all photographs alike; null: 8 bits"
    ),
]
AlphaOver = Annotated[
    tuple[Byte, Byte, Byte] | None,
    Field(description="colour [r, g, b] on which transparent pixels are laid; null refuses an alpha channel"),
]
Palette = Annotated[bool, Field(description="look colours of a palette up, which gives RGB; false refuses palettes")]
Orientation = Annotated[
    Literal["stored", "exif"],
    Field(description="stored: pixels as they are stored; exif: turned as the orientation tag of each file says"),
]


class PixelSettings(Settings):
    """How photographs are decoded; without any setting only 8-bit grey and RGB are read, as they are stored."""

    depth: Depth = None
    alpha_over: AlphaOver = None
    palette: Palette = False
    orientation: Orientation = "stored"
