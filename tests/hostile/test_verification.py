"""Runs with files that no job wrote, before the target verify."""

import json
import os
from pathlib import Path

import pytest
from tests.fuzz.targets.records import sample

from seamark.manifests.index import IndexManifest
from seamark.verification.verification import verify_run

MANIFEST, PHOTOGRAPH = Path("out/x/00_index/bolt/train.json"), Path("photographs/good/000")
WHOLE = {"versions": {"numpy": "2"}, "params": {}, "inputs": {}, "outputs": {}}


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(MANIFEST, json.dumps(sample(IndexManifest)))
    put(MANIFEST.with_suffix(".prov.json"), json.dumps(WHOLE))
    put(PHOTOGRAPH, "other bytes")


def faults():
    found = verify_run("x", Path("photographs"), None, [], {}, lambda work, items, _: [*map(work, items)])
    return {path: fault.what for path, fault in found.faults.items()}


@pytest.mark.parametrize(
    "facts",
    [
        {"versions": {"numpy": []}},
        {"inputs": []},
        {"outputs": {"a": 3}},
        {"outputs": {"a": {}}},
        {"params": None},
        {"inputs": {"a": {"bytes": "many"}}},
    ],
)
def test_provenance_of_another_form_is_one_fault(facts):
    put(MANIFEST.with_suffix(".prov.json"), json.dumps(WHOLE | facts))
    assert faults()[MANIFEST.with_suffix(".prov.json")].startswith("no readable provenance (not a JobProvenance: ")


@pytest.mark.parametrize("name", ["n" * 300, "a\0b"])
@pytest.mark.parametrize("place", [MANIFEST.with_suffix(".prov.json"), Path("out/x/logs/report.prov.json")])
def test_names_that_no_file_can_have_are_faults(place, name):
    put(place, json.dumps(WHOLE | {"outputs": {name: {"bytes": 1}}}))
    assert faults()[Path(name)].startswith("not readable (")


@pytest.mark.parametrize("what", [os.mkfifo, os.mkdir])
def test_what_can_not_be_read_in_one_go_is_not_waited_for(what):
    PHOTOGRAPH.unlink()
    what(PHOTOGRAPH)
    assert "not a plain file" in faults()[PHOTOGRAPH]
    put(MANIFEST.with_suffix(".prov.json"), json.dumps(WHOLE | {"outputs": {str(PHOTOGRAPH): {"bytes": 0}}}))
    assert "not a plain file" in faults()[PHOTOGRAPH]
