"""Changes since a job last ran, by the names of settings and files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seamark.errors import ManifestError
from seamark.flow import STAGES
from seamark.manifests.base import read_manifest
from seamark.running.file_records import JobProvenance

MOST = 3
"""Changes that are named; the others are counted."""
FEW = 60
"""Characters of a value that is shown as it is."""


def changed_params(
    rule: str, wildcards: Any, now: Mapping[str, Any], outputs: Sequence[str], logs: Sequence[str]
) -> str:
    """Say what has changed of the params of a job since it left its provenance.

    Parameters
    ----------
    rule : str
        Its rule.
    wildcards : object
        Its wildcards.
    now : mapping
        The params that differ, with their values of now.
    outputs, logs : sequence of str
        What the job declares.

    Returns
    -------
    str
        ``binarize.mean_std.k: 3.0 -> 3.5``, ``photographs/bolt/...png changed``, or ``its code changed``.
    """
    manifest = Path(str(outputs[0]))
    beside = manifest if manifest.suffix == ".json" else Path(str(logs[0]))
    try:
        before = read_manifest(beside.with_suffix(".prov.json"), JobProvenance).params
    except ManifestError:
        return "other settings, files or code than before"
    changes: list[str] = []
    for name, value in now.items():
        if name == "code":
            changes.append("its code changed")
        elif name == "files":
            changes += [f"{file} changed" for file in _changed_files(manifest)] or ["its files changed"]
        else:
            old = before.get(name)
            changes += _differences(_named(rule, wildcards, name), old, json.loads(json.dumps(value, default=str)))
    more = [f"{len(changes) - MOST} more"] if len(changes) > MOST else []
    return ", ".join(changes[:MOST] + more) or "other settings than before"


def _named(rule: str, wildcards: Any, param: str) -> str:
    """Return the section of the configuration that a param is taken from."""
    own = STAGES[rule].settings if rule in STAGES else ()
    section = own[0] if param == "settings" and own else param
    block = getattr(wildcards, section, None) if section in ("grid", "detector") else None
    return f"{section}s.{block}" if block else section


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before.keys() | now.keys():
            yield from _differences(f"{name}.{key}", before.get(key), now.get(key))
    elif before != now:
        yield f"{name}: {_short(before)} -> {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= FEW else f"{text[:FEW]}..."


def _changed_files(manifest: Path) -> list[str]:
    """Return the photographs that came, went or were written since an index of them was made."""
    try:
        facts, made = json.loads(manifest.read_text(encoding="utf-8")), manifest.stat().st_mtime_ns
        known = {image["file"] for image in facts["images"]}
        root = Path(json.loads(manifest.with_suffix(".prov.json").read_text(encoding="utf-8"))["params"]["root"])
    except (OSError, ValueError, KeyError):
        return []
    folders = {(root / file).parent for file in known}
    there = {str(path.relative_to(root)) for folder in folders if folder.is_dir() for path in folder.iterdir()}
    written = {file for file in known & there if (root / file).stat().st_mtime_ns > made}
    return sorted(str(root / file) for file in written | (known ^ there))
