"""Checks E-1 to E-8 of docs/methods/robis.md#checks."""

import cv2
import numpy as np
import pytest

from seamark.files.images import write_mask
from seamark.manifests.calibration import SplitStatistics
from seamark.maps.calibration import image_statistics, pooled_moments
from seamark.maps.float16_scores import score_histogram
from seamark.masks.binarize import binarize_map, exceeds
from seamark.masks.component_tree import component_counts, first_steps
from seamark.masks.components import count_components, erode_scores, find_components
from seamark.masks.mebin import PeakScale, choose_interval, entry_scores, mebin_threshold, stable_threshold
from seamark.masks.thresholds import ImageContext
from seamark.settings.binarize import BinarizeSettings, MebinSettings

SETTINGS = MebinSettings(enabled=True)


def block(shape, rows, columns, value=1.0):
    scores = np.zeros(shape, np.float32)
    scores[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = value
    return scores


def eroded_pixels(scores):
    return np.argwhere(erode_scores(scores, 6) > 0)


def counts_of(scores, weakest, strongest, erode_px=6):
    entries = entry_scores(PeakScale(weakest, strongest), 4)
    return component_counts(first_steps(scores, entries, erode_px), entries.size)


def unit_threshold(*runs):
    counts = [count for count, length in runs for _ in range(length)]
    assert len(counts) == 64
    interval = choose_interval(counts, 4)
    return (255, 0) if interval is None else (255 - 4 * interval.end, interval.count)


def split_of(maps):
    images = [image_statistics(f"{number:03d}", one, score_histogram(one)) for number, one in enumerate(maps)]
    mean, std = pooled_moments(images)
    return SplitStatistics(
        split="test_private",
        pixels=sum(image.pixels for image in images),
        minimum=min(image.minimum for image in images),
        maximum=max(image.maximum for image in images),
        mean=mean,
        std=std,
        quantiles={},
        images=tuple(images),
    )


def test_e1_erosion_of_interior_blocks():
    assert eroded_pixels(block((24, 24), (5, 10), (7, 12))).tolist() == [[8, 10]]
    assert eroded_pixels(block((24, 24), (5, 9), (7, 12))).size == 0
    pixels = eroded_pixels(block((24, 24), (5, 16), (4, 13)))
    assert len(pixels) == 35
    assert pixels.min(axis=0).tolist() == [8, 7]
    assert pixels.max(axis=0).tolist() == [14, 11]


@pytest.mark.parametrize(("thick", "left"), [(2, 0), (3, 1), (5, 3), (9, 7)])
def test_e1_bands_at_the_top_and_left_lose_two_rows(thick, left):
    top = erode_scores(block((30, 30), (0, thick - 1), (0, 29)), 6) > 0
    assert top.any(axis=1).sum() == left
    np.testing.assert_array_equal(erode_scores(block((30, 30), (0, 29), (0, thick - 1)), 6) > 0, top.T)


@pytest.mark.parametrize(("thick", "left"), [(3, 0), (4, 1), (5, 2), (9, 6)])
def test_e1_bands_at_the_bottom_and_right_lose_three_rows(thick, left):
    bottom = erode_scores(block((30, 30), (30 - thick, 29), (0, 29)), 6) > 0
    assert bottom.any(axis=1).sum() == left
    np.testing.assert_array_equal(erode_scores(block((30, 30), (0, 29), (30 - thick, 29)), 6) > 0, bottom.T)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param([(0, 10), (1, 20), (2, 34)], (3, 2), id="longest"),
        pytest.param([(0, 4), (1, 10), (2, 3), (3, 10), (0, 37)], (203, 1), id="tie-first-recorded"),
        pytest.param([(1, 5), (2, 4), (1, 5), (0, 50)], (203, 1), id="tie-last-run"),
        pytest.param([(1, 5), (2, 6), (1, 6), (0, 47)], (191, 1), id="first-recorded-value-longest-run"),
        pytest.param([(0, 64)], (255, 0), id="all-zero"),
        pytest.param([(1, 3), (2, 3)] * 10 + [(1, 3), (0, 1)], (255, 0), id="only-runs-of-three"),
        pytest.param([(0, 60), (7, 4)], (3, 7), id="run-of-four-at-the-end"),
        pytest.param([(0, 61), (7, 3)], (255, 0), id="run-of-three-at-the-end"),
    ],
)
def test_e2_interval_selection(runs, expected):
    assert unit_threshold(*runs) == expected


@pytest.mark.parametrize(("faint", "pixels", "components"), [(120.0, 49, 1), (120.5, 98, 2)])
def test_e3_threshold_is_truncated(faint, pixels, components):
    scores = block((40, 40), (5, 16), (5, 16), 200) + block((40, 40), (22, 33), (22, 33), faint)
    threshold = stable_threshold(scores, PeakScale(80.0, 200.0), SETTINGS)
    assert threshold == 120.0
    mask = erode_scores(scores, 6) > threshold
    assert mask.sum() == pixels
    assert count_components(mask) == components
    assert find_components(mask).boxes[0] == (8, 8, 15, 15)


def test_e3_counts_and_the_map_with_the_weakest_peak():
    scores = block((40, 40), (5, 16), (5, 16), 200) + block((40, 40), (22, 33), (22, 33), 120)
    counts = counts_of(scores, 80.0, 200.0)
    assert counts == [0] + [1] * 42 + [2] * 21
    assert choose_interval(counts, 4).end == 42
    weak = block((40, 40), (5, 16), (5, 16), 80)
    assert stable_threshold(weak, PeakScale(80.0, 200.0), SETTINGS) is None


def test_e3_without_truncation_the_counted_level_is_kept():
    scores = block((40, 40), (5, 16), (5, 16), 200) + block((40, 40), (22, 33), (22, 33), 120.5)
    threshold = stable_threshold(scores, PeakScale(80.0, 200.0), MebinSettings(enabled=True, truncate=False))
    assert threshold == pytest.approx(87 * 120 / 255 + 80)
    assert (erode_scores(scores, 6) > threshold).sum() == 49


def test_e4_nested_and_separate_blocks():
    scores = block((64, 64), (4, 27), (4, 27), 150)
    scores[10:22, 10:22] = 250
    scores += block((64, 64), (40, 51), (40, 51), 100)
    assert counts_of(scores, 40.0, 250.0) == [0] + [1] * 45 + [2] * 18
    threshold = stable_threshold(scores, PeakScale(40.0, 250.0), SETTINGS)
    assert threshold == 101
    mask = erode_scores(scores, 6) > threshold
    assert mask.sum() == 361
    assert find_components(mask).boxes == ((7, 7, 26, 26),)


def test_e5_mean_and_three_std():
    maps = np.zeros((2, 10, 10), np.float32)
    maps[0, 3, 4] = 100
    split = split_of(maps)
    assert split.mean == pytest.approx(0.5, abs=1e-12)
    assert split.std == pytest.approx(7.053368, abs=1e-6)
    assert split.mean + 3 * split.std == pytest.approx(21.660105, rel=1e-6)  # the golden number is float32 arithmetic


def smooth_maps(count, seed=0, shape=(72, 88)):
    rng = np.random.default_rng(seed)
    maps = [cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), 5) for _ in range(count)]
    return [one * np.float32(rng.uniform(0.5, 3)) - np.float32(1) for one in maps]


def mebin_masks(maps, settings=SETTINGS):
    split = split_of(maps)
    masks = []
    for one in maps:
        eroded = erode_scores(one, settings.erode_px)
        masks.append(exceeds(eroded, mebin_threshold(one, split, settings), one.shape, native=True))
    return masks


def test_e6_weakest_peak_gives_an_empty_mask():
    maps = smooth_maps(5)
    peaks = [one.max() for one in maps]
    masks = mebin_masks(maps)
    assert not masks[int(np.argmin(peaks))].any()
    assert masks[int(np.argmax(peaks))].any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, -3.5, 7.0])
def test_e6_equal_peaks_give_empty_masks_without_an_exception(value):
    blob = smooth_maps(1)[0]
    assert not any(mask.any() for mask in mebin_masks([blob, np.rot90(blob).copy()]))
    assert not any(mask.any() for mask in mebin_masks([np.full((20, 20), value, np.float32)] * 3))
    assert not mebin_masks([blob])[0].any()


def test_e7_permuting_the_images_permutes_the_masks():
    maps = smooth_maps(4, seed=2)
    order = [2, 0, 3, 1]
    masks = mebin_masks(maps)
    assert sum(mask.any() for mask in masks) == 3
    for number, mask in zip(order, mebin_masks([maps[number] for number in order]), strict=True):
        np.testing.assert_array_equal(mask, masks[number])


def test_e7_threshold_depends_on_its_own_split_only():
    maps, others = smooth_maps(3, seed=4), smooth_maps(3, seed=5)
    before = [mebin_threshold(one, split_of(maps), SETTINGS) for one in maps]
    split_of(others)
    assert before == [mebin_threshold(one, split_of(maps), SETTINGS) for one in maps]
    assert any(value is not None for value in before)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("erode_px", [0, 6])
def test_e7_counts_equal_brute_force_at_all_levels(seed, erode_px):
    rng = np.random.default_rng(seed)
    scores = cv2.GaussianBlur(rng.random((50, 60), np.float32), (0, 0), rng.uniform(0.6, 4))
    scores = (scores - scores.min()) / np.ptp(scores) * 255
    brute = []
    for step in range(64):
        mask = (scores > 255 - 4 * step).astype(np.uint8)
        if erode_px:
            mask = cv2.erode(mask, np.ones((erode_px, erode_px), np.uint8))
        brute.append(cv2.connectedComponents(mask, connectivity=8)[0] - 1)
    assert counts_of(scores, 0.0, 255.0, erode_px) == brute
    assert counts_of(erode_scores(scores, erode_px), 0.0, 255.0, 0) == brute  # one grey erosion serves all levels
    assert max(brute) > 0


def test_e8_fused_mask_contains_each_branch():
    strong = block((60, 60), (5, 24), (5, 24), 200) + block((60, 60), (40, 55), (5, 20), 150)
    strong[30:32, 5:55] = 250  # too thin for MEBin's erosion
    maps = [strong, block((60, 60), (5, 24), (5, 24), 80)]
    split = split_of(maps)
    context = ImageContext(split, split, split.images[0], split.mean, {})
    both = {"mean_std": {"k": 2.5}, "mebin": {"enabled": True}}
    fused, thresholds = binarize_map(strong, (120, 120), context, BinarizeSettings.model_validate(both))
    for single in ({"mebin": {"enabled": False}}, {"mean_std": {"enabled": False}}):
        mask, _ = binarize_map(strong, (120, 120), context, BinarizeSettings.model_validate({**both, **single}))
        assert mask.any()
        assert not (mask & ~fused).any()
        assert mask.sum() < fused.sum()
    assert [threshold.rule for threshold in thresholds] == ["mean_std", "mebin"]


def test_e8_masks_hold_0_and_255_only(tmp_path):
    maps = [block((72, 88), (5, 24), (5, 24), 200), block((72, 88), (5, 24), (5, 24), 80)]
    split = split_of(maps)
    both = BinarizeSettings.model_validate({"erode_px": 6, "mebin": {"enabled": True}})
    mask, _ = binarize_map(maps[0], (72, 88), ImageContext(split, split, split.images[0], split.mean, {}), both)
    write_mask(tmp_path / "mask.png", mask)
    stored = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
    assert (stored.dtype, stored.shape) == (np.uint8, (72, 88))
    assert np.unique(stored).tolist() == [0, 255]


def test_e8_diagonal_neighbours_are_one_component():
    assert count_components(np.eye(5, dtype=bool)) == 1
    assert len(find_components(np.eye(5, dtype=bool)[:, ::-1].copy()).boxes) == 1
