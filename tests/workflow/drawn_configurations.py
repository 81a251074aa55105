"""Configurations as a tired user, a script or an enemy would write them: drawn from the settings models themselves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tests.fuzz.targets.settings import HOSTILE

from seamark.backbones.table import BACKBONES
from seamark.flow import EVERY, STAGES
from seamark.planning.plan import Plan
from seamark.registry import DETECTORS
from seamark.settings.base import SPLITS
from seamark.settings.config import Config, deep_merge, detector_settings_class

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
PRESETS = sorted(f"presets/{path.name}" for path in (ROOT / "presets").glob("*.yaml"))
DEMO = {"data": {"root": "data/demo", "truth_root": "data/demo_truth", "demo": True, "categories": "all"}}
OWN = {"data": {"root": "own/{photographs}", "truth_root": "own/{truth}", "demo": False, "categories": "all"}}
CATEGORIES = ("woven", "washers")

Place = tuple[str, ...]


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Settings blocks that an annotation may hold."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind


def fields(model: type[BaseModel], place: Place = ()) -> Iterator[tuple[Place, FieldInfo]]:
    """Every setting with its place; blocks count as settings too."""
    for name, field in model.model_fields.items():
        here = (*place, "tile") if name == "grids" else place
        yield (*place, name), field
        for inner in models(field.annotation):
            yield from fields(inner, (*place, name, *here[len(place) :]))


SETTINGS = dict(fields(Config))
for detector in DETECTORS:
    SETTINGS |= dict(fields(detector_settings_class(detector), ("detectors", detector)))

SECTIONS: dict[Place, list[Place]] = {}
for setting in SETTINGS:
    SECTIONS.setdefault(setting[: 2 if setting[0] == "detectors" else 1], []).append(setting)

NAMES = [*BACKBONES, *DETECTORS, *SPLITS, "tile", "other", "random", "download", "pretrained", "distilled", *CATEGORIES]
PATHS = [
    "",
    " ",
    "~",
    "~nobody/x",
    "$HOME/{x}",
    "{x}",
    "{a/{b}",
    "}{",
    "{category}",
    "{}",
    "x" * 300,
    "a/" * 3000,
    "a\0b",
    "a\nb",
]
PATHS += [
    "own/{photographs}",
    "own/file",
    "/proc/self/mem",
    "/dev/zero",
    "../../x",
    "'",
    '"',
    "ü☃",
    "a b",
    "\udcff",
    "C:\\x",
]
PATHS += PRESETS
NUMBERS = [
    0,
    -1,
    1,
    2,
    3,
    5,
    7,
    13,
    14,
    37,
    64,
    100,
    518,
    519,
    999,
    4096,
    10**6,
    2**31,
    2**53,
    2**63,
    2**64,
    10**30,
    10**400,
]
NUMBERS += [
    0.0,
    -0.0,
    1.0,
    0.5,
    1e-9,
    1e-300,
    5e-324,
    1e308,
    -1e308,
    0.9999999999,
    1.0000001,
    float("nan"),
    float("inf"),
]
KINDS = [None, True, False, [], {}, [[]], [None], {"x": 1}, {1: 2}, {None: None}, b"x", (1, 2), {"a": {"b": {"c": 1}}}]

scalars = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(NAMES), st.sampled_from(PATHS), st.sampled_from(KINDS))
values = st.one_of(
    scalars,
    st.sampled_from(HOSTILE),
    st.integers(-5, 2000),
    st.floats(-2, 2),
    st.lists(st.integers(-2, 40), max_size=5),
    st.lists(st.one_of(st.integers(0, 600), st.floats(-1, 2)), min_size=2, max_size=2),
    st.lists(st.lists(st.integers(-1, 12), max_size=3), max_size=4),
    st.lists(scalars, max_size=3),
    st.text(max_size=8),
    st.dictionaries(st.one_of(st.sampled_from([*NAMES, *PATHS]), st.text(max_size=5)), scalars, max_size=2),
)


TYPED: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.one_of(st.integers(-2, 40), st.integers(0, 20).map(lambda power: 2**power), st.sampled_from(NUMBERS)),
    float: st.one_of(st.floats(0, 1), st.floats(-2, 200), st.sampled_from(NUMBERS)),
    str: st.one_of(st.sampled_from(NAMES), st.sampled_from(PATHS), st.text(max_size=8)),
    Path: st.sampled_from(PATHS),
    NoneType: st.none(),
}


def within(kind: type, metadata: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Numbers that a setting allows, and its bounds, which it may not."""
    bounds = {
        name: getattr(limit, name) for limit in metadata for name in ("ge", "gt", "le", "lt") if hasattr(limit, name)
    }
    low = bounds.get("ge", bounds.get("gt", 0))
    high = bounds.get("le", bounds.get("lt", max(low, 1000)))
    return st.integers(low, high) if kind is int else st.floats(low, high)


def typed(kind: Any, metadata: Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    """Values of the kind that a setting has, many of them just beyond what it allows."""
    if get_origin(kind) is Annotated:
        return typed(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return st.one_of([typed(choice, metadata) for choice in get_args(kind)])
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if inner[-1] is Ellipsis:
            return st.lists(typed(inner[0]), max_size=4)
        return st.tuples(*map(typed, inner)).map(list)
    if kind in (int, float):
        return st.one_of(TYPED[kind], within(kind, metadata), within(kind, metadata))
    return TYPED.get(kind, values)


def nested(place: Place, value: Any) -> dict[str, Any]:
    """A configuration of one setting."""
    for key in reversed(place):
        value = {key: value}
    return value


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], list[Place]]:
    """One to three settings with odd values, which of them, sometimes under a key that does not exist."""
    overlay: dict[str, Any] = {}
    changed = []
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        section = draw(st.sampled_from(list(SECTIONS)))
        place = draw(st.sampled_from(SECTIONS[section]))
        field = SETTINGS[place]
        value = draw(st.one_of([typed(field.annotation, field.metadata)] * 4 + [values]))
        if draw(st.integers(0, 39)) == 0:
            place = (*place[:-1], draw(st.sampled_from(["", "x", place[-1] + "s", "{x}", "grid", "enabled", *PATHS])))
        changed.append(place)
        overlay = deep_merge(overlay, nested(place, value))
    return overlay, changed


@st.composite
def configurations(draw: st.DrawFn) -> tuple[dict[str, Any], list[Place]]:
    """A preset over the default, on the demo or on photographs of one's own, with odd values somewhere."""
    raw = deep_merge(DEFAULT, draw(st.sampled_from((DEMO, OWN))))
    if draw(st.booleans()):
        preset = yaml.safe_load((ROOT / draw(st.sampled_from(PRESETS))).read_text())
        raw = deep_merge(raw, {key: block for key, block in preset.items() if key not in ("data", "compare")})
    overlay, changed = draw(changes())
    where = draw(st.sampled_from(("", "", "", "", "overrides", "ablate", "presets")))
    members = [place[1] for place in changed if place[:1] == ("detectors",) and place[1:2] and place[1] in DETECTORS]
    if members and draw(st.integers(0, 4)):
        overlay = deep_merge({"fuse": {"members": members[:1], "weights": {}}}, overlay)
        for member in members:
            raw = deep_merge(raw, {"detectors": {member: {}}})
    if where == "overrides":
        key = draw(
            st.sampled_from(
                ("woven", "woven", "woven", "woven/validation", "*/test_public", "*", "nut", "woven/train", "{x}", "")
            )
        )
        overlay = {"overrides": {key: overlay}}
    if where == "ablate":
        overlay = {"ablate": {draw(st.sampled_from(("a", "a", "a", "{x}", "", "a/b", "x" * 101))): overlay}}
    if where == "presets":
        parts = draw(st.sampled_from(([overlay], [PRESETS[0], overlay], [overlay, {}], [overlay, "presets/none.yaml"])))
        overlay = {"compare": {"presets": {"p": parts}}}
    return deep_merge(raw, overlay), changed


def planned(raw: dict[str, Any], project: Path = ROOT) -> None:
    """Plan a run and ask for all that Snakemake asks for: targets, and of each job inputs, settings, code and memory."""
    plan = Plan(raw, project)
    assert plan.wildcards
    plan.archive()
    plan.report_files()
    plan.resolved_config()
    plan.comparison_settings()
    plan.challenges()
    plan.expected()
    plan.forecast.measuring()
    for target in ("compare", "ablate"):
        plan.behind_rows(target)
    for variation in plan.variations:
        for job in plan.jobs.behind(variation.place, ["report"]):
            wildcards = SimpleNamespace(place=variation.place, **job._asdict())
            stage = STAGES[job.stage]
            plan.forecast.memory(job.stage)(wildcards)
            plan.threads(job.stage, 1)(wildcards)
            plan.code(job.stage)(wildcards)
            for name in stage.settings:
                plan.settings(name)(wildcards)
            for source in stage.sources:
                plan.made(source.stage, split=source.split)(wildcards)
    plan.made("index", split=EVERY)(None)
