"""Settings of the page that compares runs."""

from pydantic import Field

from seamark.settings.base import Settings


class ComparisonPageSettings(Settings):
    """What the comparison page shows."""

    images: int = Field(12, ge=0, le=200, description="images that are drawn: those whose result changed most")
