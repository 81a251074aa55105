"""A checkpoint is used as it was written or not at all."""

import logging

import pytest
import torch

from seamark.learning.checkpoints import Checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    made = Checkpoint(tmp_path / "x.checkpoint", {"settings": "a"})
    made.save({"step": 3, "weights": torch.arange(5000.0)})
    return made


def test_what_was_saved_is_loaded(checkpoint):
    loaded = checkpoint.load()
    assert loaded["step"] == 3
    assert torch.equal(loaded["weights"], torch.arange(5000.0))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.9999])
def test_a_flipped_bit_anywhere_is_noticed(checkpoint, caplog, share):
    content = bytearray(checkpoint.path.read_bytes())
    content[int(share * len(content))] ^= 4
    checkpoint.path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load() is None
    assert f"{checkpoint.path}: the checkpoint is damaged" in caplog.text


@pytest.mark.parametrize("length", [0, 10, 64, 5000])
def test_a_truncated_one_is_noticed(checkpoint, caplog, length):
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:length])
    with caplog.at_level(logging.WARNING):
        assert checkpoint.load() is None
    assert "damaged" in caplog.text
