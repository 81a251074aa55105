"""Tiles are opened as their manifest describes them, or the file and its repair are named."""

import os

import numpy as np
import pytest

from seamark.errors import ManifestError
from seamark.manifests.tiles import TilesManifest
from seamark.settings.grid import GridSettings
from seamark.tiles.stored import open_tiles


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "train.npy"
    np.save(path, np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8, 1))
    manifest = TilesManifest(
        category="can",
        split="train",
        grid=GridSettings(),
        file=path.name,
        shape=(2, 8, 8, 1),
        sha256="0",
        images=(),
    )
    return path, manifest


def test_tiles_are_mapped(stored):
    assert open_tiles(*stored)[1, 0, 0, 0] == 64


@pytest.mark.parametrize("length", [0, 60, 150])
def test_truncated_tiles_are_named_with_their_repair(stored, length):
    path, manifest = stored
    os.truncate(path, length)
    with pytest.raises(ManifestError, match=r"train\.npy: cannot read .* snakemake --cores all -f .*train\.npy"):
        open_tiles(path, manifest)


def test_tiles_of_another_shape_are_refused(stored):
    path, manifest = stored
    np.save(path, np.zeros((2, 4, 4, 1), np.uint8))
    with pytest.raises(ManifestError, match=r"expected uint8 of shape \(None, 8, 8, 1\), found uint8 \(2, 4, 4, 1\)"):
        open_tiles(path, manifest)
