"""Synthetic anomalies against docs/methods/urd.md#checks and docs/methods/efficientad.md#noise-patches."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from seamark.learning.batches import counted_random
from seamark.settings.synthesis import ForegroundSettings, NoisePatchSettings, SynthesisSettings
from seamark.synthesis.anomalies import blend, synthesise
from seamark.synthesis.drawn_textures import draw_texture
from seamark.synthesis.foreground import foreground_mask
from seamark.synthesis.noise_patches import estimate_background, has_background, inject_noise_patches
from seamark.synthesis.perlin import perlin_field, perlin_mask, rotate
from seamark.synthesis.pyramids import cascaded_masks, quarter_mask

SIDE = 256
PLAIN = np.full((SIDE, SIDE, 3), 90, np.uint8)
DISC = np.hypot(*(np.indices((SIDE, SIDE)) - 127.5)) <= 70


def random(*words):
    return counted_random(11, *words)


def masks(count, shape=(SIDE, SIDE)):
    return [perlin_mask(shape, random("mask", number)) for number in range(count)]


def literal_field(shape, cells, generator):
    """Perlin noise pixel by pixel, to the letter of docs/methods/urd.md#perlin-masks."""
    angles = generator.uniform(0.0, 2.0 * np.pi, (cells[0] + 1, cells[1] + 1))
    gradients = np.stack([np.cos(angles), np.sin(angles)], axis=2)
    field = np.empty(shape)
    for i, j in np.ndindex(*shape):
        y, x = i * cells[0] / shape[0], j * cells[1] / shape[1]
        cell, (f, g) = (int(y), int(x)), (y % 1, x % 1)
        corners = [[gradients[cell[0] + a, cell[1] + b] @ (f - a, g - b) for b in (0, 1)] for a in (0, 1)]
        q, r = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (f, g))
        left, right = (corners[0][b] + q * (corners[1][b] - corners[0][b]) for b in (0, 1))
        field[i, j] = np.sqrt(2) * (left + r * (right - left))
    return field


def discs(dark, bright, seed=0):
    """A noisy disc of radius 70 px on a noisy ground: dark on bright, or the other way round."""
    grey = np.where(DISC, dark, bright) + np.random.default_rng(seed).normal(0, 8, (SIDE, SIDE))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def overlap(found, truth=DISC):
    return np.count_nonzero(found & truth) / np.count_nonzero(found | truth)


@pytest.mark.parametrize(("shape", "cells"), [((32, 48), (4, 2)), ((64, 32), (1, 32)), ((30, 44), (8, 16))])
def test_21_perlin_noise_equals_its_definition(shape, cells):
    field = perlin_field(shape, cells, random(0))
    assert field.dtype == np.float32
    np.testing.assert_allclose(field, literal_field(shape, cells, random(0)), atol=2e-6)


def test_21_perlin_noise_is_zero_at_the_nodes_and_bounded():
    for cells in [(1, 1), (4, 8), (32, 32)]:
        fields = [perlin_field((SIDE, SIDE), cells, random(cells[0], number)) for number in range(20)]
        assert all(not field[:: SIDE // cells[0], :: SIDE // cells[1]].any() for field in fields)
        assert 0.5 < max(np.abs(field).max() for field in fields) <= 1


def test_21_rotation_is_bilinear_about_the_centre():
    field = perlin_field((64, 64), (4, 2), random(1))
    np.testing.assert_allclose(rotate(field, 0.0), field, atol=1e-6)
    np.testing.assert_allclose(rotate(field, 90.0), np.rot90(field), atol=1e-5)
    for angle, shape in [(33.0, (64, 96)), (-71.0, (96, 64))]:
        field = perlin_field(shape, (4, 2), random(angle > 0))
        expected = ndimage.rotate(field, angle, reshape=False, order=1)
        inside = ndimage.binary_erosion(
            ndimage.rotate(np.ones(shape), angle, reshape=False, order=1) > 0.99, iterations=2
        )
        assert inside.mean() > 0.4
        assert np.abs(rotate(field, angle) - expected)[inside].max() < 2e-3
        assert rotate(field, angle)[0, 0] == 0


def test_21_statistics_of_masks():
    few = masks(500)
    assert 0.02 <= np.mean([not mask.any() for mask in few]) <= 0.08
    assert 0.04 <= np.mean([mask.mean() for mask in few]) <= 0.06


def test_21_statistics_of_many_masks():
    areas = np.array([mask.mean() for mask in masks(2000)])
    assert np.mean(areas == 0) == pytest.approx(0.045, abs=0.015)
    assert areas.mean() == pytest.approx(0.049, abs=0.002)
    assert np.median(areas) == pytest.approx(0.046, abs=0.001)
    assert np.quantile(areas, 0.9) == pytest.approx(0.074, abs=0.003)
    assert np.quantile(areas, 0.99) == pytest.approx(0.15, abs=0.05)


@pytest.mark.parametrize(("shape", "empty"), [((512, 608), 0.051), ((384, 512), 0.060)])
def test_21_rectangles_are_as_often_empty(shape, empty):
    assert np.mean([not mask.any() for mask in masks(300, shape)]) == pytest.approx(empty, abs=0.035)


def test_21_a_mask_depends_on_its_generator_alone():
    alone = masks(24)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda number: perlin_mask((SIDE, SIDE), random("mask", number)), range(24)))
    np.testing.assert_array_equal(alone, together)
    assert len({mask.tobytes() for mask in alone if mask.any()}) == sum(mask.any() for mask in alone)


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.65, 1.0])
def test_20_blending(weight):
    pixels, texture = draw_texture((64, 96), random("tile")), draw_texture((64, 96), random("texture"))
    mask = perlin_field((64, 96), (2, 2), random("mask")) > 0
    blended = blend(pixels, texture, mask, weight)
    np.testing.assert_array_equal(blended[~mask], pixels[~mask])
    exact = (1 - weight) * pixels[mask].astype(float) + weight * texture[mask]
    assert np.abs(blended[mask] - exact).max() <= 0.5 + 1e-4
    np.testing.assert_array_equal(blend(pixels, texture, mask, 1.0)[mask], texture[mask])
    np.testing.assert_array_equal(blend(pixels, texture, np.zeros_like(mask), weight), pixels)


def test_20_a_sample_keeps_to_mask_and_foreground():
    tile, settings = draw_texture((SIDE, SIDE), random("tile")), SynthesisSettings()
    anomalous = 0
    for number in range(60):
        sample = synthesise(tile, DISC, draw_texture, settings, random(number))
        assert not (sample.mask & ~DISC).any()
        np.testing.assert_array_equal(sample.pixels[~sample.mask], tile[~sample.mask])
        whole = synthesise(tile, None, draw_texture, settings, random(number))
        np.testing.assert_array_equal(sample.mask, whole.mask & DISC)
        anomalous += sample.mask.any() and (sample.pixels != tile).any()
    assert anomalous > 40


def test_20_the_weight_of_the_texture_is_uniform_in_its_range():
    white = np.full((64, 64, 3), 255, np.uint8)
    settings = SynthesisSettings(beta=(0.15, 1.0))
    samples = [
        synthesise(np.zeros_like(white), None, lambda shape, _: white, settings, random(number))
        for number in range(600)
    ]
    weights = np.array([sample.pixels[sample.mask][0, 0] / 255 for sample in samples if sample.mask.any()])
    assert 0.149 <= weights.min() < 0.17
    assert 0.98 < weights.max() <= 1.0
    assert np.histogram(weights, 5, (0.15, 1.0))[0].min() > 0.15 * weights.size


@pytest.mark.parametrize(("probability", "lowest", "highest"), [(0.0, 0, 0), (0.8, 0.68, 0.84), (1.0, 0.9, 1.0)])
def test_20_the_share_of_anomalous_samples(probability, lowest, highest):
    tile, settings = np.zeros((32, 32, 3), np.uint8), SynthesisSettings(probability=probability)
    samples = [synthesise(tile, None, draw_texture, settings, random(number)) for number in range(1000)]
    assert lowest <= np.mean([sample.mask.any() for sample in samples]) <= highest
    assert all(sample.pixels is tile for sample in samples if not sample.mask.any())


@pytest.mark.parametrize("shape", [(256, 256), (256, 544), (96, 64)])
def test_9_the_cascade_equals_interpolation_of_the_level_before(shape):
    shapes = [(shape[0] // stride, shape[1] // stride) for stride in (4, 8, 16)]
    for mask in masks(12, shape):
        expected = torch.from_numpy(mask.astype(np.float32))[None, None]
        for level, size in zip(cascaded_masks(mask, shapes), shapes, strict=True):
            blurred = functional.interpolate(expected, size, mode="bilinear", align_corners=True)
            # A value of one half may be rounded either way; the next level starts from what was decided here.
            undecided = (blurred - 0.5).abs()[0, 0] < 1e-4
            binary = (blurred >= 0.5)[0, 0].numpy()
            assert ((level == binary) | undecided.numpy()).all()
            expected = torch.from_numpy(level.astype(np.float32))[None, None]


def test_9_the_cascade_keeps_empty_and_full_masks():
    shapes = [(16, 24), (8, 12), (4, 6), (1, 1)]
    for value in (False, True):
        levels = cascaded_masks(np.full((64, 96), value), shapes)
        assert [level.shape for level in levels] == shapes
        assert all(level.dtype == np.bool_ and (level == value).all() for level in levels)


def test_9_the_cascade_is_not_a_direct_resize():
    differing = 0
    for mask in masks(40):
        direct = cascaded_masks(mask, [(16, 16)])[0]
        differing += (cascaded_masks(mask, [(64, 64), (32, 32), (16, 16)])[2] != direct).any()
    assert differing > 10


def test_17_the_target_of_a_block_is_its_middle():
    ring = np.ones((4, 4), bool)
    ring[1:3, 1:3] = False
    assert not quarter_mask(ring).any()
    for count, expected in [(1, False), (2, True), (4, True)]:
        block = np.zeros((4, 4), bool)
        block[[1, 2, 1, 2][:count], [1, 2, 2, 1][:count]] = True
        assert quarter_mask(block).tolist() == [[expected]]


def test_17_the_target_equals_interpolation_of_cell_centres():
    for mask in masks(12, (96, 160)):
        batch = torch.from_numpy(mask.astype(np.float32))[None, None]
        expected = functional.interpolate(batch, (24, 40), mode="bilinear", align_corners=False) >= 0.5
        np.testing.assert_array_equal(quarter_mask(mask), expected[0, 0].numpy())


def test_23_a_dark_disc_is_found_by_every_method():
    for method in ("otsu_dark", "otsu_border", "grabcut"):
        found = foreground_mask(discs(60, 190), ForegroundSettings(method=method))
        assert overlap(found) > 0.99, method


def test_23_a_bright_disc_needs_the_polarity_of_its_border():
    tile = discs(190, 60)
    assert overlap(foreground_mask(tile, ForegroundSettings(method="otsu_dark"))) < 0.01
    for method in ("otsu_border", "grabcut"):
        assert overlap(foreground_mask(tile, ForegroundSettings(method=method))) > 0.99, method


def test_23_a_product_of_light_and_dark_grains_is_whole_when_blurred():
    grains = np.random.default_rng(0).choice(np.array([20, 150], np.uint8), (SIDE, SIDE))
    tile = np.where(DISC, grains, 190).astype(np.uint8)[..., None].repeat(3, axis=2)
    for method in ("otsu_dark", "otsu_border"):
        assert overlap(foreground_mask(tile, ForegroundSettings(method=method))) < 0.6
        assert overlap(foreground_mask(tile, ForegroundSettings(method=method, blur_sigma_px=2.0))) > 0.95


def test_23_pure_texture_falls_back_to_the_whole_tile():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert foreground_mask(noise, ForegroundSettings(method="grabcut")) is None
    assert foreground_mask(np.full_like(noise, 77), ForegroundSettings(method="grabcut")) is None
    assert foreground_mask(np.full_like(noise, 77), ForegroundSettings(method="otsu_dark")) is None
    assert foreground_mask(noise, ForegroundSettings(method="none")) is None


def test_23_shares_that_are_not_believed():
    tile = discs(60, 190)
    assert foreground_mask(tile, ForegroundSettings(method="otsu_dark", share_min=0.24)) is None
    assert foreground_mask(tile, ForegroundSettings(method="otsu_dark", share_max=0.22)) is None


def test_23_grabcut_is_repeatable_in_any_thread():
    photograph = cv2.resize(np.asarray(draw_texture((256, 256), random("photograph"))), (96, 64))
    photograph[16:48, 24:72] = 255 - photograph[16:48, 24:72]
    settings = ForegroundSettings(method="grabcut", share_min=0.0, share_max=1.0)
    expected = foreground_mask(photograph, settings)
    cv2.setRNGSeed(99)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: foreground_mask(photograph, settings), range(6)):
            np.testing.assert_array_equal(found, expected)


def patched(settings, count, tile=PLAIN, background=None):
    return [inject_noise_patches(tile, background, settings, random("patch", number)) for number in range(count)]


def test_12_share_and_coverage_of_noise_patches():
    samples = patched(NoisePatchSettings(), 2000)
    hit = [sample for sample in samples if sample.mask.any()]
    assert len(hit) / 2000 == pytest.approx(0.4, abs=3 * np.sqrt(0.24 / 2000))
    assert np.mean([sample.mask.mean() for sample in hit]) == pytest.approx(0.0091, rel=0.08)
    half = patched(NoisePatchSettings(probability=1.0, half_side=True), 800)
    assert np.mean([sample.mask.mean() for sample in half]) == pytest.approx(0.0337, rel=0.08)


@pytest.mark.parametrize(("half", "shortest", "longest"), [(False, 6, 25), (True, 12, 48)])
def test_12_sides_of_patches(half, shortest, longest):
    single = patched(NoisePatchSettings(probability=1.0, count=(1, 1), half_side=half), 800)
    sides = np.array([[np.ptp(np.nonzero(axis)[0]) + 1 for axis in (s.mask.any(1), s.mask.any(0))] for s in single])
    assert (sides.min(axis=0) == shortest).all()
    assert (sides.max(axis=0) == longest).all()
    assert all(sample.mask.sum() == side.prod() for sample, side in zip(single, sides, strict=True))


def test_12_square_patches_have_a_side_of_the_shorter_one_of_the_tile():
    settings, tile = NoisePatchSettings(probability=1.0, count=(1, 1), square=True), PLAIN[:160]
    sides = [(np.ptp(rows) + 1, np.ptp(columns) + 1) for rows, columns in
             (np.nonzero(sample.mask) for sample in patched(settings, 200, tile))]  # fmt: skip
    assert all(height == width for height, width in sides)
    assert (min(sides)[0], max(sides)[0]) == (4, 16)


def test_12_pixels_outside_are_untouched_and_noise_is_uniform():
    samples = patched(NoisePatchSettings(probability=1.0), 200)
    assert all((sample.pixels[~sample.mask] == 90).all() for sample in samples)
    values = np.concatenate([sample.pixels[sample.mask].ravel() for sample in samples])
    assert (values.min(), values.max()) == (0, 254)
    assert values.mean() == pytest.approx(127, abs=1)
    assert (PLAIN == 90).all()


def test_12_gaussian_noise():
    samples = patched(NoisePatchSettings(probability=1.0, noise="gaussian"), 100)
    values = np.concatenate([sample.pixels[sample.mask].ravel() for sample in samples])
    assert values.mean() == pytest.approx(127.5, abs=1)
    assert values.std() == pytest.approx(61, abs=3)


def test_12_centres_keep_off_the_background():
    settings = NoisePatchSettings(probability=1.0, count=(1, 1))
    for sample in patched(settings, 300, background=~DISC):
        rows, columns = np.nonzero(sample.mask)
        centre = (rows.min() + (np.ptp(rows) + 1) // 2, columns.min() + (np.ptp(columns) + 1) // 2)
        assert DISC[centre]
    everywhere = patched(settings, 5, background=np.ones_like(DISC))
    assert not any(sample.mask.any() or (sample.pixels != 90).any() for sample in everywhere)


def test_12_the_background_is_nearly_black_or_white_and_more_than_a_tenth():
    for ground in (0, 255):
        tile = np.where(DISC, 128, ground).astype(np.uint8)[..., None].repeat(3, axis=2)
        found = estimate_background(tile)
        inner = np.hypot(*(np.indices((SIDE, SIDE)) - 127.5)) < 56
        assert found[~DISC].all()
        assert not found[inner].any()
        assert has_background(tile)
    assert not has_background(PLAIN)
    assert not has_background(np.zeros_like(PLAIN))
