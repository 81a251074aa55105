"""Rules for thresholds from normal images: closed forms, brute force, guarantees and refusals."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom, gumbel_r

from seamark.errors import DataError
from seamark.manifests.calibration import ImageStatistics, SplitStatistics
from seamark.maps.float16_scores import quantile, score_histogram
from seamark.maps.normal_statistics import normal_photographs
from seamark.masks.binarize import binarize_map
from seamark.masks.components import grow_components
from seamark.masks.extreme_values import evt_threshold, gumbel_fit
from seamark.masks.floors import growing_threshold
from seamark.masks.thresholds import (
    ImageContext,
    conformal_threshold,
    mean_std_threshold,
    peaks_threshold,
    quantile_threshold,
)
from seamark.settings.binarize import BinarizeSettings, ConformalSettings, EvtSettings, PeaksSettings, QuantileSettings

RANDOM = np.random.default_rng(5)


def normal(peaks, split="validation", names=None, quantiles=None, mean=0.0):
    names = names or [f"{number:03d}" for number in range(len(peaks))]
    images = tuple(
        ImageStatistics(id=name, pixels=10, minimum=0, maximum=peak, mean=mean, std=1, quantiles={})
        for name, peak in zip(names, peaks, strict=True)
    )
    return SplitStatistics(
        split=split,
        pixels=10 * len(peaks),
        minimum=0,
        maximum=max(peaks),
        mean=mean,
        std=1,
        quantiles=quantiles or {},
        images=images,
    )


def test_gumbel_fit_of_two_and_three_peaks_by_hand():
    location, scale = gumbel_fit([1.0, 3.0])
    assert scale == pytest.approx(1.0 / math.log(2.0))  # half the mean difference is 1
    assert location == pytest.approx(2.0 - 0.5772156649015329 / math.log(2.0))
    pairs = [abs(a - b) for a, b in ((4.0, 0.5), (4.0, 1.0), (0.5, 1.0))]
    assert gumbel_fit([4.0, 0.5, 1.0])[1] == pytest.approx(np.mean(pairs) / 2.0 / math.log(2.0))


def test_gumbel_fit_finds_the_distribution_that_was_drawn_from():
    drawn = gumbel_r.rvs(loc=3.0, scale=0.7, size=40_000, random_state=1)
    assert gumbel_fit(drawn.tolist()) == pytest.approx((3.0, 0.7), abs=0.02)


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.001])
def test_evt_threshold_is_the_quantile_of_the_fit(rate):
    peaks = RANDOM.normal(5.0, 1.0, 12).tolist()
    location, scale = gumbel_fit(peaks)
    record = evt_threshold(peaks, EvtSettings(enabled=True, image_rate=rate))
    assert record.value == pytest.approx(gumbel_r.isf(rate, location, scale))
    assert (record.rule, record.promised_image_rate, record.sees_test_images) == ("evt", rate, False)


@pytest.mark.parametrize("peaks", [[2.0], [2.0, 2.0, 2.0]])
def test_peaks_that_do_not_differ_are_no_ground_for_a_fit(peaks):
    with pytest.raises(DataError, match=r"at least two different peaks, found \d image"):
        evt_threshold(peaks, EvtSettings(enabled=True))


@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.999, 1.0])
def test_quantile_threshold_is_exceeded_by_its_share_of_float32_scores(q):
    scores = RANDOM.gamma(2.0, 3.0, (50, 61)).astype(np.float32)
    scores[:20] = np.float16(1.25)  # many ties
    held = {f"{q:g}": quantile(score_histogram(scores), q)}
    record = quantile_threshold(normal([1.0], quantiles=held), QuantileSettings(enabled=True, q=q))
    assert np.count_nonzero(scores > record.value) <= (1.0 - q) * scores.size + 1e-9
    rounded = np.sort(scores.astype(np.float16).ravel())
    lower = rounded[rounded < np.float16(held[f"{q:g}"])]
    if lower.size:  # the next lower score would let too many through
        assert np.count_nonzero(scores > np.float32(lower[-1])) > (1.0 - q) * scores.size
    assert (record.promised_pixel_rate, record.promised_image_rate) == (1.0 - q, None)


def test_conformal_threshold_is_the_ranked_peak():
    peaks = RANDOM.permutation(19).astype(float).tolist()
    for alpha, rank in ((0.05, 19), (0.1, 18), (0.2, 16), (0.5, 10)):
        record = conformal_threshold(peaks, ConformalSettings(enabled=True, alpha=alpha))
        assert (record.value, record.promised_image_rate) == (rank - 1, alpha)


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 19), (0.1, 9), (0.2, 4), (0.3, 3), (0.5, 1), (1 / 3, 2)])
def test_conformal_says_how_many_images_it_needs(alpha, needed):
    settings = ConformalSettings(enabled=True, alpha=alpha)
    assert settings.images_needed == needed
    conformal_threshold([1.0] * needed, settings)
    if needed > 1:
        with pytest.raises(DataError, match=f"at least {needed} normal images, there are {needed - 1}"):
            conformal_threshold([1.0] * (needed - 1), settings)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("count", [19, 23, 40])
def test_conformal_flags_at_most_its_share_of_further_images(alpha, count):
    """Over many draws of any distribution; ties can only flag fewer."""
    flagged, draws = 0, 4000
    settings = ConformalSettings(enabled=True, alpha=alpha)
    for _ in range(draws):
        peaks = np.round(RANDOM.standard_cauchy(count + 1), 1)
        flagged += peaks[-1] > conformal_threshold(peaks[:-1].tolist(), settings).value
    assert flagged <= binom.ppf(0.9999, draws, alpha)
    assert flagged > 0


VARIANTS = {"a~1": 1.0, "a~2": 5.0, "b~1": 2.0, "b~2": 1.0, "c~1": 3.0, "c~2": 3.0, "d~1": 9.0, "d~2": 0.0}
SHOWN = {"a": 6.0, "a~1": 4.0, "b": 1.0, "c": 8.0, "d": 1.0}  # tildes in names of photographs mean nothing


@pytest.mark.parametrize(
    ("choice", "peaks"),
    [
        ("validation_variants", {"a": 5.0, "b": 2.0, "c": 3.0, "d": 9.0}),
        ("validation", SHOWN),
        ("validation_and_variants", {"a": 6.0, "a~1": 4.0, "b": 2.0, "c": 8.0, "d": 9.0}),
    ],
)
def test_variants_of_a_photograph_count_once_with_their_highest_peak(choice, peaks):
    held = {
        split: normal(list(of_split.values()), split, list(of_split))
        for split, of_split in {"validation": SHOWN, "validation_variants": VARIANTS}.items()
    }
    calibrations = SimpleNamespace(statistics=lambda maps, split: held[split])
    found = normal_photographs(None, BinarizeSettings(normal=choice), calibrations)
    assert found == {("validation", name): peak for name, peak in peaks.items()}
    alpha = 1.0 / (len(peaks) + 1)
    assert conformal_threshold(found.values(), ConformalSettings(enabled=True, alpha=alpha)).value == max(
        peaks.values()
    )
    with pytest.raises(DataError, match=f"needs at least {len(peaks) + 1}"):
        conformal_threshold(found.values(), ConformalSettings(enabled=True, alpha=1.0 / (len(peaks) + 2)))


def test_normal_images_set_what_is_reached_and_an_odd_one_does_not():
    peaks = [4.0, 5.0, 7.0, 6.0, 5.5]
    assert peaks_threshold(normal(peaks), PeaksSettings(enabled=True, k=4.0, q=1.0)).value == 7.0
    assert peaks_threshold(normal(peaks), PeaksSettings(enabled=True, k=4.0, q=0.5)).value == 5.5
    rule = PeaksSettings(enabled=True, k=2.0, q=1.0)
    record = peaks_threshold(normal(peaks), rule)
    assert record.value == 6.0
    assert (record.rule, record.promised_image_rate, record.sees_test_images) == ("peaks", None, False)
    odd = peaks_threshold(normal([peak if peak < 7.0 else 1e4 for peak in peaks]), rule)
    assert odd == record
    assert peaks_threshold(normal(peaks[:1]), rule).value == 4.0


def context(mean=1.0, peaks=(4.0, 6.0)):
    split = normal(list(peaks), mean=mean)
    return ImageContext(split, normal([8.0], "test_public"), split.images[0], mean, dict(enumerate(peaks)))


def test_growth_takes_a_share_of_the_height_of_the_lowest_threshold():
    settings = BinarizeSettings.model_validate(
        {"mean_std": {"k": 3.0}, "conformal": {"enabled": True, "alpha": 0.5}, "grow_share": 0.5}
    )
    found = (
        mean_std_threshold(context(), settings.mean_std),
        conformal_threshold([4.0, 6.0], settings.conformal),
    )
    assert [one.value for one in found] == [4.0, 6.0]
    grown = growing_threshold(found, context(), settings)
    assert (grown.rule, grown.value) == ("grow", 1.0 + 0.5 * 3.0)
    assert growing_threshold(found, context(mean=5.0), settings) is None
    assert growing_threshold(found, context(), BinarizeSettings()) is None


def brute_growth(seeds, wider):
    grown = seeds.copy()
    while True:
        padded = np.pad(grown, 1)
        near = np.zeros_like(grown)
        for down in range(3):
            for across in range(3):
                near |= padded[down : down + grown.shape[0], across : across + grown.shape[1]]
        new = grown | (near & wider)
        if (new == grown).all():
            return grown
        grown = new


@pytest.mark.parametrize("seed", range(20))
def test_growth_equals_flooding_from_the_seeds(seed):
    random = np.random.default_rng(seed)
    scores = random.random((23, 31), np.float32)
    seeds, wider = scores > 0.95, scores > 0.62
    np.testing.assert_array_equal(grow_components(seeds, wider), brute_growth(seeds, wider))


def test_a_grown_mask_flags_no_further_image_and_says_its_threshold():
    scores = np.zeros((20, 20), np.float32)
    scores[2:8, 2:8], scores[4, 4] = 3.0, 4.5
    scores[12:18, 12:18] = 3.0
    settings = BinarizeSettings.model_validate({"mean_std": {"k": 3.0}, "grow_share": 0.5})
    mask, thresholds = binarize_map(scores, (20, 20), context(), settings)
    assert mask[2:8, 2:8].all()
    assert mask.sum() == 36
    assert [one.rule for one in thresholds] == ["mean_std", "grow"]
    plain, _ = binarize_map(scores, (20, 20), context(), settings.model_copy(update={"grow_share": 1.0}))
    assert plain.sum() == 1
