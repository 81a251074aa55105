"""Manifests, provenance and arrays that no stage wrote."""

import json
import os
import re

import numpy as np
import pytest
from tests.fuzz.targets.arrays import npy, seeds
from tests.fuzz.targets.records import KINDS, provenances, sample

from seamark.errors import ManifestError
from seamark.files.arrays import open_array
from seamark.manifests.base import read_manifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.report.cost import read_costs


def refused(tmp_path, kind, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"x\.json: .*rebuild it with: snakemake") as caught:
        read_manifest(path, kind)
    assert not re.search("Input should|Field required|Value error|[Vv]alid JSON|not permitted", str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_valid_manifest_is_read_and_a_torn_one_refused(tmp_path, kind):
    content = json.dumps(sample(kind)).encode()
    (tmp_path / "x.json").write_bytes(content)
    assert isinstance(read_manifest(tmp_path / "x.json", kind), kind)
    refused(tmp_path, kind, content[:-1])
    refused(tmp_path, kind, b"[" * 100_000)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/../../b", "", "a\0b"])
@pytest.mark.parametrize(("kind", "key"), [(IndexManifest, "id"), (IndexManifest, "file"), (MapsManifest, "id")])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, kind, key, name):
    facts = sample(kind)
    part = facts["images"] if kind is IndexManifest else facts["maps"]
    part[0][key] = name
    assert "does not stay inside" in refused(tmp_path, kind, json.dumps(facts).encode())


def test_a_category_that_leads_elsewhere_is_refused(tmp_path):
    facts = sample(IndexManifest) | {"category": "../.."}
    assert "does not stay inside" in refused(tmp_path, IndexManifest, json.dumps(facts).encode())


@pytest.mark.parametrize("number", [0, -1, 1 << 40, 1e400, 10**4000])
def test_sizes_that_no_image_has_are_refused(tmp_path, number):
    facts = sample(TilesManifest)
    facts["images"][0]["width"] = number
    refused(tmp_path, TilesManifest, json.dumps(facts).encode())


def test_a_pipe_in_the_place_of_a_manifest_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(ManifestError, match="not a plain file"):
        read_manifest(tmp_path / "x.json", IndexManifest)


@pytest.mark.parametrize("content", seeds()[1:])
def test_arrays_that_are_not_what_is_expected_are_refused_and_nothing_is_unpickled(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ManifestError, match=r"x\.npy: .*rebuild crop"):
        open_array(tmp_path / "x.npy", np.uint8, (2, 3, 4), "tiles", "rebuild crop")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("header", ["{'descr': '|u1', 'fortran_order': False, 'shape': (2,", "'''"])
def test_headers_that_do_not_parse_are_refused(tmp_path, header):
    (tmp_path / "x.npy").write_bytes(npy(header))
    with pytest.raises(ManifestError, match="cannot read the tiles"):
        open_array(tmp_path / "x.npy", np.uint8, (2, 3, 4), "tiles", "rebuild crop")


def test_a_header_of_gigabytes_is_not_read(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(99))
    with pytest.raises(ManifestError, match=r"version 1\.0"):
        open_array(tmp_path / "x.npy", np.uint8, (2, 3, 4), "tiles", "rebuild crop")


def test_hostile_provenance_is_listed_as_unreadable(tmp_path):
    for number, content in enumerate(provenances()):
        (tmp_path / f"{number}.prov.json").write_bytes(content)
    cost = read_costs(tmp_path, [])
    assert len(cost.unreadable) == len(provenances()) - 1
