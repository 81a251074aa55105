"""Settings of the comparisons: variations of a run, and other runs."""

from typing import Any

from pydantic import Field

from seamark.settings.base import Name, Settings

Overlay = dict[str, Any] | tuple[str | dict[str, Any], ...]
"""Settings, or preset files and settings, each laid over what stands before it."""
Variations = dict[Name, Overlay | None]


class ComparisonPageSettings(Settings):
    """What the comparison page shows."""

    images: int = Field(12, ge=0, le=200, description="images that are drawn: those whose result changed most")


class CompareSettings(ComparisonPageSettings):
    """What the target compare puts beside the run, and what its page and that of ablate show."""

    presets: Variations = Field(
        default_factory=dict,
        description="by name: preset files and settings, laid over the run in this order, whose name, data and seed "
        "stay; null drops one",
    )
    runs: tuple[Name, ...] = Field((), description="names of other, finished runs, taken from out/<name> as they are")
