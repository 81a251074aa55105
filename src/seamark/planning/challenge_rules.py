"""Rules of challenges held against the settings of a run, before anything of it has run.

VAND 4.0, industrial track: one architecture and one set of hyper-parameters for all categories; thresholds from train
and validation only, not from test images (docs/methods/mvtec_ad2.md#challenges; the challenge's page is
sites.google.com/view/vand4-cvpr2026/challenge). A setting that differs between the two private splits is a second set
of hyper-parameters too. A scale that comes from a test split moves every threshold on that scale, so it counts as one
(MEBin is such a one). A map that is fitted to validation by two of its own quantiles before it is ranked
(``ranking.fit``) sees no other test image and moves no threshold.

VAND 3.0, Adapt & Detect: the rank comes from both private splits of all categories. Settings per category and per
split, and thresholds that saw test images, were no reason to refuse an entry, so nothing is said about them here.

Both: training sees defect-free images only, which MVTec AD 2 gives as train and validation. Seamark's own training
reads nothing else; folders of further photographs could.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from seamark.manifests.submission import ChallengeVerdict, RuleBreach
from seamark.settings.config import Config
from seamark.settings.package import Challenge

Place = tuple[str, str]
"""Category and split."""

Finding = tuple[str, Any, str]
"""Setting, its value and the remedy."""

COST_ONLY = {"feature_cache_mb", "checkpoint_every_s", "texture_cache_mb", "photograph_cache_mb", "memory_limit_mb"}
"""Settings that the result does not depend on; they may differ."""

RANKED_SPLITS = ("test_private", "test_private_mixed")

ONE_VALUE = "the challenge wants one set of hyper-parameters: give one value in the section itself, drop the overrides"


def challenge_verdicts(configs: Mapping[Place, Config]) -> tuple[ChallengeVerdict, ...]:
    """Judge the settings of a submission by the rules of every known challenge.

    Parameters
    ----------
    configs : mapping of (str, str) to Config
        Resolved configuration of every category and private split; at least one.

    Returns
    -------
    tuple of ChallengeVerdict
        One per challenge, each with every setting that breaks a rule, in the order of the configuration. Settings
        without effect, such as those of a segmenter that is not used, break nothing.
    """
    config = next(iter(configs.values()))
    always = (*_incomplete(config), *_breaches("normal_training_images", configs, _test_folders))
    judged: dict[Challenge, tuple[RuleBreach, ...]] = {
        "vand3": always,
        "vand4": (
            *always,
            *_second_settings(configs),
            *_breaches("thresholds_without_test", configs, _looks_at_test),
        ),
    }
    cautions: dict[Challenge, tuple[RuleBreach, ...]] = {
        "vand3": (),
        "vand4": tuple(_breaches("thresholds_without_test", configs, _relative_to_the_peak)),
    }
    return tuple(
        ChallengeVerdict(
            challenge=challenge,
            enforced=config.package.rules == challenge,
            breaches=breaches,
            cautions=cautions[challenge],
        )
        for challenge, breaches in judged.items()
    )


def _incomplete(config: Config) -> Iterator[RuleBreach]:
    splits = config.data.splits
    if not set(RANKED_SPLITS) <= set(splits):
        yield RuleBreach(
            rule="complete_submission",
            setting="data.splits",
            values={"*": list(splits)},
            remedy=f"both {' and '.join(RANKED_SPLITS)} are ranked: list them",
        )
    if config.package.allow_partial:
        yield RuleBreach(
            rule="complete_submission",
            setting="package.allow_partial",
            values={"*": True},
            remedy="every category is ranked: set it to false",
        )


def _looks_at_test(config: Config) -> Iterator[Finding]:
    """Yield the settings by which test images have a part in a threshold, or in the scale that it stands on."""
    merge, binarize = config.merge, config.binarize
    if merge.sees_test_images:
        yield "merge.robis.score_range", merge.robis.score_range, "set it to none, or merge.method to exact"
    if binarize.mean_std.sees_test_images:
        yield "binarize.mean_std.scope", binarize.mean_std.scope, "set it to validation"
    if binarize.mebin.sees_test_images:
        yield "binarize.mebin.enabled", True, "set it to false; mean_std needs no test image"


def _relative_to_the_peak(config: Config) -> Iterator[Finding]:
    settings = config.binarize
    shares = {"peak_share": (settings.peak_share, "0"), "extent.enabled": (settings.extent.enabled, "false")}
    for name, (value, safe) in shares.items():
        if value:
            remedy = (
                "a fixed share of a component's own peak decides which of its pixels stay; whether that is a threshold "
                f"from a test image the rules do not say: set it to {safe} to be safe, or ask the organisers"
            )
            yield f"binarize.{name}", value, remedy


def _test_folders(config: Config) -> Iterator[Finding]:
    """Yield the folders of further training photographs that hold images of a test split."""
    roots = [folder for folder in (config.data.root, config.data.truth_root) if folder is not None]
    for member in config.fuse.members:
        for path, folder in folders_of(config.detector_blocks[member].model_dump(mode="json"), f"detectors.{member}"):
            if any(_holds_test_images(Path(folder), root) for root in roots):
                yield path, folder, "name a folder without test images of the data root"


def folders_of(block: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield the folders that a block ready for JSON names, with their settings; the block stands at ``path``."""
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield from folders_of(value, f"{path}.{key}")
        elif key.endswith("_folder") and value is not None:
            yield f"{path}.{key}", value


def _holds_test_images(folder: Path, root: Path) -> bool:
    folder, root = (Path(os.path.normpath(path.absolute())) for path in (folder, root))
    if root.is_relative_to(folder):
        return True
    inside = folder.relative_to(root).parts if folder.is_relative_to(root) else ("train",)
    return not {"train", "validation"} & set(inside)


def _breaches(
    rule: Any, configs: Mapping[Place, Config], find: Callable[[Config], Iterator[Finding]]
) -> Iterator[RuleBreach]:
    """Collect what is found at each place by setting."""
    found: dict[tuple[str, str], dict[Place, Any]] = {}
    for place, config in configs.items():
        for setting, value, remedy in find(config):
            found.setdefault((setting, remedy), {})[place] = value
    for (setting, remedy), values in found.items():
        yield RuleBreach(rule=rule, setting=setting, values=by_place(values, configs), remedy=remedy)


def _second_settings(configs: Mapping[Place, Config]) -> Iterator[RuleBreach]:
    """Yield every setting whose resolved value is not the same for all categories and private splits."""
    blocks = {place: _effective(config) for place, config in configs.items()}
    for path, values in _differences(blocks, ""):
        yield RuleBreach(rule="one_setting_for_all", setting=path, values=by_place(values, values), remedy=ONE_VALUE)


def _differences(values: Mapping[Place, Any], path: str) -> Iterator[tuple[str, Mapping[Place, Any]]]:
    """Yield the deepest paths that differ; what some places do not have is compared among those that have it."""
    if all(isinstance(value, Mapping) for value in values.values()):
        for key in dict.fromkeys(key for value in values.values() for key in value):
            having = {place: value[key] for place, value in values.items() if key in value}
            yield from _differences(having, f"{path}.{key}".lstrip("."))
    elif len({repr(value) for value in values.values()}) > 1:
        yield path, values


def _effective(config: Config) -> dict[str, Any]:
    """Return the settings that decide what is submitted, without those that have no effect."""
    blocks = {member: config.detector_blocks[member].model_dump(mode="json") for member in config.fuse.members}
    grids = {block["grid"]: config.grids[block["grid"]].model_dump(mode="json") for block in blocks.values()}
    return {
        "grids": grids,
        "detectors": {
            member: {"type": config.detector_types[member], **_without_cost(block)} for member, block in blocks.items()
        },
        "merge": _effective_merge(config),
        "fuse": _effective_fuse(config),
        "binarize": _effective_binarize(config),
        "refine": _effective_refine(config),
        "verdict": _effective_verdict(config),
        "ranking": config.ranking.model_dump(mode="json"),
    }


def _without_cost(block: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_cost(value) if isinstance(value, Mapping) else value
        for key, value in block.items()
        if key not in COST_ONLY
    }


def _effective_merge(config: Config) -> dict[str, Any]:
    unused = {"robis", "cut"} - {config.merge.method}
    if config.merge.method != "exact":
        unused |= {"blend", "smooth_sigma_px", "smooth_sigma_cells"}
    if config.merge.smooth_sigma_px is not None:
        unused |= {"smooth_sigma_cells"}
    return config.merge.model_dump(mode="json", exclude=unused)


def _effective_fuse(config: Config) -> dict[str, Any]:
    members = list(config.fuse.members)
    if len(members) == 1:
        return {"members": members, "level_borders": config.fuse.level_borders}
    weights = {member: config.fuse.weight(member) for member in members}
    return {**config.fuse.model_dump(mode="json"), "members": members, "weights": weights}


def _effective_binarize(config: Config) -> dict[str, Any]:
    block = config.binarize.model_dump(mode="json")
    return {
        key: {"enabled": False} if isinstance(value, dict) and not value["enabled"] else value
        for key, value in block.items()
    }


def _effective_refine(config: Config) -> dict[str, Any]:
    method = config.refine.method
    if method == "none":
        return {"method": method}
    return config.refine.model_dump(mode="json", exclude={"grabcut", "guided", "sam"} - {method})


def _effective_verdict(config: Config) -> dict[str, Any]:
    """Return what the masks depend on: both rates, and that only with the gate."""
    return config.verdict.model_dump(mode="json", exclude={"too_few"}) if config.verdict.gate else {"gate": False}


def by_place(values: Mapping[Place, Any], places: Collection[Place]) -> dict[str, Any]:
    """Name places as briefly as the values allow: ``*``, ``category``, ``*/split`` or ``category/split``.

    Parameters
    ----------
    values : mapping of (str, str) to object
        By category and split.
    places : collection of (str, str)
        All places that a name may stand for.

    Returns
    -------
    dict of str to object
        The values by such names.
    """
    briefer = (_named(values, places, name) for name in ("*", "{0}", "*/{1}"))
    return next((named for named in briefer if named is not None), {"/".join(at): values[at] for at in values})


def _named(values: Mapping[Place, Any], places: Collection[Place], name: str) -> dict[str, Any] | None:
    """Return the values by name, None if two places of one name differ or only one of them has a value."""
    absent = object()
    named: dict[str, Any] = {}
    for place in places:
        value = values.get(place, absent)
        if named.setdefault(name.format(*place), value) != value:
            return None
    return {key: value for key, value in named.items() if value is not absent}
