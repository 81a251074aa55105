"""Refusal of a run that lacks what its settings need, before anything runs."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from seamark.errors import ConfigError
from seamark.files.plain import looked_for
from seamark.planning.buildable import too_few_tiles
from seamark.planning.challenge_rules import folders_of
from seamark.planning.variations import Variation, plain
from seamark.settings.data import DataSettings


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
        configs = [config, *(variation.resolved(category, split) for split in config.data.splits)]
        refusals = [config.crossfit.refusal(used), too_few_tiles(config, used)]
        refusals += [one.binarize.images_refusal(config.crossfit.scored(used), validation) for one in configs]
        refusals += [one.verdict.refusal(one.normal_images(train, validation)) for one in configs]
        for refusal in filter(None, refusals):
            raise ConfigError(f"category {category}: {refusal}")


def require_folders(data: DataSettings, categories: Sequence[str], variations: Iterable[Variation]) -> None:
    """Refuse folders that settings name and that are not there; detectors that are not trained need none.

    Parameters
    ----------
    data : DataSettings
        Of the run.
    categories : sequence of str
        Those of the run.
    variations : iterable of Variation
        The run and its variations.

    Raises
    ------
    ConfigError
        Naming each setting and the place where its folder was looked for.
    """
    problems = []
    if not data.demo and data.truth_root is not None and not data.truth_root.is_dir():
        problems.append(
            f"data.truth_root: no folder {looked_for(data.truth_root)}; set it to null if no private truth is known"
        )
    for variation in variations:
        for category in categories:
            for member in variation.members(category):
                block = plain(variation.detector(category, member))
                problems += [
                    f"{setting}: no folder {looked_for(folder)}; correct the path, or set it to null"
                    for setting, folder in folders_of(block, f"detectors.{member}")
                    if not Path(folder).is_dir()
                ]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def require_judged_alone(category: str, variation: Variation) -> None:
    """Refuse settings of a category with which a photograph is not judged alone: ConfigError, naming the setting."""
    config = variation.resolved(category)
    seeing = {
        "merge.robis.score_range: none": config.merge.stretched,
        "binarize.mean_std.scope: validation": config.binarize.mean_std.enabled
        and config.binarize.mean_std.scope == "split",
        "binarize.mebin.enabled: false": config.binarize.mebin.enabled,
    }
    if remedies := [remedy for remedy, sees in seeing.items() if sees]:
        raise ConfigError(
            f"category {category}: scores of all photographs of a split have a part in each mask, so that no "
            f"photograph can be judged alone, as a bundle does; set {', '.join(remedies)}"
        )


def scoring_models(*sources: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """Return an input function for the models that score a job's split: that of all photographs, or those of folds.

    It takes wildcards, joins what input functions for either give and raises ConfigError if that is nothing.
    """

    def files(wildcards: Any) -> list[str]:
        found = [path for source in sources for path in source(wildcards)]
        if not found:
            raise ConfigError(f"{wildcards.category} {wildcards.split}: needs crossfit.folds or crossfit.holdout_every")
        return found

    return files
