"""Settings of the demo data set."""

from pydantic import Field

from seamark.settings.base import Settings

DEMO_CATEGORIES = ("woven", "washers")
"""Names of the generated categories: a grey woven texture and coloured parts scattered on a background."""


class DemoSettings(Settings):
    """How many images the demo has and how large they are."""

    seed: int = Field(1, ge=0, description="seed of every random choice")
    train: int = Field(16, ge=1, le=999, description="images in train/good")
    validation: int = Field(5, ge=1, le=999, description="images in validation/good")
    public_good: int = Field(1, ge=1, le=99, description="defect-free scenes in test_public, each under every light")
    public_bad: int = Field(3, ge=1, le=99, description="defect scenes in test_public, each under every light")
    private_good: int = Field(3, ge=1, le=999, description="defect-free scenes in test_private and test_private_mixed")
    private_bad: int = Field(7, ge=1, le=999, description="defect scenes in test_private and test_private_mixed")
    scale: float = Field(
        1.0, gt=0.05, le=1.0, description="size of the images relative to the full demo; below 1 for quick tests"
    )
