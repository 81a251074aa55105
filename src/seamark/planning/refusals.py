"""What a run lacks that its settings need, before anything runs."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from seamark.errors import ConfigError
from seamark.planning.variations import Variation
from seamark.settings.aurd import AurdSettings
from seamark.settings.config import Config
from seamark.settings.pfadseg import PfadsegSettings
from seamark.settings.training import DetectorSettings

NEED_TWO_TILES = (AurdSettings, PfadsegSettings)
"""Settings of detectors whose batch norms cannot train on a single tile."""


def require_photographs(category: str, train: int, validation: int, variations: Iterable[Variation]) -> None:
    """Refuse folds and promises for which a category has too few photographs.

    Parameters
    ----------
    category : str
        Name of the category.
    train, validation : int
        Photographs of its splits, before ``data.train_images`` leaves some out.
    variations : iterable of Variation
        The run and its variations.

    Raises
    ------
    ConfigError
        With the number that is needed.
    """
    for variation in variations:
        config = variation.resolved(category)
        limit = config.data.train_images
        used = train if limit is None else min(limit, train)
        thresholds = [config.binarize, *(variation.resolved(category, split).binarize for split in config.data.splits)]
        refusals = [config.crossfit.refusal(used), _too_few_tiles(config, used)]
        refusals += [binarize.images_refusal(used, validation) for binarize in thresholds]
        for refusal in filter(None, refusals):
            raise ConfigError(f"category {category}: {refusal}")


def _too_few_tiles(config: Config, photographs: int) -> str | None:
    """Say which detector gets a single tile to train with, the model of a fold too, where it needs two."""
    folds = config.crossfit.folds
    least = photographs - math.ceil(photographs / folds) if folds else photographs
    for member in config.fuse.members:
        block = config.detector_blocks[member]
        whole = isinstance(block, DetectorSettings) and config.grids[block.grid].layout == "whole"
        if whole and least * (1 + config.light_variants.train_variants) == 1 and isinstance(block, NEED_TWO_TILES):
            return (
                f"detectors.{member} trains on at least 2 tiles, and one photograph on the grid {block.grid} is one; "
                "add training photographs, or set light_variants.train_variants or a grid of several tiles"
            )
    return None


def scoring_models(*sources: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """Return an input function for the models that score a job's split: that of all photographs, or those of folds.

    It takes wildcards, joins what input functions for either give and raises ConfigError if that is nothing.
    """

    def files(wildcards: Any) -> list[str]:
        found = [path for source in sources for path in source(wildcards)]
        if not found:
            raise ConfigError(f"{wildcards.category} {wildcards.split}: needs crossfit.folds of at least 2")
        return found

    return files
