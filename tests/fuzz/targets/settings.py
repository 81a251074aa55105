"""The configuration, presets and variations."""

import datetime
import random
from copy import deepcopy
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import yaml
from tests.fuzz.targets.base import Target

from seamark.planning.plan import Plan
from seamark.settings.config import deep_merge

ROOT = Path(__file__).parents[3]
DEMO = {"data": {"demo": True, "root": "data/demo", "truth_root": "data/demo_truth"}}
VARIED = {"ablate": {"a": {"merge": {"scale": 0.5}}, "b": ["presets/small_backbone.yaml"]}}
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n" for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def configurations() -> list[bytes]:
    """The default configuration, presets, and hostile YAML."""
    files = [ROOT / "config.yaml", *sorted((ROOT / "presets").glob("*.yaml"))]
    odd = [BOMB, "a: &a [*a]", "detectors: &a {inp_former: *a}", "[" * 500, "run: ../../x", "grids: {../../x: {}}"]
    odd += ["overrides: []", "detectors: [1]", "detectors: {5: {}}", "seed: .nan", "merge: {scale: .inf}", "- a"]
    odd += [
        "detectors: {inp_former: {grid: [1]}}",
        "data: {categories: []}",
        "? [a]\n: b",
        "run: !!python/object:os {}",
    ]
    return [file.read_bytes() for file in files] + [text.encode() for text in odd]


def planned(raw: Any) -> None:
    """Plan a run as Snakemake does; nothing that it names may lie elsewhere than below out and submissions."""
    plan = Plan(raw, ROOT)
    files = [*plan.archive(), *plan.report_files(), *plan.made("train")(None), plan.out]
    for name in files:
        parts = PurePosixPath(name).parts
        assert parts[0] in {"out", "submissions"}
        assert ".." not in parts
    assert plan.wildcards
    plan.resolved_config()
    for category in plan.categories:
        job = SimpleNamespace(category=category, split="validation", place=plan.name)
        for section in ("merge", "fuse", "calibrate", "binarize", "refine", "preview", "grids"):
            plan.settings(section)(job)


def loaded(content: bytes) -> Any:
    """Parse YAML as Snakemake does; None where that refuses it."""
    try:
        return yaml.load(content, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError):
        return None


def read_yaml(content: bytes, _: Path) -> None:
    """Plan what a file of settings, laid over the demo, asks for."""
    raw = loaded(content)
    if isinstance(raw, dict):
        planned({**DEMO, **raw})


def read_preset(content: bytes, folder: Path) -> None:
    """Plan with a preset file of a variation."""
    path = folder / "preset.yaml"
    path.write_bytes(content)
    planned(DEMO | {"compare": {"presets": {"varied": [str(path)]}}})


def _hostile() -> list[Any]:
    """Values that no setting has."""
    deep: list[Any] = []
    for _ in range(60):
        deep = [deep]
    loop: list[Any] = []
    loop.append(loop)
    values: list[Any] = [None, [], {}, "", "../../x", "a/b", "..", "\n", "\0", "x" * 1000, -1, 0, 1, 2, 2**70, 1e308]
    values += [float("nan"), float("inf"), True, deep, loop, {1: 2}, {"../x": {}}, datetime.date(2000, 1, 1), b"x"]
    values += [
        ["a", "a"],
        0.5,
        1e-300,
        "all",
        "none",
        "random",
        {None: None},
        ("a",),
        "*",
        "woven/test_public",
        10**300,
    ]
    return values


HOSTILE = _hostile()


def edited(content: bytes, _: Path) -> None:
    """Put hostile values to places that the input chooses, then plan."""
    drawn = random.Random(content)
    raw = deep_merge(deepcopy(BASE), drawn.choice(({}, DEMO, VARIED)))
    for _number in range(drawn.randint(1, 3)):
        place: Any = raw
        while place and (key := drawn.choice(list(place))) is not None:
            if not (isinstance(place[key], dict) and place[key]) or drawn.random() < 0.2:
                place[key] = drawn.choice(HOSTILE)
                break
            place = place[key]
        if drawn.random() < 0.3 and isinstance(place, dict):
            place[drawn.choice(("../../x", "", 5, None, "woven", "x" * 300, "grid", "*/validation"))] = drawn.choice(
                HOSTILE
            )
    planned(raw)


BASE: dict[str, Any] = deep_merge(yaml.safe_load((ROOT / "config.yaml").read_text()), DEMO) | {
    "overrides": {"woven": {"merge": {"scale": 0.5}}, "*/validation": {"binarize": {}}},
    "ablate": {"a": {"merge": {}}},
    "compare": {"runs": ["other"], "presets": {"b": [{"refine": {"method": "none"}}]}},
}

TARGETS = {
    "config": Target(configurations, read_yaml),
    "preset": Target(configurations, read_preset),
    "settings": Target(lambda: [bytes([number]) for number in range(60)], edited),
}
