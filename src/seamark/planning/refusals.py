"""What needs more photographs of a category than there are, before anything runs."""

from collections.abc import Iterable

from seamark.errors import ConfigError
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
        refusals = [config.crossfit.refusal(used)]
        if config.binarize.conformal.enabled:
            refusals.append(config.binarize.conformal.refusal(config.binarize.normal_images(used, validation)))
        for refusal in filter(None, refusals):
            raise ConfigError(f"category {category}: {refusal}")
