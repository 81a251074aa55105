"""Which models score a split. Free of NumPy, as planning is."""

from collections.abc import Callable
from typing import Any

from seamark.errors import ConfigError


def scoring_models(*sources: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """Return an input function for the models that score a job's split: that of all photographs, or those of folds.

    Parameters
    ----------
    *sources : callable
        Input functions for either; one of them gives nothing.

    Returns
    -------
    callable
        Takes wildcards, returns paths. It raises ConfigError where there is no model.
    """

    def files(wildcards: Any) -> list[str]:
        found = [path for source in sources for path in source(wildcards)]
        if not found:
            raise ConfigError(f"{wildcards.category} {wildcards.split}: needs crossfit.folds of at least 2")
        return found

    return files
