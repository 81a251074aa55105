"""Extents of defects: drawn maps with a known best contour, and what holds for every map."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tests.unit.test_binarize import statistics

from seamark.maps.fusion import Layer
from seamark.masks.binarize import binarize_map
from seamark.masks.components import grow_components
from seamark.masks.extents import Outline, draw_extents, drop_covered
from seamark.masks.thresholds import ImageContext
from seamark.settings.binarize import BinarizeSettings

SHAPE = (240, 320)
REACH = 16
OUTLINE = Outline(floor=1.0, base=0.0, share=0.45, reach=float(REACH))
SEED = 3.0
rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]


def disc(y, x, radius):
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def lifted(truth, height, reach=REACH):
    """Scores as features give them: the defect, seen as far as they reach, and blurred."""
    away = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    return height * cv2.GaussianBlur((away <= reach).astype(np.float32), (0, 0), reach / 3.0)


def drawn(scores, outline=OUTLINE):
    return draw_extents(scores.astype(np.float32), scores > SEED, outline)


def f1(mask, truth):
    return 2.0 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))


def ripple(height):
    return height * cv2.GaussianBlur(np.random.default_rng(2).normal(0, 1, SHAPE).astype(np.float32), (0, 0), 6)


@pytest.mark.parametrize(
    ("truth", "scores", "least"),
    [
        (disc(120, 160, 10), lifted(disc(120, 160, 10), 9.0), 0.9),
        (disc(120, 160, 80), lifted(disc(120, 160, 80), 9.0) + ripple(2.0), 0.9),
        (disc(120, 160, 80), lifted(disc(120, 160, 80), 9.0), 0.95),
        (disc(120, 160, 30), lifted(disc(120, 160, 30), 9.0) + 0.9 + columns / SHAPE[1], 0.85),
        (disc(120, 160, 30), lifted(disc(120, 160, 30), 9.0) + 2.5 * columns / SHAPE[1], 0.8),
    ],
    ids=["pit", "plateau with ripple", "plateau", "gradient at the floor", "gradient above the floor"],
)
def test_one_rule_draws_a_pit_and_a_missing_part(truth, scores, least):
    assert f1(drawn(scores), truth) >= least
    assert f1(grow_components(scores > SEED, scores > OUTLINE.floor), truth) < least


def test_without_a_reach_a_component_ends_at_the_share_of_its_peak():
    scores = lifted(disc(120, 160, 40), 9.0)
    mask = drawn(scores, Outline(floor=1.0, base=1.0, share=0.5, reach=0.0))
    assert np.array_equal(mask, scores >= 1.0 + 0.5 * (scores.max() - 1.0))


@pytest.mark.parametrize(
    ("strong", "weak", "heights"),
    [
        (disc(120, 90, 12), disc(120, 160, 12), (20.0, 5.0)),
        (disc(120, 60, 10), disc(120, 200, 70), (20.0, 5.0)),
        (disc(120, 90, 30), disc(120, 190, 30), (9.0, 9.0)),
    ],
    ids=["a weak pit beside a strong one", "a plateau beside a peak", "two alike"],
)
def test_neither_of_two_defects_in_one_component_vanishes(strong, weak, heights):
    scores = np.maximum(lifted(strong, heights[0]), lifted(weak, heights[1])) + np.float32(1.1)
    assert len(np.unique(cv2.connectedComponents((scores > OUTLINE.floor).astype(np.uint8))[1])) == 1
    mask = drawn(scores)
    for truth in (strong, weak):
        near = lifted(truth, 1.0) > 0.1
        assert f1(mask & near, truth) > 0.8


def test_the_flank_of_a_strong_defect_is_no_second_one():
    truth = disc(120, 160, 10)
    away = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    scores = (40.0 * np.exp(-away / 30.0)).astype(np.float32)
    assert (
        np.count_nonzero(cv2.dilate(drawn(scores).astype(np.uint8), np.ones((5, 5), np.uint8)))
        < (scores > SEED).sum() / 4
    )
    assert cv2.connectedComponents(drawn(scores).astype(np.uint8))[0] == 2


@examples(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(-3, 3), st.integers(-8, 8), st.integers(0, 9))
def test_what_holds_for_every_map(seed, octave, offset, reach):
    random = np.random.default_rng(seed)
    scores = cv2.GaussianBlur(random.normal(0, 20, (60, 80)).astype(np.float32), (0, 0), 3)
    scores = np.round(scores * 64) / np.float32(64)
    seeds, floor = scores > 2.0, 0.5
    mask = draw_extents(scores, seeds, Outline(floor, 0.25, 0.5, reach))
    wide = grow_components(seeds, scores > floor)
    assert not (mask & ~wide).any()
    number, labels = cv2.connectedComponents(wide.view(np.uint8), connectivity=8)
    for label in range(1, number):
        part = np.where(labels == label, scores, -np.inf)
        assert mask[part == part.max()].all()
    square = np.ones((2 * max(1, reach) + 1,) * 2, np.uint8)
    separate = seeds & (scores >= cv2.dilate(scores, square))
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert not (separate & (away > reach)).any()
    unit = np.float32(2.0**octave)
    scaled = scores * unit + np.float32(offset)
    other = Outline(floor * unit + offset, 0.25 * unit + offset, 0.5, reach)
    assert np.array_equal(draw_extents(scaled.astype(np.float32), seeds, other), mask)


def context_of(floor, base):
    """Statistics whose medians over the images are floor and base; one odd image moves neither."""
    normal = statistics("validation", peaks=(2.0, 3.0, 90.0))
    images = [
        image.model_copy(update={"quantiles": {"0.5": base + step, "0.99": floor + step}})
        for image, step in zip(normal.images, (-0.5, 0.0, 70.0), strict=True)
    ]
    normal = normal.model_copy(update={"images": tuple(images)})
    return ImageContext(normal, normal, images[0], 1.0, {})


def peaks_and_extent(**changes):
    rules = {"mean_std": {"enabled": False}, "peaks": {"enabled": True}, "extent": {"enabled": True}}
    return BinarizeSettings.model_validate(rules | changes)


@pytest.mark.parametrize("at", ["native", "map"])
def test_a_map_of_any_scale_gives_the_extent_in_image_pixels(at):
    truth = disc(120, 160, 40)
    scores = cv2.resize(lifted(truth, 9.0), (160, 120), interpolation=cv2.INTER_AREA)
    settings = peaks_and_extent(at=at)
    layers = [Layer(scores, REACH / settings.extent.reach_cells)]
    mask, thresholds = binarize_map(scores, SHAPE, context_of(1.0, 0.0), settings, layers)
    assert f1(mask, truth) > 0.95
    assert [(one.rule, one.normal) for one in thresholds] == [("peaks", "validation"), ("extent", "validation")]
    assert thresholds[1].value == 1.0
    assert thresholds[0].value == pytest.approx(2.0 + 0.9 * (3.0 - 2.0))


def test_each_member_draws_with_the_reach_of_its_own_cells():
    small, pit, part = disc(60, 60, 10), disc(180, 60, 20), disc(120, 220, 50)
    seen = [
        np.maximum(lifted(small, 9.0), lifted(pit, 9.0)),
        lifted(pit, 9.0, 2 * REACH) + lifted(part, 9.0, 2 * REACH),
    ]
    fused, context, settings = np.maximum(*seen), context_of(1.0, 0.0), peaks_and_extent()
    cell_px = REACH / settings.extent.reach_cells

    def drawn_on(*layers):
        return binarize_map(fused, SHAPE, context, settings, layers)[0]

    fine, coarse = Layer(seen[0], cell_px), Layer(seen[1], 2 * cell_px)
    mask = drawn_on(fine, coarse)
    assert min(f1(mask & (lifted(truth, 1.0) > 0.1), truth) for truth in (small, pit, part)) > 0.8
    assert f1(drawn_on(Layer(fused, cell_px)) & (columns > 120), part) < 0.8
    for layer, where in ((fine, columns <= 120), (coarse, columns > 120)):
        assert np.array_equal(mask & where, drawn_on(layer) & where)


@pytest.mark.parametrize(("covered", "kept"), [(0, True), (10, True), (11, False), (20, False)])
def test_what_finer_cells_have_drawn_by_more_than_half_is_left_to_them(covered, kept):
    mask, finer = (np.zeros((10, 40), dtype=bool) for _ in range(2))
    mask[2:4, 5:15] = mask[6:8, 20:35] = True
    finer.ravel()[np.flatnonzero(mask[:5].ravel())[:covered]] = True
    left = drop_covered(mask, finer)
    assert left[:5].any() == kept
    assert np.array_equal(left[5:], mask[5:])


def test_the_floor_is_never_above_the_lowest_threshold_and_united_rules_give_the_seeds():
    scores = lifted(disc(120, 80, 30), 9.0) + lifted(disc(120, 240, 30), 2.5)
    settings = BinarizeSettings.model_validate(
        {"mean_std": {"k": 0.5}, "peaks": {"enabled": True}, "extent": {"enabled": True}}
    )
    mask, thresholds = binarize_map(scores, SHAPE, context_of(3.5, 0.0), settings)
    assert {one.rule: one.value for one in thresholds}["extent"] == 2.0  # mean 1 and std 2
    assert mask[:, :160].any()
    assert mask[:, 160:].any()
    alone = settings.model_copy(update={"mean_std": settings.mean_std.model_copy(update={"enabled": False})})
    assert not binarize_map(scores, SHAPE, context_of(3.5, 0.0), alone)[0][:, 160:].any()


def test_a_component_is_as_large_as_its_disc_without_the_reach():
    scores = np.where(disc(120, 160, 50), 9.0, 0.0) - np.hypot(rows - 120, columns - 160) * 1e-3
    area = np.count_nonzero(scores > SEED)
    wanted = int(area * (1.0 - REACH / math.sqrt(area / math.pi)) ** 2)
    mask = drawn(scores)
    assert wanted <= np.count_nonzero(mask) <= wanted + 8  # ties at the cut
    assert scores[mask].min() >= scores[disc(120, 160, 50) & ~mask].max()


def test_what_hardly_exceeds_the_threshold_stays_small():
    hill = np.exp(-((rows - 120) ** 2 + (columns - 160) ** 2) / 5000.0)
    areas = {}
    for depth in (3.0, 1000.0):
        outline = Outline(floor=1.0, base=0.0, share=0.45, reach=0.0, threshold=SEED, depth=depth)
        areas[depth] = [np.count_nonzero(drawn(height * SEED * hill, outline)) for height in (1.01, 1.1, 2.0)]
    assert 0 < areas[3.0][0] < areas[3.0][1] < areas[3.0][2] == areas[1000.0][2]
    assert areas[3.0][0] < areas[1000.0][0] / 10
