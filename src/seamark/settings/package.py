"""Settings of the package stage."""

from typing import Literal

from pydantic import Field

from seamark.settings.base import Settings

Challenge = Literal["vand3", "vand4"]
"""The challenges whose rules are known: VAND 3.0 (2025) and VAND 4.0 (2026), industrial tracks."""


class PackageSettings(Settings):
    """What goes into the submission archive."""

    map_scale: float = Field(
        1.0, gt=0.0, le=1.0, description="size of the submitted TIFF maps relative to the image: 1 native, 0.25 quarter"
    )
    rules: Literal["none"] | Challenge = Field(
        "none", description="challenge whose rules the settings must keep, or nothing is planned: none, vand3 or vand4"
    )
    allow_partial: bool = Field(
        False, description="package although categories of the data root are left out, or not recognised as such"
    )
    image_scale: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="size of MVTec AD 2's photographs relative to the official one; below 1 only to rehearse",
    )
