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


def test_tiles_are_read_one_by_one(stored):
    tiles = open_tiles(*stored)
    assert (len(tiles), tiles.shape, tiles.ndim, tiles.dtype) == (2, (2, 8, 8, 1), 4, np.uint8)
    assert np.array_equal(np.stack(list(tiles)), np.load(stored[0]))
    assert tiles[1].base.base is None  # no map of the file, which would count as memory of the job
    assert np.array_equal(tiles[-1], tiles[1])


def test_tiles_that_were_cut_off_later_are_named_with_their_repair(stored):
    tiles = open_tiles(*stored)
    os.truncate(stored[0], 150)
    with pytest.raises(ManifestError, match=r"train\.npy: tile 0 is not there any more.* snakemake --cores all -f "):
        tiles[0]


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
