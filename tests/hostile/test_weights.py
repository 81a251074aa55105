"""Files of weights that carry something else."""

import hashlib
import pickle
import zipfile

import pytest
import torch
from tests.fuzz.targets.arrays import Payload
from tests.fuzz.targets.weights import STATE, files, pickles, read_pickle, safetensors, stored
from torch import nn

from seamark.errors import WeightsError
from seamark.learning.checkpoints import Checkpoint
from seamark.weights.reading import load_strictly, read_safetensors, read_state


@pytest.mark.parametrize("content", [pickle.dumps(Payload()), pickle.dumps(Payload(), protocol=0), stored(Payload())])
def test_a_program_in_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pth: not a readable file of weights"):
        read_state(tmp_path / "x.pth")
    assert Checkpoint(tmp_path / "x.pth", {}).load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize("content", pickles()[-2:])
def test_a_program_in_a_zip_file_is_refused_and_not_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError):
        read_pickle(content, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_compressed_members_are_refused_before_they_are_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(WeightsError, match="members are compressed"):
        read_state(tmp_path / "x.pth")


def test_weights_that_are_not_finite_are_named(tmp_path):
    (tmp_path / "x.pth").write_bytes(stored(STATE | {"bias": torch.tensor([0.0, torch.nan, 1.0])}))
    with pytest.raises(WeightsError, match="not a number in bias"):
        load_strictly(nn.Linear(2, 3), tmp_path / "x.pth", {})


@pytest.mark.parametrize("state", [[1], {1: torch.ones(2)}, {"bias": torch.zeros(3).to_sparse()}, {"bias": "text"}])
def test_only_plain_tensors_by_name_are_weights(tmp_path, state):
    (tmp_path / "x.pth").write_bytes(stored(state))
    with pytest.raises(WeightsError, match="dictionary of named tensors"):
        read_state(tmp_path / "x.pth")


@pytest.mark.parametrize("content", safetensors()[2:])
def test_safetensors_whose_header_lies_are_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    if content == safetensors()[6]:
        return  # an odd name is no harm: tensors are looked up by name, never written by it
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_safetensors(tmp_path / "x.safetensors")


def test_a_hostile_checkpoint_means_starting_afresh(tmp_path):
    for content in files()[4:]:
        (tmp_path / "x").write_bytes(content + hashlib.sha256(content).hexdigest().encode())
        assert Checkpoint(tmp_path / "x", {"seed": "1"}).load() is None
