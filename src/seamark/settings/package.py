"""Settings of the package stage."""

from pydantic import Field

from seamark.settings.base import Settings


class PackageSettings(Settings):
    """What goes into the submission archive."""

    map_scale: float = Field(
        1.0, gt=0.0, le=1.0, description="size of the submitted TIFF maps relative to the image: 1 native, 0.25 quarter"
    )
    allow_partial: bool = Field(False, description="package although categories of the data root are left out")
    image_scale: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="size of MVTec AD 2's photographs relative to the official one; below 1 only to rehearse",
    )
