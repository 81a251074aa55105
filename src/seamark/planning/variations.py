"""The variations of a run: settings laid over its own, validated and resolved. Free of NumPy, as planning is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seamark.errors import ConfigError
from seamark.planning.settings_files import read_settings_file
from seamark.planning.teachers import PlannedTeachers
from seamark.registry import DETECTORS
from seamark.settings.base import Settings, Split, expanded
from seamark.settings.comparison import Overlay
from seamark.settings.config import (
    Config,
    check_overrides,
    deep_merge,
    laid_over,
    load_config,
    require_bounded,
    resolve,
)
from seamark.settings.crossfit import CROSSFIT_TRAIN
from seamark.settings.detectors import detector_type
from seamark.settings.light_variants import VALIDATION_VARIANTS
from seamark.settings.written import UNKNOWN, Keys, SettingsFile, Sources, mapping_at

OF_THE_RUN = ("run", "seed", "reproducible", "data", "demo", "keep_tiles", "package", "report", "compare", "ablate")
"""Sections that all variations have in common; a variation cannot change them."""
FOR_THRESHOLDS: tuple[Split, ...] = (VALIDATION_VARIANTS, CROSSFIT_TRAIN)
"""Splits that are none of the data set and get maps and statistics only."""


class Variation:
    """One configuration of a plan: that of the run or of a variation of it.

    Parameters
    ----------
    name : str
        Name of the run or of the variation.
    place : str
        Its folder below ``out``.
    raw : mapping
        The whole configuration, of which one part may be overrides.
    teachers : PlannedTeachers
        Teachers of the plan.
    changes : str
        What the variation changes, as YAML; empty for the run itself.
    sources : Sources
        The files that the configuration comes from, for messages.

    Raises
    ------
    ConfigError
        Listing every problem of the configuration.
    """

    def __init__(
        self,
        name: str,
        place: str,
        raw: Mapping[str, Any],
        teachers: PlannedTeachers,
        changes: str = "",
        *,
        sources: Sources = UNKNOWN,
    ) -> None:
        self.name = name
        self.place = place
        self.raw = raw
        self.config: Config = load_config(raw, sources)
        self.changes = changes
        self.sources = sources
        self._teachers = teachers
        self._resolutions: dict[tuple[str, ...], Config] = {}

    def resolved(self, category: str | None, split: str | None = None) -> Config:
        """Return the configuration of a category and split, overrides applied."""
        if category is None:
            return self.config
        given = self.raw.get("overrides") or {}
        applied = tuple(key for key in (category, f"*/{split}", f"{category}/{split}") if given.get(key))
        if applied not in self._resolutions:
            self._resolutions[applied] = resolve(self.raw, category, split)
        return self._resolutions[applied]

    def settings(self, name: str, wildcards: Any) -> Any:
        """Return, ready for JSON, what a job reads of the configuration.

        Parameters
        ----------
        name : str
            A section, ``light_variants`` as None for splits without variants, ``ranking`` as None without a fit;
            ``holdout`` is ``crossfit.holdout_every``, None for all splits but those of training photographs;
            ``grid`` and ``detector`` are the blocks of the job's own, ``grids`` those of all members, ``members`` name,
            type, block and grid of each.
        wildcards : object
            With the attributes ``category``, ``split``, ``grid`` and ``detector``, as far as the job has them.

        Returns
        -------
        dict, list of dict, int or None
            The resolved block or blocks.
        """
        resolved = self.resolved(getattr(wildcards, "category", None), getattr(wildcards, "split", None))
        if name == "grid":
            return plain(resolved.grids[wildcards.grid])
        if name == "detector":
            return plain(self._teachers.taught(resolved.detector_blocks[wildcards.detector]))
        if name in ("light_variants", "ranking"):
            ranked = resolved.ranking.fit != "none"
            used = ranked if name == "ranking" else resolved.light_variants.variants(wildcards.split)
            return plain(getattr(resolved, name)) if used else None
        if name == "holdout":
            return resolved.crossfit.holdout_every if wildcards.split in ("train", CROSSFIT_TRAIN) else None
        if name in ("members", "grids"):
            return self._of_members(resolved, wildcards.category, name)
        return plain(getattr(resolved, name))

    def _of_members(self, resolved: Config, category: str, name: str) -> list[dict[str, Any]]:
        grids = {member: self.grid(category, member) for member in resolved.fuse.members}
        if name == "grids":
            return [plain(resolved.grids[grid]) for grid in dict.fromkeys(grids.values())]
        return [
            {
                "name": member,
                "type": resolved.detector_types[member],
                "settings": plain(self._teachers.taught(resolved.detector_blocks[member])),
                "grid": plain(resolved.grids[grid]),
            }
            for member, grid in grids.items()
        ]

    def varied(self, name: str, raw: Mapping[str, Any], changes: str, sources: Sources = UNKNOWN) -> "Variation":
        """Return a variation of this run.

        Raises
        ------
        ConfigError
            Listing every problem of its configuration.
        """
        return Variation(name, f"{self.name}+{name}", raw, self._teachers, changes, sources=sources)

    def members(self, category: str) -> tuple[str, ...]:
        """Return the detectors of a category that are trained and fused."""
        return self.resolved(category).fuse.members

    def splits_for_thresholds(self, category: str) -> tuple[Split, ...]:
        """Return the splits that only thresholds of a category see."""
        config = self.resolved(category)
        wanted = config.light_variants.validation_variants, config.crossfit.scores_training
        return tuple(split for split, there in zip(FOR_THRESHOLDS, wanted, strict=True) if there)

    def detector(self, category: str, detector: str) -> Settings:
        """Return the resolved block of a detector."""
        return self.resolved(category).detector_blocks[detector]

    def detector_type(self, category: str, detector: str) -> str:
        """Return the registered detector that a block of a category is of."""
        return self.resolved(category).detector_types[detector]

    def teacher(self, category: str, detector: str) -> str | None:
        """Return the name of the teacher that a detector needs distilled, None for other detectors."""
        return self._teachers.of(self.detector(category, detector))

    def grid(self, category: str, detector: str) -> str:
        """Return the name of the grid that a detector works on."""
        grid: str = getattr(self.detector(category, detector), "grid")  # noqa: B009 (not of Settings)
        return grid


def plain(block: Settings) -> dict[str, Any]:
    """Return a block ready for JSON."""
    return block.model_dump(mode="json")


def learners(variations: Iterable[Variation], categories: Sequence[str]) -> dict[str, tuple[Config, str]]:
    """Return by the name of a teacher a configuration and the member of it that learns from this teacher."""
    return {
        teacher: (variation.resolved(category), member)
        for variation in variations
        for category in categories
        for member in variation.members(category)
        if (teacher := variation.teacher(category, member))
    }


def with_member_presets(raw: Mapping[str, Any], folders: Sequence[Path]) -> tuple[dict[str, Any], dict[str, str]]:
    """Give members that have no block under ``detectors`` the block of their preset, with the grid that it names.

    A block of which nothing but the type is given counts as none. Members are those of the run and of every override.
    What the preset says of this block and grid for single categories comes with it; nothing else does. A grid gets a
    name of its own where the configuration has another one of that name. A member without such a preset is left as it
    is.

    Parameters
    ----------
    raw : mapping
        The configuration, not yet validated.
    folders : sequence of Path
        Where preset files are looked for, the first one first.

    Returns
    -------
    tuple
        The configuration, and the preset file of each member whose block came from one.

    Raises
    ------
    ConfigError
        If a preset cannot be read.
    """
    found: dict[str, Any] = dict(raw)
    files: dict[str, str] = {}
    places = (raw, *mapping_at(raw, "overrides").values())
    listed = [mapping_at(place, "fuse").get("members") for place in places]
    for name in [name for members in listed if isinstance(members, list | tuple) for name in members]:
        if not isinstance(name, str):
            continue
        block = mapping_at(found, "detectors").get(name, {"type": name})
        kind = detector_type(name, block)
        if block != {"type": kind} or kind not in DETECTORS:
            continue
        file = f"presets/{DETECTORS[kind].preset or kind}.yaml"
        there = any((folder / file).is_file() for folder in folders)
        preset = _preset_settings(_found_preset(file, folders)) if there else {}
        if kind in mapping_at(preset, "detectors"):
            found = deep_merge(_of_detector(preset, kind, name, mapping_at(found, "grids")), found)
            files[name] = file
    return found, files


def _of_detector(preset: Mapping[str, Any], kind: str, name: str, grids: Mapping[str, Any]) -> dict[str, Any]:
    """Return for the block ``name`` what a preset says of a detector and its grid, also for single categories."""
    grid = str(mapping_at(preset, "detectors", kind).get("grid", "tile"))
    own = mapping_at(preset, "grids").get(grid)
    kept = grid if own is None or grids.get(grid, own) == own else f"{kind}_{grid}"

    def part(settings: Any) -> dict[str, Any]:
        sections = {"detectors": (kind, name), "grids": (grid, kept)}
        return {
            section: {new: mapping_at(settings, section)[old]}
            for section, (old, new) in sections.items()
            if old in mapping_at(settings, section)
        }

    overrides = {key: own for key, block in mapping_at(preset, "overrides").items() if (own := part(block))}
    return deep_merge(part(preset), {"detectors": {name: {"grid": kept}}, "overrides": overrides})


def read_variations(run: Variation, folders: Sequence[Path], categories: Sequence[str]) -> dict[str, list[Variation]]:
    """Return the variations that the sections ``ablate`` and ``compare`` of a run ask for.

    Parameters
    ----------
    run : Variation
        The run itself.
    folders : sequence of Path
        Where preset files are looked for, the first one first.
    categories : sequence of str
        Names that an override may have.

    Returns
    -------
    dict of str to list of Variation
        By section, in the order in which they are written down.

    Raises
    ------
    ConfigError
        Listing every problem with the name of its variation.
    """
    asked = {"ablate": run.config.ablate, "compare": run.config.compare.presets}
    problems = list(_repeated_names(run))
    found: dict[str, list[Variation]] = {section: [] for section in asked}
    for section, overlays in asked.items():
        where = "compare.presets" if section == "compare" else section
        for name, overlay in overlays.items():
            try:
                if overlay is not None:
                    at = (*where.split("."), name)
                    found[section].append(_laid_over(run, at, overlay, folders, categories))
            except ConfigError as error:
                problems.append(f"{where}.{name}: {error}")
    if problems:
        raise ConfigError("the variations have problems:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return found


def _repeated_names(run: Variation) -> Iterator[str]:
    ablate, compare = run.config.ablate, run.config.compare
    asked = [("ablate", name) for name, overlay in ablate.items() if overlay is not None]
    asked += [("compare.presets", name) for name, overlay in compare.presets.items() if overlay is not None]
    asked += [("compare.runs", name) for name in compare.runs]
    taken = {run.name: "the run itself"}
    for section, name in asked:
        if name in taken:
            yield f"{section}.{name}: the name is that of {taken[name]}"
        taken[name] = section


def _laid_over(
    run: Variation, at: Keys, overlay: Overlay, folders: Sequence[Path], categories: Sequence[str]
) -> Variation:
    parts = [overlay] if isinstance(overlay, dict) else overlay
    raw = {key: value for key, value in run.raw.items() if key not in ("ablate", "compare")}
    sources = run.sources
    for position, part in enumerate(parts):
        if isinstance(part, dict):
            sources += run.sources.below(*at) if part is overlay else run.sources.below(*at, position)
            raw = laid_over(raw, _own_settings(part))
        else:
            file = _found_preset(part, folders)
            sources += Sources(((file, ()),))
            raw = laid_over(raw, _preset_settings(file))
    raw, _ = with_member_presets(raw, folders)
    variation = run.varied(str(at[-1]), raw, _as_text(parts), sources)
    check_overrides(raw, categories, sources)
    return variation


def _own_settings(overlay: Mapping[str, Any]) -> Mapping[str, Any]:
    refused = [key for key in overlay if key in OF_THE_RUN]
    if refused:
        raise ConfigError(f"a variation cannot set {', '.join(refused)}: the run and its variations have it in common")
    return overlay


def _found_preset(file: str, folders: Sequence[Path]) -> SettingsFile:
    try:
        paths = [folder / expanded(file) for folder in folders]
    except ValueError as error:
        raise ConfigError(f"preset {error}") from error
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        places = dict.fromkeys(str(path.absolute().parent) for path in paths)
        raise ConfigError(f"no preset {file}; looked for in {' and '.join(places)}")
    return read_settings_file(path)


def _preset_settings(file: SettingsFile) -> dict[str, Any]:
    """Return the settings of a preset file, without those that a run and its variations have in common."""
    settings = file.settings()
    require_bounded(settings, file.name)
    return {key: value for key, value in settings.items() if key not in OF_THE_RUN}


def _as_text(parts: Sequence[str | dict[str, Any]]) -> str:
    """Return what is laid over a run as YAML: names of presets, then settings."""
    files = [part for part in parts if isinstance(part, str)]
    text: dict[str, Any] = {"presets": files} if files else {}
    for part in parts:
        text = text if isinstance(part, str) else deep_merge(text, part)
    return yaml.safe_dump(text, sort_keys=False, default_flow_style=None, width=1000).strip() if text else ""
