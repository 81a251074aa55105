"""Evidence for a component, and the components that normal images allow."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from tests.unit.test_binarize import context_for

from seamark.masks.binarize import Binarizer, binarize_map, largest_evidence
from seamark.masks.components import component_evidence, drop_weak, find_components
from seamark.settings.binarize import BinarizeSettings

SCORES = np.zeros((20, 20), np.float32)
SCORES[1:3, 1:3] = 12.0  # four px, 5 above the threshold of 7: evidence 20
SCORES[8, 8:11] = 10.0  # 9
SCORES[15:19, 15:19] = 7.5  # 8
THRESHOLD = 7.0
SHAPE = (20, 20)


def test_evidence_is_area_times_mean_excess_of_what_exceeds_the_threshold():
    mask = SCORES > THRESHOLD
    mask[3, 1] = mask[0, :4] = True  # an outline drawn wider
    evidence = component_evidence(find_components(mask), SCORES, THRESHOLD)
    assert sorted(evidence) == [8.0, 9.0, 20.0]
    assert component_evidence(find_components(np.zeros(SHAPE, bool)), SCORES, THRESHOLD).size == 0


@pytest.mark.parametrize(("least", "components"), [(0.0, 3), (8.0, 2), (9.0, 1), (19.9, 1), (20.0, 0)])
def test_a_component_stays_with_more_evidence_than_normal_images(least, components):
    mask = drop_weak(SCORES > THRESHOLD, SCORES, THRESHOLD, least)
    assert len(find_components(mask).boxes) == components
    context = context_for("test_private")  # mean 1, std 2 of validation: 7 for k = 3
    united, _ = binarize_map(SCORES, SHAPE, context, BinarizeSettings(), least_evidence=least)
    np.testing.assert_array_equal(united, mask)


def test_a_normal_image_has_the_evidence_of_its_strongest_component():
    context, settings = context_for("test_private"), BinarizeSettings(at="map")
    assert largest_evidence(SCORES, SHAPE, context, settings) == 20.0
    assert largest_evidence(SCORES / 9, SHAPE, context, settings) == 0.0


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"mean_std": {"scope": "split"}}, "mean_std has others: set mean_std.scope to validation"),
        ({"mean_std": {"scope": "image"}}, "mean_std has others"),
        ({"mebin": {"enabled": True}}, "mebin has others: set mebin.enabled to false"),
    ],
)
def test_evidence_wants_thresholds_that_see_normal_images_alone(rules, message):
    with pytest.raises(ValidationError, match=message):
        BinarizeSettings.model_validate(rules | {"evidence_alpha": 0.1})
    BinarizeSettings.model_validate(rules)


def test_odd_normal_images_are_not_weighed_where_peaks_leaves_them_out():
    path = Path("validation.json")
    peaks = (1.0, 1.1, 1.2, 1.3, 9.0)
    images = [SimpleNamespace(maximum=peak) for peak in peaks]
    maps = SimpleNamespace(split="validation", maps=[SimpleNamespace(id=str(peak)) for peak in peaks])
    binarizer = object.__new__(Binarizer)
    binarizer._calibrations = SimpleNamespace(statistics=lambda *_: SimpleNamespace(images=images))
    for enabled, left in ((True, peaks[:4]), (False, peaks)):
        rules = {"peaks": {"enabled": enabled}, "mean_std": {"enabled": True}}
        binarizer._settings = BinarizeSettings.model_validate(rules)
        assert tuple(normal.peak for normal in binarizer.normal_maps({path: maps})) == left
