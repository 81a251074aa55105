"""Fusing the maps of several detectors."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from seamark.errors import DataError, ManifestError
from seamark.evaluation.metrics import ScoreCounts
from seamark.manifests.base import write_manifest
from seamark.manifests.maps import MapsManifest, Scaling
from seamark.maps.fusion import (
    NORMALISATIONS,
    Member,
    fuse_maps,
    moments,
    pooled,
    read_members,
    refer,
    tail,
    validation_scaling,
)
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


def scaling(centre, spread, weight=1.0):
    return Scaling(weight=weight, centre=centre, spread=spread)


def scale_of(normalise, maps):
    """Return centre and spread of some maps."""
    normalisation = NORMALISATIONS[normalise]
    return normalisation.of_maps([normalisation.of_map(scores) for scores in maps])


def test_validation_scores_become_zero_mean_and_unit_std(tmp_path):
    maps = random_maps(3, scale=7.0)
    (member,) = read_members([write_maps(tmp_path, "a", maps)], ["a"])
    own = validation_scaling(member, NORMALISATIONS["validation_z"], [moments(scores) for scores in maps.values()], 1.0)
    fused = [fuse_maps([scores], [own], FuseSettings()) for scores in maps.values()]
    assert np.mean(fused) == pytest.approx(0.0, abs=1e-6)
    assert np.std(fused) == pytest.approx(1.0, rel=1e-6)


def test_tails_are_medians_over_photographs():
    ramp = np.random.default_rng(4).permutation(np.arange(1.0, 201.0, dtype=np.float32)).reshape(10, 20)
    assert (tail(ramp).median, tail(ramp).upper) == (100.0, 198.0)
    assert scale_of("validation_tails", [ramp]) == (100.0, 98.0)
    assert scale_of("validation_tails", [ramp, 2 * ramp, 10 * ramp]) == (200.0, 196.0)
    assert scale_of("validation_tails", [ramp, 2 * ramp]) == (150.0, 147.0)


def test_one_odd_photograph_does_not_move_the_tails():
    maps = [(1.0 + share) * random_maps(7, shape=(40, 50))["good/a.b_c"] for share in (0.0, 0.1, 0.2, 0.3, 0.4)]
    odd = [*maps[:-1], 1000.0 * maps[-1]]
    assert scale_of("validation_tails", odd) == scale_of("validation_tails", maps)
    assert scale_of("validation_z", odd)[1] > 100 * scale_of("validation_z", maps)[1]


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_scales_do_not_depend_on_the_order_of_photographs(normalise):
    maps = [random_maps(seed, shape=(9, 10 + seed))["good/a.b_c"] for seed in range(6)]
    assert scale_of(normalise, maps) == scale_of(normalise, maps[::-1])


STATED = 0.015
"""Most that a member of pure noise takes from the best member's SegF1 (docs/detectors.md#several-detectors)."""


def smooth_noise(rng, grain_px):
    """Normal noise with variance 1; white for a grain of 0."""
    noise = rng.standard_normal((160, 200), np.float32)
    return noise if grain_px == 0 else cv2.GaussianBlur(noise, (0, 0), grain_px) * np.float32(grain_px * 2 * np.pi**0.5)


NOISE = {
    "white": lambda rng: smooth_noise(rng, 0),
    "smooth": lambda rng: smooth_noise(rng, 8),
    "heavy tails": lambda rng: rng.exponential(size=(160, 200)).astype(np.float32),
}


def defects(rng):
    """Three spots that rise 5.6 to 10.4 standard deviations above normal scores, and what of them is defective."""
    y, x = np.mgrid[:160, :200]
    radius, row, column = (
        rng.uniform(4, 16, (3, 1, 1)),
        rng.uniform(16, 144, (3, 1, 1)),
        rng.uniform(16, 184, (3, 1, 1)),
    )
    distance = ((y - row) ** 2 + (x - column) ** 2) / radius**2
    height = rng.uniform(5.6, 10.4, (3, 1, 1))
    return (height * np.exp(-distance / 2)).sum(axis=0), (distance < 1).any(axis=0)


def loss(normalise, how, noise, seed):
    """Draw the maps of a good member and of one that is noise; return how much less their fusion's best SegF1 is."""
    rng = np.random.default_rng(seed)
    good, bad = (lambda: 3 + 0.2 * smooth_noise(rng, 4)), (lambda: 1 + 7 * NOISE[noise](rng))
    scalings = [scaling(*scale_of(normalise, [draw() for _ in range(5)])) for draw in (good, bad)]
    alone, fused = [], []
    for shot in range(4):
        height, truth = defects(rng) if shot % 2 else (np.zeros((160, 200)), np.zeros((160, 200), bool))
        best = (good() + 0.2 * height).astype(np.float32)
        alone.append(ScoreCounts.of(best, truth))
        fused.append(ScoreCounts.of(fuse_maps([best, bad()], scalings, FuseSettings(how=how)), truth))
    return ScoreCounts.pooled(alone).oracle_seg_f1() - ScoreCounts.pooled(fused).oracle_seg_f1()


@pytest.mark.parametrize("noise", NOISE)
def test_a_member_of_pure_noise_takes_no_more_than_is_stated(noise):
    assert max(loss("validation_tails", "max", noise, seed) for seed in range(3)) < STATED
    assert max(loss("validation_z", "mean", noise, seed) for seed in range(2)) > 2 * STATED


def test_mean_and_max_are_weighted():
    maps = [np.float32([[1.0, 5.0]]), np.float32([[4.0, -2.0]])]
    scalings = [scaling(1.0, 2.0, weight=2.0), scaling(0.0, 1.0)]
    mean = fuse_maps(maps, scalings, FuseSettings(how="mean"))
    assert mean == pytest.approx(np.float32([[4.0 / 3.0, 2.0 / 3.0]]))
    assert fuse_maps(maps, scalings, FuseSettings(how="max")).tolist() == [[4.0, 4.0]]
    assert mean.dtype == np.float32


@pytest.mark.parametrize(
    ("normalise", "tied"),
    [
        ("validation_z", r"all validation scores of a are 0\.1"),
        ("validation_tails", r"median and 0\.99 quantile of most validation maps of a are 0\.1"),
    ],
)
def test_constant_validation_maps_are_refused(tmp_path, normalise, tied):
    maps = {"0": np.full((4, 4), 0.1, np.float32), "1": np.full((4, 4), 0.1, np.float32)}
    (member,) = read_members([write_maps(tmp_path, "a", maps)], ["a"])
    normalisation = NORMALISATIONS[normalise]
    parts = [normalisation.of_map(scores) for scores in maps.values()]
    with pytest.raises(DataError, match=rf"validation\.json: {tied}.*leave it out"):
        validation_scaling(member, normalisation, parts, 1.0)


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
