"""What a run lacks that its settings need, before anything runs."""

from collections.abc import Callable, Iterable
from typing import Any

from seamark.errors import ConfigError
from seamark.planning.buildable import too_few_tiles
from seamark.planning.variations import Variation


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
        refusals = [config.crossfit.refusal(used), too_few_tiles(config, used)]
        refusals += [binarize.images_refusal(used, validation) for binarize in thresholds]
        for refusal in filter(None, refusals):
            raise ConfigError(f"category {category}: {refusal}")


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
