"""Checks S-1 and S-2 of the RoBiS specification, section H.1."""

import numpy as np
import pytest

from seamark.components import fill_holes
from seamark.refine import Prompts, refine_mask
from seamark.segmenter import Patch
from seamark.settings.refine import RefineSettings


class Recorder:
    def __init__(self):
        self.calls = []

    def segment(self, image, coarse, boxes):
        self.calls.append(list(boxes))
        return [Patch(x0, y0, np.ones((y1 - y0, x1 - x0), bool)) for x0, y0, x1, y1 in boxes]


def four_components():
    mask = np.zeros((60, 60), bool)
    mask[2:6, 2:6] = mask[10:20, 10:20] = mask[30:35, 30:50] = mask[50:52, 5:10] = True
    return mask


def test_s1_three_largest_components_in_ascending_order():
    prompts = Prompts.of(four_components(), 3)
    assert prompts.boxes == ((2, 2, 6, 6), (10, 10, 20, 20), (30, 30, 50, 35))
    assert Prompts.of(four_components(), None).boxes == ((5, 50, 10, 52), *prompts.boxes)
    assert Prompts.of(four_components(), 1).boxes == ((30, 30, 50, 35),)


def test_s1_equal_areas_keep_label_order():
    mask = np.zeros((120, 120), bool)
    mask[1::4, 1::4] = True
    mask[100:103, 1:3] = True
    boxes = Prompts.of(mask, 500).boxes
    assert boxes[-1] == (1, 100, 3, 103)
    assert list(boxes[:-1]) == sorted(boxes[:-1], key=lambda box: (box[1], box[0]))


@pytest.mark.parametrize("compose", ["replace", "union", "constrained"])
def test_s1_empty_mask_gives_zero_output_without_calling_the_model(compose):
    segmenter = Recorder()
    empty = np.zeros((8, 9), bool)
    settings = RefineSettings(compose=compose)
    refined, kept_coarse = refine_mask(np.zeros((8, 9, 1), np.uint8), empty, segmenter, settings)
    assert not refined.any()
    assert kept_coarse == 0
    assert segmenter.calls == []


def test_s1_replacing_drops_what_is_not_among_the_largest():
    segmenter = Recorder()
    settings = RefineSettings(compose="replace", top_n=3)
    refined, _ = refine_mask(np.zeros((60, 60, 3), np.uint8), four_components(), segmenter, settings)
    assert segmenter.calls == [[(2, 2, 6, 6), (10, 10, 20, 20), (30, 30, 50, 35)]]
    assert refined.sum() == 16 + 100 + 100
    kept, _ = refine_mask(
        np.zeros((60, 60, 3), np.uint8), four_components(), segmenter, RefineSettings(compose="constrained", top_n=3)
    )
    np.testing.assert_array_equal(kept, four_components())


def test_s2_hole_with_an_island_is_filled():
    mask = np.zeros((14, 14), bool)
    mask[2:12, 2:12] = True
    mask[5:9, 5:9] = False
    mask[6, 6] = True
    assert mask.sum() == 85
    assert fill_holes(mask).sum() == 100


def test_s2_filling_is_idempotent_and_never_removes_pixels():
    rng = np.random.default_rng(0)
    for _ in range(30):
        mask = rng.random((20, 25)) < 0.6
        filled = fill_holes(mask)
        assert not (mask & ~filled).any()
        np.testing.assert_array_equal(fill_holes(filled), filled)


def test_s2_holes_are_bounded_diagonally_and_open_at_the_border():
    ring = np.zeros((5, 5), bool)
    ring[1, 2] = ring[2, 1] = ring[2, 3] = ring[3, 2] = True
    assert fill_holes(ring).sum() == 5
    corner = np.zeros((4, 4), bool)
    corner[0, 1] = corner[1, 0] = True
    assert fill_holes(corner).sum() == 2
