"""Refinement with GrabCut and its composition with the coarse mask."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from seamark.masks.components import find_components
from seamark.masks.grabcut import GrabCut, crop_window, initial_labels, is_evident
from seamark.masks.refine import compose, refine_mask
from seamark.masks.segmenter import Patch
from seamark.settings.refine import GrabCutSettings, RefineSettings

ALWAYS = {"accept": "always"}
DEFAULT = RefineSettings(**ALWAYS)


def scene(seed, contrast=60, channels=3, size=160):
    """Draw a crisp ellipse on a texture, and the generous coarse mask that a blurred map of it gives."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (size, size)), (0, 0), 1.5)
    truth = np.zeros((size, size), np.uint8)
    centre, axes = rng.integers(60, 100, 2).tolist(), rng.integers(8, 26, 2).tolist()
    cv2.ellipse(truth, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    pixels = 120 + 12 * texture / texture.std() + contrast * truth + rng.normal(0, 4, (size, size))
    heat = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 8)
    image = np.repeat(np.clip(pixels, 0, 255).astype(np.uint8)[:, :, None], channels, axis=2)
    return image, truth > 0, heat > 0.15 * heat.max()


def flat(shape):
    return np.zeros(shape, np.float32)


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def refined_by(image, coarse, settings=DEFAULT):
    return refine_mask(image, coarse, flat(coarse.shape), GrabCut(settings.grabcut), settings)


@pytest.mark.parametrize("compose_as", ["constrained", "replace"])
@pytest.mark.parametrize("channels", [1, 3])
def test_too_generous_masks_shrink_onto_the_defect(compose_as, channels):
    settings = RefineSettings(**ALWAYS, compose=compose_as)
    before, after = [], []
    for seed in range(10):
        image, truth, coarse = scene(seed, channels=channels)
        before.append(iou(coarse, truth))
        after.append(iou(refined_by(image, coarse, settings)[0], truth))
    assert np.mean(before) < 0.5
    assert np.mean(after) > 0.85
    assert all(new > old for old, new in zip(before, after, strict=True))


def test_grey_and_equal_channels_give_the_same_mask():
    image, _, coarse = scene(3)
    np.testing.assert_array_equal(refined_by(image, coarse)[0], refined_by(image[:, :, :1], coarse)[0])


def test_constrained_stays_near_and_union_contains_the_coarse_mask():
    image, _, coarse = scene(4)
    small = cv2.erode(coarse.astype(np.uint8), np.ones((9, 9))) > 0
    distance = cv2.distanceTransform((~small).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    for reach in (0, 3, 9):
        refined, _ = refined_by(image, small, RefineSettings(**ALWAYS, constrain_px=reach, fill_holes=False))
        assert refined.any()
        assert distance[refined].max() <= reach + 0.5
    union, _ = refined_by(image, coarse, RefineSettings(**ALWAYS, compose="union"))
    assert not (coarse & ~union).any()


@pytest.mark.parametrize("compose_as", ["replace", "union", "constrained"])
@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("one pixel", np.s_[50:51, 60:61]),
        ("corner pixel", np.s_[0:1, 0:1]),
        ("line", np.s_[20:21, 0:90]),
        ("border band", np.s_[70:90, 0:100]),
        ("whole image", np.s_[:, :]),
        ("all but a corner", np.s_[1:, :]),
    ],
)
def test_no_component_vanishes(name, window, compose_as):
    coarse = np.zeros((90, 100), bool)
    coarse[window] = True
    for image in (
        np.full((90, 100, 1), 77, np.uint8),
        np.random.default_rng(0).integers(0, 256, (90, 100, 3), np.uint8),
    ):
        refined, kept = refined_by(image, coarse, RefineSettings(**ALWAYS, compose=compose_as))
        assert (refined & coarse).any()
        if name in ("one pixel", "corner pixel", "whole image"):
            assert kept == 1
            np.testing.assert_array_equal(refined, coarse)


class Stub:
    """Answers each box with a fixed patch."""

    def __init__(self, *patches):
        self.patches = list(patches)

    def segment(self, image, coarse, scores, boxes):
        return self.patches


@pytest.mark.parametrize("compose_as", ["replace", "union", "constrained"])
def test_coarse_component_is_kept_and_counted_where_nothing_is_found(compose_as):
    coarse = np.zeros((50, 60), bool)
    coarse[5:8, 5:8] = coarse[20:30, 30:50] = True
    stub = Stub(Patch(0, 0, np.zeros((9, 9), bool)), Patch(32, 22, np.ones((4, 5), bool)))
    settings = RefineSettings(**ALWAYS, compose=compose_as, constrain_px=2)
    refined, kept = refine_mask(np.zeros((50, 60, 1), np.uint8), coarse, flat((50, 60)), stub, settings)
    assert kept == 1
    assert refined[5:8, 5:8].all()
    assert refined[20:30, 30:50].sum() == (200 if compose_as == "union" else 20)


def test_constrained_segment_that_misses_its_component_is_replaced_by_it():
    coarse = np.zeros((50, 60), bool)
    coarse[5:8, 5:8] = True
    far = Stub(Patch(40, 40, np.ones((5, 5), bool)))
    refined, kept = refine_mask(np.zeros((50, 60, 1), np.uint8), coarse, flat((50, 60)), far, DEFAULT)
    assert kept == 1
    np.testing.assert_array_equal(refined, coarse)


@pytest.mark.parametrize(
    ("compose_as", "expected"), [("replace", [1, 1, 0, 0]), ("union", [1, 1, 1, 0]), ("constrained", [0, 1, 0, 0])]
)
def test_composition_truth_table(compose_as, expected):
    segmented = np.array([[1, 1, 0, 0]], bool)
    component = np.array([[0, 1, 1, 0]], bool)
    settings = RefineSettings(**ALWAYS, compose=compose_as, constrain_px=0)
    assert compose(segmented, component, settings).astype(int).tolist() == [expected]


def test_holes_are_filled_only_on_demand():
    ring = np.ones((9, 9), bool)
    ring[3:6, 3:6] = False
    coarse = np.zeros((20, 20), bool)
    coarse[4:13, 4:13] = True
    for fill, pixels in ((True, 81), (False, 72)):
        settings = RefineSettings(**ALWAYS, compose="replace", fill_holes=fill)
        refined, _ = refine_mask(
            np.zeros((20, 20, 1), np.uint8), coarse, flat((20, 20)), Stub(Patch(4, 4, ring)), settings
        )
        assert refined.sum() == pixels


def test_result_does_not_depend_on_threads_or_on_earlier_images():
    scenes = [scene(seed, contrast=20) for seed in range(8)]
    alone = [refined_by(image, coarse)[0] for image, _, coarse in scenes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: refined_by(one[0], one[2])[0], scenes * 3))
    for number, mask in enumerate(together):
        np.testing.assert_array_equal(mask, alone[number % 8])
    threads = cv2.getNumThreads()
    try:
        for count in (1, 3):
            cv2.setNumThreads(count)
            for (image, _, coarse), mask in zip(reversed(scenes), reversed(alone), strict=True):
                np.testing.assert_array_equal(refined_by(image, coarse)[0], mask)
    finally:
        cv2.setNumThreads(threads)


def test_large_crops_are_shrunk_and_thin_parts_survive():
    image, truth, coarse = scene(5)
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    truth, coarse = (np.kron(one, np.ones((4, 4))).astype(bool) for one in (truth, coarse))
    refined, _ = refined_by(large, coarse, RefineSettings(**ALWAYS, grabcut=GrabCutSettings(crop_max_px=64)))
    assert refined.shape == coarse.shape
    assert iou(coarse, truth) < 0.6 < iou(refined, truth)
    line = np.zeros((400, 400), bool)
    line[200, 10:390] = True
    refined, _ = refined_by(
        np.full((400, 400, 1), 9, np.uint8), line, RefineSettings(**ALWAYS, grabcut=GrabCutSettings(crop_max_px=64))
    )
    assert (refined & line).any()


def test_crop_and_initial_labels():
    settings = GrabCutSettings(margin=0.5, margin_min_px=4)
    assert crop_window((10, 10, 30, 14), (50, 60), settings) == (0, 0, 40, 24)
    assert crop_window((0, 40, 4, 50), (50, 60), settings) == (0, 35, 9, 50)
    coarse = np.zeros((12, 14), bool)
    coarse[3:8, 3:8] = True
    coarse[10, 12] = True
    labels = initial_labels(coarse, (3, 3, 9, 9))
    assert labels[5, 5] == cv2.GC_FGD
    assert (labels == cv2.GC_FGD).sum() == 1
    assert labels[3, 3] == cv2.GC_PR_FGD
    assert labels[8, 8] == cv2.GC_PR_BGD
    assert labels[10, 12] == labels[0, 0] == cv2.GC_BGD


def test_a_sliver_of_texture_is_not_believed_but_a_small_vivid_defect_is():
    crop = np.random.default_rng(0).normal(120, 10, (60, 60, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    cut = np.zeros((60, 60), bool)
    cut[30:32, 30:33] = True
    assert not is_evident(crop, cut, 1000)
    assert is_evident(crop, cut, 40)
    crop[cut] = 200
    assert is_evident(crop, cut, 1000)
    assert is_evident(crop, np.zeros_like(cut), 1000)


def test_most_defects_that_no_colour_shows_keep_their_coarse_mask():
    scenes = [scene(seed, contrast=0) for seed in range(12)]
    kept = [refined_by(image, coarse)[1] for image, _, coarse in scenes]
    assert sum(kept) >= 6
    for (image, _, coarse), count in zip(scenes, kept, strict=True):
        if count:
            np.testing.assert_array_equal(refined_by(image, coarse)[0], coarse)


def test_component_labels_do_not_depend_on_opencv_threads():
    mask = np.random.default_rng(1).random((300, 320)) < 0.3
    threads = cv2.getNumThreads()
    try:
        found = []
        for count in (1, 2, 5):
            cv2.setNumThreads(count)
            found.append(find_components(mask))
    finally:
        cv2.setNumThreads(threads)
    for other in found[1:]:
        np.testing.assert_array_equal(other.labels, found[0].labels)
