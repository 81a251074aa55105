"""Settings of photometric variants of photographs."""

from pydantic import Field

from seamark.settings.augmentation import WideSettings
from seamark.settings.base import Settings, Split

VALIDATION_VARIANTS: Split = "validation_variants"
"""The split of the variants of validation photographs: it gets maps and statistics, nothing else."""


class LightVariantsSettings(Settings):
    """Photographs shown once more as another lamp and camera would: more to learn from, and to set thresholds by."""

    train_variants: int = Field(
        0, ge=0, le=16, description="variants of each training photograph that detectors learn from, besides itself"
    )
    train_photographs: bool = Field(
        True,
        description="whether detectors learn from training photographs as they are; parity: false, from their variants "
        "alone, where there are any",
    )
    validation_variants: int = Field(
        0, ge=0, le=16, description="variants of each validation photograph that thresholds may come from"
    )
    wide: WideSettings = Field(default_factory=WideSettings, description="how variants differ from the photograph")

    def versions(self, split: str) -> range:
        """Return the numbers of the variants that a split consists of; 0 is the photograph itself."""
        replaced = split == "train" and not self.train_photographs and self.train_variants > 0
        without = split == VALIDATION_VARIANTS or replaced
        return range(int(without), self.variants(split) + 1)

    def variants(self, split: str) -> int:
        """Return how many variants of its photographs a split has."""
        if split == VALIDATION_VARIANTS:
            return self.validation_variants
        return self.train_variants if split == "train" else 0
