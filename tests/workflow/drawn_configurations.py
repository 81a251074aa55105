"""Configurations as a tired user, a script or an enemy writes them: drawn from the settings models themselves."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tests.fuzz.targets.settings import HOSTILE

from seamark.backbones.table import BACKBONES
from seamark.flow import STAGES
from seamark.planning.plan import Plan
from seamark.registry import DETECTORS
from seamark.settings.base import SPLITS
from seamark.settings.config import Config, deep_merge
from seamark.settings.detectors import detector_settings_class

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
PRESETS = sorted(f"presets/{path.name}" for path in (ROOT / "presets").glob("*.yaml"))
DATA = (
    {"root": "data/demo", "truth_root": "data/demo_truth", "demo": True},
    {"root": "own/{photographs}", "truth_root": "own/{truth}", "demo": False},
)
CATEGORIES = ("woven", "washers")
KEYS = ("woven", "woven", "woven/validation", "*/test_public", "*", "nut", "woven/train", "{x}", "")

Place = tuple[str, ...]


def fields(model: type[BaseModel], place: Place) -> Iterator[tuple[Place, FieldInfo]]:
    """Every setting of a block with its place; inner blocks count as settings too."""
    for name, field in model.model_fields.items():
        yield (*place, name), field
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from fields(kind, (*place, name, "tile") if name == "grids" else (*place, name))


SETTINGS = dict(fields(Config, ()))
BLOCKS = {detector: detector for detector in DETECTORS} | {"own": "feature_bank"}
"""Detectors by the names of their blocks."""
for block, detector in BLOCKS.items():
    SETTINGS |= dict(fields(detector_settings_class(detector), ("detectors", block)))
    SETTINGS["detectors", block, "type"] = FieldInfo(annotation=str)
SECTIONS: dict[Place, list[Place]] = {}
for setting in SETTINGS:
    SECTIONS.setdefault(setting[: 2 if setting[0] == "detectors" else 1], []).append(setting)

WORDS = [*BACKBONES, *BLOCKS, *SPLITS, *CATEGORIES, *PRESETS, "tile", "other"]
WORDS += ["random", "download", "pretrained", "distilled", "~", "~nobody/x", "$HOME/{x}", "{x}", "{a/{b}", "}{", "{}"]
WORDS += ["own/{photographs}", "own/file", "/proc/self/mem", "/dev/zero", "../../x", "'", '"', "ü☃", "C:\\x"]
WORDS += ["", " ", "{category}", "a b", "a\0b", "a\nb", "\udcff", "x" * 300, "a/" * 3000]
WHOLE = [0, -1, 1, 2, 3, 7, 13, 14, 37, 64, 518, 519, 4096, 10**6, 2**31, 2**53, 2**63, 10**30, 10**400]
REAL = [0.0, -0.0, 1.0, 1e-9, 5e-324, 1e308, -1e308, 0.9999999999, 1.0000001, float("nan"), float("inf")]

texts = st.sampled_from(WORDS) | st.text(max_size=8)
numbers = st.sampled_from([*WHOLE, *REAL])
scalars = texts | numbers | st.sampled_from(HOSTILE)
values = (
    scalars
    | st.lists(scalars, max_size=3)
    | st.lists(st.integers(-2, 40) | st.floats(-1, 2), min_size=2, max_size=2)
    | st.lists(st.lists(st.integers(-1, 12), max_size=3), max_size=4)
    | st.dictionaries(texts, scalars, max_size=2)
)
OF_KIND: dict[Any, st.SearchStrategy[Any]] = {bool: st.booleans(), str: texts, Path: texts, NoneType: st.none()}


def typed(kind: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Values of the kind that a setting has, many of them within its bounds or just beyond."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return typed(inner[0], list(inner[1:]))
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, UnionType):
        return st.one_of([typed(choice, metadata) for choice in inner])
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return st.lists(typed(inner[0], []), max_size=4)
        return st.tuples(*(typed(part, []) for part in inner)).map(list)
    if kind in (int, float):
        bounds = {
            name: getattr(limit, name)
            for limit in metadata
            for name in ("ge", "gt", "le", "lt")
            if hasattr(limit, name)
        }
        low = bounds.get("ge", bounds.get("gt", 0))
        high = bounds.get("le", bounds.get("lt", max(low, 1000)))
        within = st.integers(low, high) if kind is int else st.floats(low, high)
        return st.one_of([within] * 4 + [numbers, st.sampled_from([low - 1, high + 1])])
    return OF_KIND.get(kind, values)


def nested(place: Place, value: Any) -> dict[str, Any]:
    """A configuration of one setting."""
    for key in reversed(place):
        value = {key: value}
    return value


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], list[Place]]:
    """One to three settings with odd values and their places, now and then under a key that does not exist."""
    overlay: dict[str, Any] = {}
    places = []
    for _ in range(draw(st.sampled_from((1, 1, 1, 1, 2, 3)))):
        place = draw(st.sampled_from(SECTIONS[draw(st.sampled_from(list(SECTIONS)))]))
        field = SETTINGS[place]
        value = draw(st.one_of([typed(field.annotation, field.metadata)] * 6 + [values]))
        if not draw(st.integers(0, 39)):
            place = (*place[:-1], draw(texts))
        places.append(place)
        overlay = deep_merge(overlay, nested(place, value))
    return overlay, places


@st.composite
def configurations(draw: st.DrawFn) -> tuple[dict[str, Any], list[Place]]:
    """A preset over the default, on the demo or on photographs of one's own, with odd values somewhere, and where."""
    raw = deep_merge(DEFAULT, {"data": draw(st.sampled_from(DATA)), "detectors": {"own": {"type": BLOCKS["own"]}}})
    if draw(st.booleans()):
        preset = yaml.safe_load((ROOT / draw(st.sampled_from(PRESETS))).read_text())
        raw = deep_merge(raw, {key: block for key, block in preset.items() if key not in ("data", "compare")})
    overlay, places = draw(changes())
    members = [place[1] for place in places if place[0] == "detectors" and place[1:2] and place[1] in BLOCKS]
    for member in members[: draw(st.integers(0, 4))]:
        overlay = deep_merge({"fuse": {"members": [member], "weights": {}}}, overlay)
        raw = deep_merge(raw, {"detectors": {member: {}}})
    where = draw(st.sampled_from(("", "", "", "", "overrides", "ablate", "presets")))
    if where == "overrides":
        overlay = {"overrides": {draw(st.sampled_from(KEYS)): overlay}}
    if where == "ablate":
        overlay = {"ablate": {draw(st.sampled_from(("a", "a", "a", "{x}", "", "a/b", "x" * 101))): overlay}}
    if where == "presets":
        parts = draw(st.sampled_from(([overlay], [PRESETS[0], overlay], [overlay, {}], [overlay, "presets/none.yaml"])))
        overlay = {"compare": {"presets": {"p": parts}}}
    return deep_merge(raw, overlay), places


def planned(raw: dict[str, Any]) -> None:
    """Ask a plan for all that Snakemake asks it for: targets, and of every job inputs, settings, code and memory."""
    plan = Plan(raw, ROOT)
    assert plan.wildcards
    plan.resolved_config()
    plan.comparison_settings()
    plan.challenges()
    plan.expected()
    plan.forecast.measuring()
    if plan.jobs.private_splits:
        plan.archive()
    for variation in plan.variations:
        for job in plan.jobs.behind(variation.place, ["report"]):
            wildcards = SimpleNamespace(place=variation.place, **job._asdict())
            plan.forecast.memory(job.stage)(wildcards)
            plan.threads(job.stage, 1)(wildcards)
            plan.code(job.stage)(wildcards)
            for name in STAGES[job.stage].settings:
                plan.settings(name)(wildcards)
            for source in STAGES[job.stage].sources:
                plan.made(source.stage, split=source.split)(wildcards)
