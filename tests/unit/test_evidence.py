"""The anomaly map's say on a refined region, and the guided filter that draws one."""

import cv2
import numpy as np
import pytest

from seamark.masks.evidence import bears_out
from seamark.masks.guided import guided_filter
from seamark.masks.refine import refine_mask, segmenter_for
from seamark.masks.segmenter import Patch
from seamark.settings.refine import GuidedSettings, RefineSettings

SHAPE = (120, 120)
FAR = np.hypot(*(np.mgrid[: SHAPE[0], : SHAPE[1]] - 60.0))
"""Distance of each pixel from the middle."""


def disc(radius):
    return radius >= FAR


def blurred(radius, sigma=8.0):
    """Scores of a disc, as features and smoothing spread them."""
    return cv2.GaussianBlur(disc(radius).astype(np.float32), (0, 0), sigma)


WIDE = blurred(24) > 0.15
GRAINS = WIDE & (np.random.default_rng(0).random(SHAPE) < 0.3)
TIP = blurred(24) > 0.8


@pytest.mark.parametrize(
    ("coarse", "refined", "borne_out"),
    [
        pytest.param(WIDE, disc(24), True, id="the true outline"),
        pytest.param(WIDE, WIDE, True, id="the component itself"),
        pytest.param(disc(20), disc(24), True, id="a little more"),
        pytest.param(WIDE, GRAINS, False, id="grains of texture"),
        pytest.param(WIDE, WIDE & (FAR > 12), False, id="without its seeds"),
        pytest.param(WIDE, disc(2), False, id="a sliver at the peak"),
        pytest.param(WIDE, np.ones(SHAPE, bool), False, id="a flood"),
        pytest.param(WIDE, disc(55), False, id="nearly a flood"),
        pytest.param(WIDE, disc(22), True, id="three quarters of a wide component"),
        pytest.param(TIP, disc(8), False, id="half of a component that was cut near its peak"),
        pytest.param(np.ones(SHAPE, bool), disc(24), False, id="of a flood, less than its core"),
    ],
)
def test_what_the_map_bears_out(coarse, refined, borne_out):
    scores = blurred(24)
    assert bears_out(scores, coarse, refined) is borne_out
    assert bears_out(100 * scores + 7, coarse, refined) is borne_out


@pytest.mark.parametrize("method", ["grabcut", "sam", "guided"])
@pytest.mark.parametrize(("found", "kept"), [(disc(24), 0), (GRAINS, 1)])
def test_a_component_stays_coarse_and_is_counted_where_the_map_speaks_against_what_is_found(method, found, kept):
    class Answer:
        def segment(self, image, coarse, scores, boxes):
            return [Patch(0, 0, found)]

    image = np.zeros((*SHAPE, 1), np.uint8)
    settings = RefineSettings(method=method, fill_holes=False)
    refined, count = refine_mask(image, WIDE, blurred(24), Answer(), settings)
    assert count == kept
    np.testing.assert_array_equal(refined, WIDE if kept else found)
    always, count = refine_mask(image, WIDE, blurred(24), Answer(), settings.model_copy(update={"accept": "always"}))
    assert count == 0
    np.testing.assert_array_equal(always, found)


def test_the_guided_filter_is_the_one_of_the_paper():
    rng = np.random.default_rng(1)
    guide, scores = rng.random((2, 14, 17)).astype(np.float32)
    radius, epsilon = 2, 0.01
    a, b = np.zeros((2, 14, 17))

    def around(array, row, column):
        mirrored = np.pad(array.astype(np.float64), radius, "reflect")
        return mirrored[row : row + 2 * radius + 1, column : column + 2 * radius + 1]

    for place in np.ndindex(guide.shape):
        seen, filtered = around(guide, *place), around(scores, *place)
        a[place] = np.mean((seen - seen.mean()) * (filtered - filtered.mean())) / (seen.var() + epsilon)
        b[place] = filtered.mean() - a[place] * seen.mean()
    expected = [around(a, *place).mean() * guide[place] + around(b, *place).mean() for place in np.ndindex(guide.shape)]
    found = guided_filter(guide, scores, GuidedSettings(radius_px=radius, epsilon=epsilon))
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-6)


@pytest.mark.parametrize(("contrast", "like"), [(90, disc(24)), (0, blurred(24) > 0.25)])
def test_guided_masks_end_at_an_edge_of_the_photograph_and_stay_where_it_is_even(contrast, like):
    scores, coarse = blurred(24), blurred(24) > 0.25
    image = (90 + contrast * disc(24)).astype(np.uint8)[:, :, None]
    settings = RefineSettings(method="guided")
    refined, kept = refine_mask(image, coarse, scores, segmenter_for(settings), settings)
    assert kept == 0
    assert (refined & like).sum() / (refined | like).sum() > 0.98
