"""Thresholds, their scope, and the union of the rules."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamark.errors import ManifestError
from seamark.manifests.calibration import ImageStatistics, SplitStatistics
from seamark.masks.binarize import Binarizer, binarize_map, exceeds
from seamark.masks.components import drop_small, erode_scores, find_components, open_scores, trim_halos
from seamark.masks.mebin import PeakScale, mebin_threshold, stable_threshold
from seamark.masks.thresholds import ImageContext, mean_std_threshold
from seamark.settings.binarize import BinarizeSettings, MeanStdSettings, MebinSettings


def statistics(split, mean=1.0, std=2.0, peaks=(40.0, 200.0), quantiles=None):
    images = tuple(
        ImageStatistics(
            id=str(peak), pixels=100, minimum=0, maximum=peak, mean=mean + 10, std=std + 10, quantiles=quantiles or {}
        )
        for peak in peaks
    )
    return SplitStatistics(
        split=split,
        pixels=100 * len(peaks),
        minimum=0,
        maximum=max(peaks),
        mean=mean,
        std=std,
        quantiles={},
        images=images,
    )


def context_for(split, **facts):
    own = statistics(split, mean=5.0, std=3.0, **facts)
    validation = own if split == "validation" else statistics("validation")
    return ImageContext(validation, own, own.images[-1], validation.mean, {})


@pytest.mark.parametrize(
    ("split", "scope", "value", "sees"),
    [
        ("test_private", "validation", 1 + 3 * 2, False),
        ("test_private", "split", 5 + 3 * 3, True),
        ("test_private", "image", 15 + 3 * 13, True),
        ("test_public", "split", 5 + 3 * 3, True),
        ("validation", "validation", 5 + 3 * 3, False),
        ("validation", "split", 5 + 3 * 3, False),
        ("validation", "image", 15 + 3 * 13, False),
    ],
)
def test_scope_decides_the_statistic_and_whether_test_images_are_seen(split, scope, value, sees):
    record = mean_std_threshold(context_for(split), MeanStdSettings(scope=scope))
    assert (record.value, record.sees_test_images) == (value, sees)


@pytest.mark.parametrize(
    ("split", "sees"), [("validation", False), ("test_public", True), ("test_private_mixed", True)]
)
def test_mebin_sees_the_split_it_runs_on(split, sees):
    scores = cv2.GaussianBlur(np.random.default_rng(0).random((60, 60), np.float32) * 900, (0, 0), 6)
    only = BinarizeSettings.model_validate({"mean_std": {"enabled": False}, "mebin": {"enabled": True}})
    _, (record,) = binarize_map(scores, (60, 60), context_for(split), only)
    assert (record.rule, record.sees_test_images) == ("mebin", sees)


@pytest.mark.parametrize("mean_std", [True, False])
@pytest.mark.parametrize("mebin", [True, False])
def test_union_of_the_enabled_rules(mean_std, mebin):
    scores = np.zeros((40, 40), np.float32)
    scores[4:20, 4:20] = 200  # above both thresholds
    scores[25:39, 4:20] = 120  # above MEBin's, below mean + 60 std
    scores[30, 30] = 199  # too small for MEBin's erosion
    wanted = {"mean_std": {"enabled": mean_std, "k": 60.0}, "mebin": {"enabled": mebin}}
    if not (mean_std or mebin):
        with pytest.raises(ValueError, match="without a rule every mask would be empty"):
            BinarizeSettings.model_validate(wanted)
        return
    context = context_for("test_public", peaks=(40.0, 200.0))
    mask, records = binarize_map(scores, (40, 40), context, BinarizeSettings.model_validate(wanted))
    assert [record.rule for record in records] == ["mean_std"] * mean_std + ["mebin"] * mebin
    assert mask[10, 10]
    assert mask[30, 30] == mean_std
    assert mask[32, 10] == mebin
    assert not mask[0].any()


def test_native_scale_keeps_a_five_pixel_defect_that_the_map_scale_coarsens():
    image = np.zeros((64, 64), np.float32)
    image[30, 29:32] = image[29:32, 30] = 1.0  # a plus of 5 px
    scores = cv2.resize(cv2.GaussianBlur(image, (0, 0), 2.0), (32, 32), interpolation=cv2.INTER_AREA)
    threshold = 0.8 * float(scores.max())
    native = exceeds(scores, threshold, (64, 64), native=True)
    coarse = exceeds(scores, threshold, (64, 64), native=False)
    assert native[30, 30]
    assert find_components(native).areas.tolist() == [5]
    assert coarse.sum() % 4 == 0  # blocks of 2 x 2 image pixels
    np.testing.assert_array_equal(coarse, np.kron(scores > threshold, np.ones((2, 2))).astype(bool))


def test_native_scale_equals_half_pixel_bilinear_interpolation():
    scores = np.array([[0, 4], [8, 12]], np.float32)
    positions = np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1)
    expected = positions[:, None] * 8 + positions[None, :] * 4
    for threshold in (0.0, 3.3, 7.7, 11.9):
        np.testing.assert_array_equal(exceeds(scores, threshold, (8, 8), native=True), expected > threshold)


def test_map_scale_takes_the_nearest_map_pixel():
    scores = np.random.default_rng(0).random((7, 9), np.float32)
    rows, columns = ((np.arange(size) + 0.5) * part / size for size, part in ((24, 7), (40, 9)))
    expected = (scores > 0.5)[np.ix_(rows.astype(int), columns.astype(int))]
    np.testing.assert_array_equal(exceeds(scores, 0.5, (24, 40), native=False), expected)


@pytest.mark.parametrize("native", [True, False])
def test_comparison_is_strict_and_in_float64(native):
    score = np.float32(0.1)
    scores = np.full((4, 4), score, np.float32)
    assert not exceeds(scores, float(score), (4, 4), native=native).any()
    assert exceeds(scores, float(np.nextafter(float(score), 0.0)), (4, 4), native=native).all()
    assert not exceeds(scores, float(np.nextafter(float(score), 1.0)), (4, 4), native=native).any()
    assert not exceeds(scores, None, (6, 6), native=native).any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 7), st.integers(1, 9))
def test_eroding_scores_equals_eroding_the_mask(seed, side, level):
    scores = np.random.default_rng(seed).integers(0, 10, (19, 23)).astype(np.float32)
    scores[4:15, 3:16] += 5
    mask = (scores > level).astype(np.uint8)
    brute = np.ones_like(mask)
    for y, x in np.ndindex(mask.shape):
        top, left = max(0, y - side // 2), max(0, x - side // 2)
        window = mask[top : y + max(1, side - side // 2), left : x + max(1, side - side // 2)]
        brute[y, x] = window.all()
    np.testing.assert_array_equal(erode_scores(scores, side) > level, brute > 0)


def test_small_components_are_dropped_at_image_size():
    scores = np.zeros((20, 20), np.float32)
    scores[2:5, 2:5] = scores[10, 10] = scores[11, 11] = scores[16, 3] = 100
    context = context_for("test_public")
    areas = {}
    for smallest in (0, 2, 3, 9, 10):
        mask, _ = binarize_map(scores, (20, 20), context, BinarizeSettings(min_area_px=smallest))
        areas[smallest] = sorted(find_components(mask).areas.tolist())
    assert areas == {0: [1, 2, 9], 2: [2, 9], 3: [9], 9: [9], 10: []}
    assert not drop_small(np.zeros((3, 3), bool), 5).any()


def test_erosion_of_the_mean_std_mask_happens_at_map_scale():
    scores = np.zeros((30, 30), np.float32)
    scores[10:18, 10:18] = 100
    context = context_for("test_public")
    mask, _ = binarize_map(scores, (60, 60), context, BinarizeSettings(at="map", erode_px=6))
    assert find_components(mask).boxes == ((26, 26, 32, 32),)  # 8 px - 5 px, anchored 3 px in, times two


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 7), st.integers(0, 4))
def test_compensated_erosion_keeps_what_squares_within_the_mask_cover(seed, side, level):
    scores = cv2.blur(np.random.default_rng(seed).random((19, 23), np.float32) * 9, (5, 5))
    scores[4:12, 3:13] += 3
    mask = scores > level
    covered = mask if side <= 1 else np.zeros_like(mask)
    for y, x in np.ndindex(mask.shape):  # squares clipped by the image, as the erosion takes them
        rows = slice(max(0, y - side // 2), y + side - side // 2)
        columns = slice(max(0, x - side // 2), x + side - side // 2)
        if side > 1 and mask[rows, columns].all():
            covered[rows, columns] = True
    np.testing.assert_array_equal(open_scores(erode_scores(scores, side), side) > level, covered)


@pytest.mark.parametrize("at", ["map", "native"])
def test_compensation_gives_both_rules_their_outline_back(at):
    scores = np.zeros((40, 40), np.float32)
    scores[10:16, 7:19] = 200  # six rows: one is left of them
    scores[30:35, 7:19] = 200  # five: none
    context = context_for("test_public")
    areas = {}
    for compensate in (False, True):
        for rule in ("mean_std", "mebin"):
            wanted = {"at": at, "erode_px": 6, "compensate_erosion": compensate}
            wanted |= {name: {"enabled": name == rule} for name in ("mean_std", "mebin")}
            mask, _ = binarize_map(scores, (40, 40), context, BinarizeSettings.model_validate(wanted))
            areas[rule, compensate] = find_components(mask).boxes
    assert areas == {(rule, False): ((10, 13, 17, 14),) for rule in ("mean_std", "mebin")} | {
        (rule, True): ((7, 10, 19, 16),) for rule in ("mean_std", "mebin")
    }


@pytest.mark.parametrize("at", ["map", "native"])
@pytest.mark.parametrize("sides", [(6, 6), (0, 6), (3, 2), (0, 0)])
def test_the_mask_is_the_union_of_what_each_rule_gives_alone(at, sides):
    scores = cv2.GaussianBlur(np.random.default_rng(3).random((60, 60), np.float32) * 900, (0, 0), 4) / 3
    context = context_for("test_public", peaks=(120.0, float(scores.max())))
    both = {"at": at, "mean_std": {"k": 60.0}, "mebin": {"enabled": True, "erode_px": sides[1]}, "erode_px": sides[0]}
    masks = []
    for off in (None, "mean_std", "mebin"):
        wanted = both | ({off: {**both[off], "enabled": False}} if off else {})
        masks.append(binarize_map(scores, (90, 120), context, BinarizeSettings.model_validate(wanted))[0])
    assert masks[1].any()
    assert masks[2].any()
    np.testing.assert_array_equal(masks[0], masks[1] | masks[2])


def test_released_scores_are_taken_as_they_are():
    rng = np.random.default_rng(1)
    scores = cv2.GaussianBlur(rng.random((60, 60), np.float32), (0, 0), 4)
    scores = (scores - scores.min()) / np.ptp(scores) * np.float32(200)
    split = statistics("test_public", peaks=(40.0, 200.0))
    found = {name: mebin_threshold(scores, split, MebinSettings(scores=name, erode_px=0)) for name in ("raw", "robis")}
    assert found["robis"] == stable_threshold(scores, PeakScale(40.0, 200.0), MebinSettings(erode_px=0))
    assert found["robis"] == int(found["robis"])
    unit = 200 / 255  # the range of the split brings 200 to 255; only there is the raw threshold an integer
    assert found["raw"] / unit == pytest.approx(round(found["raw"] / unit), abs=1e-6)
    assert found["raw"] != found["robis"]


def test_released_scores_beyond_their_scale_are_refused(tmp_path):
    split = statistics("test_public", peaks=(40.0, 256.0))
    calibrations = SimpleNamespace(statistics=lambda *_: split)
    wanted = BinarizeSettings.model_validate({"mebin": {"enabled": True, "scores": "robis"}})
    maps = type("Maps", (), {"split": "test_public"})
    with pytest.raises(
        ManifestError, match=r"maps\.json: the scores of test_public reach from 0 to 256, .*set it to raw"
    ):
        Binarizer(tmp_path / "maps.json", maps, calibrations, wanted)
    Binarizer(tmp_path / "maps.json", maps, calibrations, BinarizeSettings())


@pytest.mark.parametrize("threshold", [1e39, -1e39, 0.1, float(np.float32(0.1))])
def test_comparison_does_not_round_the_threshold(threshold):
    near = np.float32(0.1)
    scores = np.array([[np.nextafter(near, np.float32(0)), near, np.nextafter(near, np.float32(1))]], np.float32)
    np.testing.assert_array_equal(
        exceeds(scores, threshold, (1, 3), native=True), scores.astype(np.float64) > np.float64(threshold)
    )


def test_a_strong_defect_loses_its_halo_and_a_weak_one_keeps_its_outline():
    scores = np.full((40, 60), 1.0, np.float32)
    scores[5:25, 5:25] = 12.0
    scores[12:18, 12:18] = 41.0
    scores[30:36, 40:50] = 12.0
    settings = BinarizeSettings(mean_std=MeanStdSettings(k=3.0), peak_share=0.5)
    mask, thresholds = binarize_map(scores, scores.shape, context_for("test_private"), settings)
    expected = np.zeros(scores.shape, bool)
    expected[12:18, 12:18] = expected[30:36, 40:50] = True
    assert np.array_equal(mask, expected)
    assert thresholds[0].value == 7.0


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99), st.floats(-2.0, 2.0))
def test_trimming_follows_its_definition_per_component(seed, share, base):
    scores = np.random.default_rng(seed).normal(0.0, 1.0, (12, 15)).astype(np.float32)
    mask = scores > 0.5
    expected = np.zeros_like(mask)
    number, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    for label in range(1, number):
        component = labels == label
        peak = float(scores[component].max()) - base
        heights = scores.astype(np.float64) - base
        expected |= component if peak <= 0.0 else component & (heights >= share * peak)
    trimmed = trim_halos(mask, scores, base, share)
    assert np.array_equal(trimmed, expected)
    assert find_components(mask).areas.size <= find_components(trimmed).areas.size
