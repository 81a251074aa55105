"""Results that are older than what they were made from, by the provenance of their jobs."""

import json
import os
import re

import pytest

from seamark.running.file_records import recorded
from seamark.verification.staleness import Staleness

CHAIN = ("10_tiles/train", "20_models/fit", "70_refined/masks", "90_eval/scores")


def write(folder, name, content="old", inputs=()):
    """A manifest and its provenance, whose rule has the name of the folder."""
    path = folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    facts = {"rule": name.split("/")[0][3:], "versions": {}, "params": {"settings": {"k": 1}}}
    facts |= {"inputs": recorded(folder / f"{source}.json" for source in inputs), "outputs": recorded([path])}
    path.with_suffix(".prov.json").write_text(json.dumps(facts))
    return path


@pytest.fixture
def chain(tmp_path):
    """Four manifests, each made from the one before."""
    for before, name in zip(((), *((name,) for name in CHAIN)), CHAIN, strict=False):
        write(tmp_path, name, inputs=before)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        (lambda folder: None, {"k": 1}, None),
        (lambda folder: write(folder, CHAIN[1], inputs=CHAIN[:1]), {"k": 1}, None),
        (lambda folder: os.utime(folder / f"{CHAIN[2]}.json", (1 << 33, 1 << 33)), {"k": 1}, None),
        (lambda folder: write(folder, CHAIN[2], "new"), {"k": 1}, "made before refined ran again"),
        (lambda folder: write(folder, CHAIN[1], "new"), {"k": 1}, "made before models ran again"),
        (lambda folder: (folder / f"{CHAIN[0]}.json").unlink(), {"k": 1}, None),
        (lambda folder: (folder / f"{CHAIN[1]}.json").unlink(), {"k": 1}, "made before .*/fit.json was lost"),
        (lambda folder: (folder / f"{CHAIN[1]}.prov.json").unlink(), {"k": 1}, None),
        (lambda folder: (folder / f"{CHAIN[3]}.prov.json").unlink(), {"k": 1}, None),
        (lambda folder: None, {"k": 2}, "made before the settings of refined changed"),
    ],
)
def test_a_result_is_stale_when_something_behind_it_has_other_bytes_or_settings(chain, change, expected, reason):
    change(chain)
    staleness = Staleness({str(chain / f"{CHAIN[2]}.json"): {"settings": expected, "code": "other"}})
    found = staleness.reason(chain / f"{CHAIN[3]}.prov.json")
    assert found == reason if reason is None else re.fullmatch(reason, found)
