"""Maps that are fitted to the validation scores before they are ranked."""

import math
import re

import numpy as np
import pytest
from tests.calibrations import write_calibration

from seamark.errors import ConfigError, DataError, ManifestError
from seamark.evaluation.metrics import ScoreCounts
from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.maps import MapsManifest
from seamark.manifests.ranking import QuantileFit
from seamark.maps.float16_scores import score_histogram
from seamark.maps.quantile_fit import ranked_map, validation_fits
from seamark.settings.config import load_config
from seamark.settings.ranking import RankingSettings

FIT = QuantileFit(low=0.1, high=0.9, low_score=0.5, high_score=2.0)
QUANTILES = RankingSettings(fit="quantiles")


def scores(seed=0, shape=(23, 31)):
    return np.random.default_rng(seed).gamma(2.0, size=shape).astype(np.float32)


def literally(anomaly_map, fit):
    """The formula, pixel by pixel in double precision."""
    ordered = np.sort(anomaly_map.ravel()).astype(np.float64)
    a, b = (ordered[math.ceil(share * ordered.size) - 1] for share in (fit.low, fit.high))
    gain = (fit.high_score - fit.low_score) / (b - a)
    return np.array([[fit.low_score + (float(s) - a) * gain for s in row] for row in anomaly_map])


@pytest.mark.parametrize("fit", [FIT, FIT.model_copy(update={"low": 0.25, "high": 0.5, "low_score": -3.0})])
def test_the_fit_is_its_formula(fit):
    before = scores()
    fitted = ranked_map(before, fit)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted, literally(before, fit), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(before, scores(), "the fused map is left as it is")


def test_the_quantiles_of_a_fitted_map_are_those_of_validation():
    own = np.quantile(ranked_map(scores(), FIT), (0.1, 0.9), method="inverted_cdf")
    np.testing.assert_allclose(own, (0.5, 2.0), rtol=1e-6)


def test_without_a_fit_the_map_is_the_fused_one():
    anomaly_map = scores()
    assert ranked_map(anomaly_map, None) is anomaly_map


@pytest.mark.parametrize(("gain", "offset"), [(3.0, 0.0), (0.125, 5.0), (1.0, -2.0), (40.0, 100.0)])
def test_gain_and_offset_of_an_image_do_not_change_its_fitted_map(gain, offset):
    changed = (scores() * gain + offset).astype(np.float32)
    np.testing.assert_allclose(ranked_map(changed, FIT), ranked_map(scores(), FIT), rtol=1e-4, atol=1e-4)


def test_the_order_within_an_image_stays():
    anomaly_map = scores()
    order = np.argsort(anomaly_map, axis=None, kind="stable")
    assert (np.diff(ranked_map(anomaly_map, FIT).ravel()[order]) >= 0.0).all()
    spaced = np.random.default_rng(1).permutation(2000).reshape(40, 50).astype(np.float32) / 1024
    truth = spaced + np.random.default_rng(2).normal(size=spaced.shape) > 1.5
    fit = QuantileFit(low=0.1, high=0.9, low_score=0.0, high_score=1.6 * float(np.ptp(spaced)))
    aurocs = [ScoreCounts.of(one, truth).pixel_auroc() for one in (spaced, ranked_map(spaced, fit))]
    assert aurocs[0] == aurocs[1], "the fit doubles all distances, and float16 tells all scores apart"


def test_pooled_images_of_another_contrast_are_ranked_together_after_the_fit():
    """Half of the images scored three times as high: each alone is separated as well as before, pooled they are not."""
    counts = {"fused": [], "fitted": []}
    for seed in range(4):
        anomaly_map = scores(seed)
        truth = np.zeros(anomaly_map.shape, bool)
        truth[3:6, 4:9] = True
        anomaly_map[truth] += 6.0
        seen = anomaly_map * np.float32(3.0 if seed % 2 else 1.0)
        counts["fused"].append(ScoreCounts.of(seen, truth))
        counts["fitted"].append(ScoreCounts.of(ranked_map(seen, FIT), truth))
    fused, fitted = (ScoreCounts.pooled(parts).pixel_auroc() for parts in counts.values())
    assert fitted > fused


@pytest.mark.parametrize("value", [-3.0, 0.0, 7.5])
def test_a_constant_map_becomes_the_lower_quantile(value):
    fitted = ranked_map(np.full((4, 6), value, np.float32), FIT)
    np.testing.assert_array_equal(fitted, np.full((4, 6), 0.5, np.float32))


def test_a_map_whose_quantiles_are_equal_keeps_its_spread():
    anomaly_map = np.full((10, 10), 2.0, np.float32)
    anomaly_map[0, :5] = (-1.0, 3.0, 4.0, 5.0, 6.0)
    np.testing.assert_array_equal(ranked_map(anomaly_map, FIT), anomaly_map - 1.5)


def test_a_map_that_the_fit_blows_up_is_refused_with_a_remedy():
    anomaly_map = np.linspace(0.0, 1e-6, 100, dtype=np.float32).reshape(10, 10)
    anomaly_map[0, 0] = 1.0
    with pytest.raises(DataError, match=r"beyond 65504.*ranking\.fit: none"):
        ranked_map(anomaly_map, FIT)


def calibration(folder, category="felt", detector="bank", low=0.5, high=1.0):
    pooled = {"pixels": 2, "minimum": 0.0, "maximum": 9.0, "mean": 1.0, "std": 1.0}
    normal = SplitStatistics(split="validation", quantiles={}, images=(), **pooled)
    return write_calibration(folder, category, normal, score_histogram(np.float32((low, high))), detector)


def maps(category="felt"):
    return MapsManifest(detector="bank", category=category, split="test_private", maps=())


def test_maps_are_fitted_to_the_validation_scores_of_their_category(tmp_path):
    paths = [calibration(tmp_path, "felt", low=0.25, high=1.5), calibration(tmp_path, "wool", low=1.0, high=2.0)]
    fits = validation_fits(QUANTILES, paths, [maps("felt"), maps("wool"), maps("wool")])
    assert fits == {
        "felt": QuantileFit(low=0.1, high=0.9, low_score=0.25, high_score=1.5),
        "wool": QuantileFit(low=0.1, high=0.9, low_score=1.0, high_score=2.0),
    }


def test_without_a_fit_no_calibration_is_read(tmp_path):
    assert validation_fits(RankingSettings(), [tmp_path / "missing.json"], [maps()]) == {}


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        ({"high": 0.5}, DataError, r"felt/validation\.json: the quantiles 0\.1 and 0\.9 .* both 0\.5.*ranking\.fit"),
        ({"detector": "other"}, ManifestError, r"felt/validation\.json: calibrated on .* other"),
        ({"category": "wool"}, ManifestError, "no statistics of felt validation among .*wool/validation"),
    ],
)
def test_a_calibration_that_does_not_serve_is_refused(tmp_path, written, error, message):
    path = calibration(tmp_path, **written)
    with pytest.raises(error, match=message):
        validation_fits(QUANTILES, [path], [maps()])


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        ({"low": 0.9, "high": 0.1}, "ranking: low 0.9 must be less than high 0.1"),
        ({"fit": "quantile"}, "ranking.fit"),
    ],
)
def test_quantiles_that_cannot_be_had_are_refused_with_the_configuration(ranking, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config({"ranking": ranking})
