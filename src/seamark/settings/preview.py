"""Settings of the preview stage."""

from pydantic import Field

from seamark.settings.base import Settings


class PreviewSettings(Settings):
    """How overlay strips, the layers of the viewer and contact sheets are drawn."""

    panel_px: int = Field(
        480,
        ge=64,
        le=4096,
        description="longer side of one panel of a strip in pixels; long photographs are folded in it",
    )
    layer_px: int = Field(
        1024,
        ge=64,
        le=16384,
        description="longer side of the viewer's layers in pixels, at most the photograph's; of long photographs it is "
        "more, so that layers have as many pixels as if they were folded",
    )
    contact_columns: int = Field(4, ge=1, le=20, description="images per row of a contact sheet")
    jpeg_quality: int = Field(85, ge=1, le=100, description="quality of the JPEG files")
