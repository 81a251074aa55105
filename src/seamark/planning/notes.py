"""Notes on the settings for a person, before a run. Free of NumPy and torch, as planning is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from seamark.backbones.table import TIMM, published_backbone
from seamark.planning.challenge_rules import Place, by_place
from seamark.planning.variations import Variation
from seamark.settings.binarize import CROSSFITTED, normal_with
from seamark.settings.config import Config
from seamark.settings.light_variants import VALIDATION_VARIANTS
from seamark.settings.promises import promises_of, promises_text
from seamark.settings.training import DetectorSettings


def settings_notes(
    run: Variation,
    learned: Mapping[str, tuple[int, int]],
    splits: Sequence[str],
    from_presets: Mapping[str, str],
) -> list[str]:
    """Return which blocks came from presets, licences, what thresholds and verdicts promise, and unused work.

    Parameters
    ----------
    run : Variation
        The run.
    learned : mapping of str to (int, int)
        Photographs for train and validation of each category of the run.
    splits : sequence of str
        Those of the run.
    from_presets : mapping of str to str
        Preset files by the detector that got its block from there.

    Returns
    -------
    list of str
        One line each.
    """
    categories = list(learned)
    configs = {(category, split): run.resolved(category, split) for category in categories for split in splits}
    told = {place: promises_text(promises_of(config.binarize)) for place, config in configs.items()}
    promises = [
        f"thresholds{'' if where == '*' else f' of {where}'}: {text}" for where, text in by_place(told, told).items()
    ]
    rates, licences = _wider_rates(configs, learned), dict.fromkeys(_licences(configs.values()))
    unused = _unused(configs, categories, splits)
    return [*_blocks(run, categories, from_presets), *licences, *promises, *rates, *unused]


def _blocks(run: Variation, categories: Sequence[str], from_presets: Mapping[str, str]) -> Iterator[str]:
    for detector, file in from_presets.items():
        users = [category for category in categories if detector in run.members(category)]
        if users:
            yield (
                f"detector {detector} of {', '.join(users)}: block and grid are those of {file}; merge, "
                "light_variants, thresholds and all else are the run's"
            )


def _wider_rates(configs: Mapping[Place, Config], learned: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    told = {place: config.verdict.note(config.normal_images(*learned[place[0]])) for place, config in configs.items()}
    for where, text in by_place(told, told).items():
        if text is not None:
            yield f"verdicts{'' if where == '*' else f' of {where}'}: {text}"


def _licences(configs: Iterable[Config]) -> Iterator[str]:
    """Yield the licences of timm's weights, which docs/backbones.md cannot list."""
    for config in configs:
        for block in map(config.detector_blocks.__getitem__, config.fuse.members):
            if isinstance(block, DetectorSettings) and block.backbone.startswith(TIMM) and block.weights != "random":
                weights = published_backbone(block.backbone).weights
                yield f"backbone {block.backbone}: licence of its weights: {weights.licence} ({weights.page})"


def _unused(configs: Mapping[Place, Config], categories: Sequence[str], splits: Sequence[str]) -> Iterator[str]:
    for category in categories:
        normal = {configs[category, split].binarize.normal for split in splits}
        config = configs[category, splits[0]]
        made = {
            "crossfit.folds": (config.crossfit.folds, CROSSFITTED),
            "crossfit.holdout_every": (config.crossfit.holdout_every, CROSSFITTED),
            "light_variants.validation_variants": (
                config.light_variants.validation_variants,
                normal_with(VALIDATION_VARIANTS),
            ),
        }
        for setting, (number, users) in made.items():
            if number and not normal & {*users}:
                yield (
                    f"{setting} {number} of {category}: work that no threshold uses; binarize.normal is "
                    f"{' and '.join(sorted(normal))}"
                )
