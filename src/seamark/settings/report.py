"""Settings of the report stage."""

from pydantic import Field

from seamark.settings.base import Settings


class ReportSettings(Settings):
    """What the report shows."""

    worst_images: int = Field(6, ge=0, le=100, description="images with the lowest SegF1 shown per category and split")
    best_images: int = Field(3, ge=0, le=100, description="images with the highest SegF1 shown per category and split")
