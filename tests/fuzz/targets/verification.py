"""A run as the target verify reads it."""

import io
import json
import re
from contextlib import chdir
from functools import cache
from pathlib import Path

import numpy as np
from tests.fuzz.targets.base import Target
from tests.fuzz.targets.pictures import float_tiffs, pngs
from tests.fuzz.targets.records import sample
from tests.fuzz.targets.submissions import entry, member

from seamark.flow import STAGES
from seamark.manifests.plots import PlotsManifest
from seamark.manifests.submission import CheckReport, SubmissionProvenance
from seamark.verification.verification import print_verification, verify_run

KINDS = {
    re.sub(r"{(place|run)}", "x", re.sub(r"{(?!place|run)\w+}", "a", stage.manifest)): stage.manifest_class()
    for stage in STAGES.values()
    if stage.kind and stage.manifest.startswith(("out/{place}", "out/{run}"))
} | {"out/x/report/plots/plots.json": PlotsManifest}
MANIFESTS = list(KINDS)
MAPS = "out/x/40_maps/a/a/a.json"
PROVENANCE = MAPS.replace(".json", ".prov.json")
OF_A_JOB = "out/x/logs/report.prov.json"
RECORDED, ARCHIVE, CHECKED = (f"submissions/x.{ending}" for ending in ("provenance.json", "tar.gz", "check.json"))
ARTIFACT = "good/000"
"""What all the manifests name."""
PLACES = [*MANIFESTS, PROVENANCE, OF_A_JOB, RECORDED, ARCHIVE, CHECKED, ARTIFACT]


def as_json(value: object) -> bytes:
    """Return what lies in a file."""
    return json.dumps(value).encode()


@cache
def files() -> dict[str, bytes]:
    """Return all the files of a run in which most digests are wrong."""
    facts = {"versions": {"numpy": "1"}, "params": {"settings": {}}, "inputs": {}, "outputs": {}}
    known = {MAPS: {"bytes": 1, "sha256": "0"}, "submissions/x": {"bytes": 0}}
    digest = "65c74c15a686187bb6bbf9958f494fc6b80068034a659a9ad44991b08c58f2d2"  # of no byte
    found = {path: as_json(sample(kind)) for path, kind in KINDS.items()}
    found |= {PROVENANCE: as_json(facts), OF_A_JOB: as_json(facts | {"inputs": known, "outputs": known})}
    found |= {CHECKED: as_json(sample(CheckReport)), ARCHIVE: b""}
    found[RECORDED] = as_json(sample(SubmissionProvenance) | {"archive_sha256": digest})
    return found


def arrays() -> list[bytes]:
    """Return an array and a torn one."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((2, 3), np.int64))
    return [stream.getvalue(), stream.getvalue()[:-1]]


def runs() -> list[bytes]:
    """Every file of the run behind the number of its place, and artifacts of all kinds."""
    inputs = [bytes([PLACES.index(place)]) + content for place, content in files().items()]
    artifacts = [float_tiffs()[0], float_tiffs()[1], *pngs()[:2], *arrays(), b""]
    archives = [member("x/a.tiff", b"a") + bytes(1024), entry("x/../../y") + bytes(1024)]
    facts = json.loads(files()[OF_A_JOB])
    odd = [
        facts | {"versions": {"numpy": []}},
        facts | {"inputs": []},
        facts | {"outputs": {"out/x": 3}},
        facts | {"inputs": {"n" * 300: {"bytes": 1}, "a\0b": {}, "\n": {"bytes": 1}}},
        facts | {"params": []},
    ]
    inputs += [bytes([PLACES.index(ARTIFACT)]) + content for content in artifacts]
    inputs += [bytes([PLACES.index(ARCHIVE)]) + content for content in archives]
    return [*inputs, *(bytes([PLACES.index(place)]) + as_json(it) for place in (PROVENANCE, OF_A_JOB) for it in odd)]


def put(path: Path, content: bytes) -> None:
    """Write a file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def verify(content: bytes, folder: Path) -> None:
    """Put one file into a run and verify it; whatever is wrong becomes a line of the table."""
    place, content = PLACES[content[0] % len(PLACES)] if content else ARTIFACT, content[1:]
    changed = files() | ({} if place == ARTIFACT else {place: content})
    for name, usual in changed.items():
        put(folder / name, usual)
    for manifest in MANIFESTS:
        put((folder / manifest).parent / ARTIFACT, content if place == ARTIFACT else b"x")
    put(folder / "photographs" / ARTIFACT, b"x")
    with chdir(folder):
        expected = {MAPS: {"settings": {"a": 1}}}
        found = verify_run("x", Path("photographs"), None, [], expected, lambda work, items, _: [*map(work, items)])
        stream = io.StringIO()
        print_verification(found, stream)
        printed = stream.getvalue()
    commands = [fault.command for fault in found.faults.values()]  # which quote odd names as a shell does
    for command in sorted(commands, key=len, reverse=True):
        printed = printed.replace(command, "")
    assert all(line.isprintable() for line in printed.split("\n"))
    assert not [path for path in folder.iterdir() if path.name not in {"out", "submissions", "photographs"}]


TARGETS = {"verify": Target(runs, verify)}
