"""The configuration: one schema, every problem reported at once, overrides resolved per category and split."""

import reprlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from seamark.errors import ConfigError
from seamark.registry import DETECTORS
from seamark.settings.base import SPLITS, UNUSABLE, Name, Settings
from seamark.settings.binarize import NORMAL_SPLITS, BinarizeSettings
from seamark.settings.calibrate import CalibrateSettings
from seamark.settings.comparison import CompareSettings, Variations
from seamark.settings.crossfit import CROSSFIT_TRAIN, CrossfitSettings
from seamark.settings.data import DataSettings
from seamark.settings.demo import DemoSettings
from seamark.settings.detectors import TypeSetting, detector_settings, detector_type, detectors_schema
from seamark.settings.evaluate import EvaluateSettings
from seamark.settings.fuse import FuseSettings
from seamark.settings.grid import GridSettings
from seamark.settings.light_variants import VALIDATION_VARIANTS, LightVariantsSettings
from seamark.settings.merge import MergeSettings
from seamark.settings.package import PackageSettings
from seamark.settings.preview import PreviewSettings
from seamark.settings.problems import Translation, nearest
from seamark.settings.ranking import RankingSettings
from seamark.settings.refine import RefineSettings
from seamark.settings.report import ReportSettings
from seamark.settings.verdict import VerdictSettings
from seamark.settings.written import UNKNOWN, Sources, mapping_at

CATEGORY_SECTIONS = (
    "light_variants",
    "grids",
    "detectors",
    "crossfit",
    "merge",
    "fuse",
    "calibrate",
    "binarize",
    "refine",
    "verdict",
    "preview",
)
"""Sections that an override of a category may change."""
SPLIT_SECTIONS = ("binarize", "refine", "verdict")
"""Sections that an override of a split may change; earlier ones keep one score scale for all splits."""

MOST_BYTES, MOST_NAME_BYTES = 4095, 255
"""Longest path that Linux takes, and longest name in it."""
MOST_LEVELS = 40
MOST_ENTRIES = 200_000

Raw = dict[str, Any]


class Config(Settings):
    """The whole configuration; sections stand in the order of the stages."""

    run: Name = Field("demo", description="name of the output folder out/<run>")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="seed from which the seed of every job is derived")
    reproducible: Literal["this_cpu", "any_cpu"] = Field(
        "this_cpu",
        description="where the same seed gives the same bytes without a GPU: this_cpu: on processors of the same kind; "
        "any_cpu: on every x86-64 one with AVX2, in more time. Changed, it makes everything anew",
    )
    data: DataSettings = Field(default_factory=DataSettings, description="where the images are")
    demo: DemoSettings = Field(
        default_factory=DemoSettings, description="the generated data set, drawn when data.demo is true"
    )
    light_variants: LightVariantsSettings = Field(
        default_factory=LightVariantsSettings, description="photometric variants of train and validation photographs"
    )
    grids: dict[Name, GridSettings] = Field(
        default_factory=lambda: {"tile": GridSettings()}, description="named tilings"
    )
    keep_tiles: bool = Field(True, description="false deletes stored tiles as soon as no job needs them any more")
    detectors: dict[Name, dict[str, Any]] = Field(
        default={"inp_former": {}},
        description="blocks, each under a detector's name, or under any name with the detector as type; only the "
        "members of fuse are trained",
    )
    crossfit: CrossfitSettings = Field(
        default_factory=CrossfitSettings, description="training photographs as normal images that thresholds come from"
    )
    merge: MergeSettings = Field(default_factory=MergeSettings)
    fuse: FuseSettings = Field(default_factory=FuseSettings)
    calibrate: CalibrateSettings = Field(default_factory=CalibrateSettings)
    binarize: BinarizeSettings = Field(default_factory=BinarizeSettings)
    refine: RefineSettings = Field(default_factory=RefineSettings)
    verdict: VerdictSettings = Field(default_factory=VerdictSettings)
    preview: PreviewSettings = Field(default_factory=PreviewSettings)
    ranking: RankingSettings = Field(default_factory=RankingSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    package: PackageSettings = Field(default_factory=PackageSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)
    compare: CompareSettings = Field(
        default_factory=CompareSettings, description="what the target compare puts beside the run"
    )
    ablate: Variations = Field(
        default_factory=dict,
        description="variations of the target ablate by name: settings, or a list of preset files and settings, laid "
        "over the run; null drops one",
    )
    overrides: dict[str, dict[str, Any] | None] = Field(
        default_factory=dict,
        description='settings per "category", "category/split" or "*/split", laid over the sections; null drops one',
    )

    @cached_property
    def detector_types(self) -> dict[str, str]:
        """Detector of every block of the section by the block's name."""
        return {name: detector_type(name, block) for name, block in self.detectors.items()}

    @cached_property
    def detector_blocks(self) -> dict[str, Settings]:
        """Validated settings of every block of the section, without its type."""
        return {name: detector_settings(name, block) for name, block in self.detectors.items()}

    def normal_images(self, train: int, validation: int) -> int:
        """Return how many normal images, variants among them, come of so many photographs for train and validation."""
        used = train if self.data.train_images is None else min(self.data.train_images, train)
        counts = {"validation": validation, CROSSFIT_TRAIN: self.crossfit.scored(used)}
        counts[VALIDATION_VARIANTS] = validation * self.light_variants.validation_variants
        return sum(counts[split] for split in NORMAL_SPLITS[self.binarize.normal])

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        problems = [
            f"fuse.members: {name} has no block under detectors"
            + nearest(name, self.detectors if name in DETECTORS else {**DETECTORS, **self.detectors})
            for name in self.fuse.members
            if name not in self.detectors
        ]
        problems += [
            f"detectors.{name}.grid: no grid named {asked}{nearest(asked, self.grids)}"
            for name, block in self.detectors.items()
            if self.detector_types[name] in DETECTORS
            and (asked := _grid_of(block)) is not None
            and asked not in self.grids
        ]
        problems += [
            f"fuse.weights.{name}: not a member{nearest(name, self.fuse.members)}"
            for name in self.fuse.weights
            if name not in self.fuse.members
        ]
        problems += [
            f"detectors.{name}: {refusal}"
            for name in self.fuse.members
            if (grid := self.grids.get(_grid_of(self.detectors.get(name, {})) or ""))
            and (refusal := self.merge.refusal(grid))
        ]
        if self.merge.alpha is not None and not _weighs(self.fuse.members, self.detectors):
            problems.append("merge.alpha: weighs the maps of efficientad, which is not among fuse.members")
        problems += self.binarize.refusals(self.light_variants, self.crossfit, self.merge, self.fuse)
        if refusal := self.refine.refusal(self.merge, self.binarize):
            problems.append(refusal)
        if problems:
            raise ValueError("\n".join(problems))
        return self


@cache
def configuration_schema() -> Raw:
    """Return the JSON schema of the configuration, with the block of every detector."""
    schema = Config.model_json_schema()
    section, definitions = detectors_schema(schema["properties"]["detectors"]["description"])
    schema["properties"]["detectors"] = section
    schema["$defs"] |= definitions
    return schema


def load_config(raw: Mapping[str, Any], sources: Sources = UNKNOWN) -> Config:
    """Validate a configuration as read from YAML; missing keys take their defaults, overrides are not yet applied.

    Errors quote the files of ``sources``, from which the configuration comes.

    Raises
    ------
    ConfigError
        Listing every problem with its path; an unknown key comes with the nearest valid one.
    """
    require_bounded(raw, "the configuration")
    problems = _problems(dict(raw), sources)
    if problems:
        raise ConfigError("the configuration has problems:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return Config.model_validate(raw)


def resolve(raw: Mapping[str, Any], category: str, split: str | None = None) -> Config:
    """Return the configuration of a category and split (None for the stages that serve all splits), overrides applied.

    The overrides ``category``, then ``*/split``, then ``category/split`` are merged onto the sections. Raises
    ConfigError if overrides that are valid alone are not so together.
    """
    overrides: Mapping[str, Raw] = raw.get("overrides") or {}
    keys = [category] if split is None else [category, f"*/{split}", f"{category}/{split}"]
    merged: Raw = {key: value for key, value in raw.items() if key != "overrides"}
    for key in keys:
        merged = laid_over(merged, overrides.get(key) or {})
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        lines = "\n".join(f"  - {line}" for line in _translation(merged, UNKNOWN).lines(error))
        raise ConfigError(f"the overrides {' and '.join(keys)} do not go together:\n{lines}") from error


def require_bounded(value: Any, what: str) -> None:
    """Refuse settings that are deeper or, with every alias written out, larger than settings can be.

    In YAML an alias can stand for a part of any size or for the whole. Raises ConfigError for ``what`` nests more than
    40 levels or has more than 200 000 entries, a number that no computer counts to, or a text that can be no path.
    """
    waiting: list[tuple[Any, tuple[str, ...]]] = [(value, ())]
    entries = 0
    while waiting:
        part, place = waiting.pop()
        if refusal := _odd(part):
            raise ConfigError(f"{what}: {'.'.join(place) or 'unknown key'}: {refusal}")
        if isinstance(part, Mapping):
            inner = [(entry, (*place, str(key))) for key, entry in part.items()] + [(key, place) for key in part]
        elif isinstance(part, list | tuple):
            inner = [(entry, (*place, str(number))) for number, entry in enumerate(part)]
        else:
            continue
        entries += len(inner)
        if len(place) == MOST_LEVELS or entries > MOST_ENTRIES:
            raise ConfigError(
                f"{what}: more than {MOST_LEVELS} levels or {MOST_ENTRIES} entries; does an alias (*name) of the YAML "
                "file stand within itself, or for too much? Write the settings out"
            )
        waiting += inner


def _odd(part: Any) -> str | None:
    """Say why a number or a text can be no setting, None if it can."""
    if isinstance(part, int) and abs(part) >= 1 << 63:
        return f"a number of {part.bit_length()} bits; expected one below 2^63"
    if not isinstance(part, str):
        return None
    if any(unicodedata.category(character) in UNUSABLE for character in part):
        return f"{reprlib.repr(part)}: expected no line breaks, control codes and broken UTF-8"
    if len(part) > MOST_BYTES or max(len(name.encode()) for name in part.split("/")) > MOST_NAME_BYTES:
        return f"{reprlib.repr(part)}: expected at most {MOST_BYTES} bytes, {MOST_NAME_BYTES} between slashes"
    return None


def deep_merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Raw:
    """Return ``base`` with ``overlay`` laid over it: mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        below = merged.get(key)
        merged[key] = deep_merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def laid_over(raw: Mapping[str, Any], block: Mapping[str, Any]) -> Raw:
    """Return a configuration with an override or a variation laid over it.

    Where ``block`` names members, weights of others than these, and ``merge.alpha`` without EfficientAD, do not hold
    any more, unless ``block`` sets them itself.
    """
    merged, members = deep_merge(raw, block), mapping_at(block, "fuse").get("members")
    if not isinstance(members, list | tuple):
        return merged
    weights = mapping_at(merged, "fuse", "weights")
    kept = (*members, *mapping_at(block, "fuse", "weights"))
    if any(name not in kept for name in weights):
        merged["fuse"] = {**merged["fuse"], "weights": {name: weights[name] for name in weights if name in kept}}
    if not _weighs(members, mapping_at(merged, "detectors")) and mapping_at(merged, "merge").get("alpha") is not None:
        merged["merge"] = {**merged["merge"], "alpha": mapping_at(block, "merge").get("alpha")}
    return merged


def check_overrides(raw: Mapping[str, Any], categories: Sequence[str], sources: Sources = UNKNOWN) -> None:
    """Check that overrides name known categories and splits, sections that may be overridden, and valid settings.

    ``categories`` are those of the data root, and well-known ones that it may lack, so that a preset for a well-known
    data set serves a part of it, or another data set. ``sources`` are the files of the configuration. Raises
    ConfigError, listing every problem.
    """
    splits = [name for name in SPLITS if name != "train"]
    problems: list[str] = []
    given = {key: block for key, block in (raw.get("overrides") or {}).items() if block is not None}
    for key, block in given.items():
        category, slash, split = key.partition("/")
        if category != "*" and category not in categories:
            problems.append(
                f"overrides.{key}: no category named {category}{nearest(category, categories)} (null drops it)"
            )
        if slash and split not in splits:
            problems.append(f"overrides.{key}: no split named {split}{nearest(split, splits)}")
        if category == "*" and not slash:
            problems.append(f"overrides.{key}: settings for all categories belong into the sections themselves")
        allowed = SPLIT_SECTIONS if slash else CATEGORY_SECTIONS
        problems += [
            f"overrides.{key}.{section}: cannot be overridden here; possible: {', '.join(allowed)}"
            for section in block
            if section not in allowed and section in Config.model_fields
        ]
        merged = laid_over({name: value for name, value in raw.items() if name != "overrides"}, block)
        found = _problems(merged, sources + sources.below("overrides", key))
        problems += [f"overrides.{key}.{problem}" for problem in found]
    if problems:
        raise ConfigError("the overrides have problems:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _grid_of(block: Mapping[str, Any]) -> str | None:
    """Name of a detector's grid, None where it is no name, which its own settings refuse."""
    grid = block.get("grid", "tile")
    return grid if isinstance(grid, str) else None


def _weighs(members: Iterable[Any], blocks: Mapping[str, Any]) -> bool:
    """Whether a member is an EfficientAD, of whose two maps ``merge.alpha`` weighs the one."""
    names = [name for name in members if isinstance(name, str)]
    return any(detector_type(name, blocks.get(name)) == "efficientad" for name in names)


def _translation(raw: Raw, sources: Sources) -> Translation:
    """Return the translation by a schema in which every block has the settings of its detector."""
    schema = configuration_schema()
    section, blocks = schema["properties"]["detectors"], mapping_at(raw, "detectors")
    types = {name: detector_type(name, block) for name, block in blocks.items() if isinstance(name, str)}
    named = {name: section["properties"][kind] for name, kind in types.items() if kind in DETECTORS}
    section = {**section, "properties": section["properties"] | named}
    return Translation({**schema, "properties": {**schema["properties"], "detectors": section}}, raw, sources)


def _problems(raw: Raw, sources: Sources) -> list[str]:
    problems: list[str] = []
    try:
        Config.model_validate(raw)
    except ValidationError as error:
        problems += _translation(raw, sources).lines(error)
    for name, block in mapping_at(raw, "detectors").items():
        if isinstance(name, str):
            problems += _problems_of_block(name, block, raw, sources)
    return list(dict.fromkeys(problems))


def _problems_of_block(name: str, block: Any, raw: Raw, sources: Sources) -> list[str]:
    at = ("detectors", name)
    try:
        if "type" in mapping_at(block):
            TypeSetting.model_validate({"type": block["type"]}, context=name)
        elif name not in DETECTORS:
            own = " (a name of its own needs a type)" if isinstance(block, Mapping) else ""
            return [f"detectors.{name}: no such detector{_translation(raw, sources).advice(at)}{own}"]
        detector_settings(name, block)
    except ValidationError as error:
        return _translation(raw, sources).lines(error, at)
    return []
