"""Fusing the maps of several detectors."""

import os
from pathlib import Path

import numpy as np
import pytest

from seamark.errors import DataError, ManifestError
from seamark.manifests.base import write_manifest
from seamark.manifests.maps import MapsManifest
from seamark.maps.fusion import Member, Scaling, fuse_maps, moments, pooled, read_members, refer, validation_scaling
from seamark.maps.stored import save_map
from seamark.settings.fuse import FuseSettings


def write_maps(root, detector, maps, split="validation"):
    """Write maps as the merge stage does; return the manifest's path."""
    manifest = root / "40_maps" / detector / "can" / f"{split}.json"
    folder = manifest.with_suffix("")
    records = tuple(save_map(folder, split, name, scores, scores.shape) for name, scores in maps.items())
    write_manifest(manifest, MapsManifest(detector=detector, category="can", split=split, maps=records))
    return manifest


def random_maps(seed, names=("bad/000_regular", "good/a.b_c"), shape=(6, 8), scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: (rng.normal(size=shape) * scale + scale).astype(np.float32) for name in names}


def test_members_come_in_the_order_of_the_settings(tmp_path):
    paths = [write_maps(tmp_path, name, random_maps(1)) for name in ("a", "b")]
    assert [member.manifest.detector for member in read_members(paths, ("b", "a"))] == ["b", "a"]


def test_a_single_member_is_referred_to(tmp_path):
    maps = random_maps(2)
    path = write_maps(tmp_path, "a", maps)
    target = tmp_path / "45_fused" / "can" / "validation.json"
    (member,) = read_members([path], ["a"])
    records = refer(member, target)
    assert [record.file for record in records] == [f"../../40_maps/a/can/validation/{name}.tiff" for name in maps]
    fused = Member(target, member.manifest.model_copy(update={"maps": records}))
    target.parent.mkdir(parents=True)
    for record in records:
        assert np.array_equal(fused.read(record), maps[record.id])


@pytest.mark.parametrize("damage", ["truncated", "other"])
def test_a_damaged_map_that_is_referred_to_is_made_again_where_it_was_made(tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    out = Path("out/x")
    path, target = write_maps(out, "a", random_maps(2)), out / "45_fused/can/validation.json"
    (member,) = read_members([path], ["a"])
    fused = Member(target, member.manifest.model_copy(update={"maps": refer(member, target)}))
    file = out / "40_maps/a/can/validation/bad/000_regular.tiff"
    if damage == "truncated":
        os.truncate(file, file.stat().st_size // 2)
    else:
        save_map(path.with_suffix(""), "validation", "bad/000_regular", np.ones((6, 8), np.float32), (6, 8))
    target.parent.mkdir(parents=True)
    with pytest.raises(ManifestError, match=f"-f {path} {target}$") as caught:
        fused.read(fused.manifest.maps[0])
    assert str(caught.value).startswith(f"{file}: ")
    with pytest.raises(ManifestError, match=f"-f {path}$"):
        member.read(member.manifest.maps[0])


def test_pooled_moments_are_those_of_all_pixels_in_any_order():
    maps = [np.random.default_rng(seed).normal(1000.0, 0.01, (50, 40 + seed)).astype(np.float32) for seed in range(9)]
    pixels = np.concatenate([scores.ravel() for scores in maps]).astype(np.float64)
    mean, std = pooled([moments(scores) for scores in maps])
    assert mean == pytest.approx(pixels.mean(), rel=1e-14)
    assert std == pytest.approx(pixels.std(), rel=1e-9)
    assert (mean, std) == pooled([moments(scores) for scores in maps[::-1]])


def test_validation_scores_become_zero_mean_and_unit_std(tmp_path):
    maps = random_maps(3, scale=7.0)
    (member,) = read_members([write_maps(tmp_path, "a", maps)], ["a"])
    scaling = validation_scaling(member, [moments(scores) for scores in maps.values()], 1.0)
    fused = [fuse_maps([scores], [scaling], FuseSettings()) for scores in maps.values()]
    assert np.mean(fused) == pytest.approx(0.0, abs=1e-6)
    assert np.std(fused) == pytest.approx(1.0, rel=1e-6)


def test_mean_and_max_are_weighted():
    maps = [np.float32([[1.0, 5.0]]), np.float32([[4.0, -2.0]])]
    scalings = [Scaling(2.0, 1.0, 2.0), Scaling(1.0, 0.0, 1.0)]
    mean = fuse_maps(maps, scalings, FuseSettings(how="mean"))
    assert mean == pytest.approx(np.float32([[4.0 / 3.0, 2.0 / 3.0]]))
    assert fuse_maps(maps, scalings, FuseSettings(how="max")).tolist() == [[4.0, 4.0]]
    assert mean.dtype == np.float32


def test_constant_validation_maps_are_refused(tmp_path):
    maps = {"0": np.full((4, 4), 0.1, np.float32), "1": np.full((4, 4), 0.1, np.float32)}
    (member,) = read_members([write_maps(tmp_path, "a", maps)], ["a"])
    with pytest.raises(DataError, match=r"validation\.json: all validation scores of a are 0\.1.*leave it out"):
        validation_scaling(member, [moments(scores) for scores in maps.values()], 1.0)


def test_missing_and_foreign_members_are_refused(tmp_path):
    path = write_maps(tmp_path, "a", random_maps(4))
    with pytest.raises(ManifestError, match=r"detectors \['a'\], expected one manifest of each of \['a', 'b'\]"):
        read_members([path], ("a", "b"))
    with pytest.raises(ManifestError, match="expected one manifest of each"):
        read_members([path, path], ["a"])
    with pytest.raises(ManifestError, match="cannot read the manifest"):
        read_members([tmp_path / "none.json"], ["a"])


@pytest.mark.parametrize("other", [{"names": ("bad/000_regular",)}, {"shape": (6, 9)}])
def test_members_that_disagree_are_refused(tmp_path, other):
    paths = [write_maps(tmp_path, "a", random_maps(5)), write_maps(tmp_path, "b", random_maps(6, **other))]
    with pytest.raises(ManifestError, match=r"b/can/validation\.json: map of image .* has size .*\(6, 8\)"):
        read_members(paths, ("a", "b"))
