"""Manifests and provenance."""

import json
from pathlib import Path, PurePosixPath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from tests.fuzz.targets.base import Target

from seamark.manifests.base import Manifest, read_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.preview import PreviewManifest
from seamark.manifests.submission import CheckReport, SubmissionProvenance
from seamark.manifests.teacher import TeacherManifest
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.manifests.verdict import VerdictManifest
from seamark.report.cost import read_costs
from seamark.settings.pixels import DepthSettings

KINDS: tuple[type[Manifest], ...] = (
    IndexManifest,
    TruthManifest,
    TilesManifest,
    TilemapsManifest,
    MapsManifest,
    CalibrationManifest,
    MasksManifest,
    VerdictManifest,
    EvaluationManifest,
    PreviewManifest,
    ModelManifest,
    TeacherManifest,
    CheckReport,
    SubmissionProvenance,
)
PLAIN: dict[object, object] = {
    str: "good/000",
    int: 3,
    float: 0.5,
    bool: True,
    NoneType: None,
    Any: 1,
    DepthSettings: {"black": 0, "white": 3},
}


def sample(kind: Any) -> Any:
    """Return a value of a type of a manifest, as JSON has it."""
    if kind in PLAIN:
        return PLAIN[kind]
    if hasattr(kind, "__metadata__"):
        return sample(kind.__origin__)
    arguments, origin = get_args(kind), get_origin(kind)
    if origin in {Union, UnionType, tuple, Literal}:
        values = [argument if origin is Literal else sample(argument) for argument in arguments if argument is not ...]
        return values if origin is tuple else values[0]
    if origin is dict:
        return {"a": sample(arguments[1])}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: sample(field.rebuild_annotation()) for name, field in kind.model_fields.items()}
    raise KeyError(kind)


def manifests() -> list[bytes]:
    """One valid manifest of each kind behind the number of its kind, and hostile JSON."""
    valid = [bytes([number]) + json.dumps(sample(kind)).encode() for number, kind in enumerate(KINDS)]
    odd = [b"[" * 5000, b'{"category": 1e999}', b'{"category": "a", "category": "b"}', b"\xff", b"9" * 5000, b""]
    return [*valid, *(b"\0" + content for content in odd), valid[0].replace(b"good/000", b"../../x")]


def names_of(value: object, key: str = "") -> list[str]:
    """Return all names and paths of a manifest by which files are written."""
    if isinstance(value, dict):
        return [name for inner, part in value.items() for name in names_of(part, inner)]
    if isinstance(value, list):
        return [name for part in value for name in names_of(part, key)]
    return [str(value)] if key in {"id", "file", "category", "histogram"} and isinstance(value, str) else []


def read_manifests(content: bytes, folder: Path) -> None:
    """Read as the kind of manifest that the first byte names."""
    kind = KINDS[content[0] % len(KINDS)] if content else IndexManifest
    path = folder / "x.json"
    path.write_bytes(content[1:])
    manifest = read_manifest(path, kind)
    if kind not in {CheckReport, SubmissionProvenance, MapsManifest}:  # which hold paths that are only read
        for name in names_of(manifest.model_dump(mode="json")):
            assert ".." not in PurePosixPath(name).parts
            assert not name.startswith("/")
    assert kind.model_validate_json(manifest.model_dump_json()) == manifest


def provenances() -> list[bytes]:
    """Provenance as a job writes it, and not."""
    facts = {"rule": "crop", "wall_s": 1.0, "cpu_s": 1.0, "peak_memory_mb": 90.0, "device": "cpu", "wildcards": {}}
    odd: list[object] = [facts | {"outputs": []}, facts | {"wall_s": float("nan")}, [], facts, None]
    return [*(json.dumps(value).encode() for value in odd), b"[" * 20000]


def read_provenance(content: bytes, folder: Path) -> None:
    """Read as the provenance of a run."""
    (folder / "x.prov.json").write_bytes(content)
    cost = read_costs(folder, [folder / "x.json"])
    assert len(cost.unreadable) + sum(len(stage.jobs) for stage in cost.stages) <= 1


TARGETS = {"manifest": Target(manifests, read_manifests), "provenance": Target(provenances, read_provenance)}
