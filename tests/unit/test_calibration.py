"""Exact statistics of anomaly scores."""

import math

import numpy as np
import pytest
from tests.calibrations import write_calibration

from seamark.errors import DataError, ManifestError
from seamark.files.images import array_digest, write_map
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.maps.calibration import (
    Calibrations,
    SplitCalibration,
    image_statistics,
    pooled_moments,
)
from seamark.maps.float16_scores import score_histogram
from seamark.maps.stored import load_map
from seamark.settings.calibrate import IMAGE_QUANTILES


def save_maps(folder, maps, split="validation", detector="bank", category="rice"):
    records = []
    for number, scores in enumerate(maps):
        file = f"{split}/{number:03d}.tiff"
        (folder / split).mkdir(parents=True, exist_ok=True)
        write_map(folder / file, scores)
        height, width = scores.shape
        facts = {"minimum": float(scores.min()), "maximum": float(scores.max()), "mean": float(scores.mean())}
        sizes = {"image_width": width, "image_height": height, "map_width": width, "map_height": height}
        records.append(MapRecord(id=f"{number:03d}", file=file, sha256=array_digest(scores), **sizes, **facts))
    return MapsManifest(detector=detector, category=category, split=split, maps=tuple(records))


def calibrated(folder, maps, **source):
    manifest = save_maps(folder, maps, **source)
    calibration = SplitCalibration(folder / "maps.json", manifest)
    images = [calibration.add(record) for record in manifest.maps]
    return calibration.statistics(images, (0.0, 0.5, 1.0)), calibration.histogram


@pytest.fixture
def random_maps():
    rng = np.random.default_rng(1)
    return [rng.gamma(2, 3, shape).astype(np.float32) for shape in ((30, 40), (21, 17), (50, 9))]


def test_pooled_statistics_equal_those_of_all_pixels(tmp_path, random_maps):
    statistics, histogram = calibrated(tmp_path, random_maps)
    pixels = np.concatenate([one.ravel() for one in random_maps]).astype(np.float64)
    assert statistics.pixels == pixels.size == histogram.sum()
    assert (statistics.minimum, statistics.maximum) == (pixels.min(), pixels.max())
    assert statistics.mean == pytest.approx(pixels.mean(), rel=1e-13)
    assert statistics.std == pytest.approx(pixels.std(), rel=1e-12)
    rounded = np.sort(pixels.astype(np.float16))
    assert statistics.quantiles == {"0": rounded[0], "0.5": rounded[(pixels.size + 1) // 2 - 1], "1": rounded[-1]}
    assert [image.maximum for image in statistics.images] == [one.max() for one in random_maps]
    for image, scores in zip(statistics.images, random_maps, strict=True):
        rounded = np.sort(scores.ravel().astype(np.float16))
        exact = {f"{q:g}": rounded[math.ceil(q * scores.size) - 1] for q in IMAGE_QUANTILES}
        assert image.quantiles == exact


def test_a_large_offset_costs_no_digits():
    scores = np.random.default_rng(2).normal(10_000, 0.1, (64, 64)).astype(np.float32)
    assert image_statistics("a", scores, score_histogram(scores)).std == pytest.approx(
        scores.astype(np.longdouble).std(), rel=1e-9
    )


def test_pooling_does_not_depend_on_the_order_of_images():
    rng = np.random.default_rng(0)
    maps = [rng.normal(10.0 ** (n % 5), 1, (9, 7)).astype(np.float32) for n in range(60)]
    images = [image_statistics(str(n), scores, score_histogram(scores)) for n, scores in enumerate(maps)]
    moments = {pooled_moments([images[number] for number in rng.permutation(60)]) for _ in range(20)}
    assert moments == {pooled_moments(images)}


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_one_constant_map(tmp_path, value):
    statistics, _ = calibrated(tmp_path, [np.full((5, 7), value, np.float32)])
    assert (statistics.mean, statistics.std, statistics.minimum, statistics.maximum) == (value, 0.0, value, value)
    assert set(statistics.quantiles.values()) == {value}


def test_split_without_maps_is_refused(tmp_path):
    empty = MapsManifest(detector="bank", category="rice", split="validation", maps=())
    with pytest.raises(DataError, match="no anomaly maps"):
        SplitCalibration(tmp_path / "maps.json", empty)


def test_score_beyond_float16_is_refused(tmp_path):
    with pytest.raises(DataError, match="largest float16"):
        calibrated(tmp_path, [np.full((4, 4), 1e6, np.float32)])


def test_changed_or_missing_map_is_refused(tmp_path, random_maps):
    manifest = save_maps(tmp_path, random_maps)
    record, path = manifest.maps[0], tmp_path / "maps.json"
    write_map(tmp_path / record.file, random_maps[0] + np.float32(1))
    with pytest.raises(ManifestError, match=r"000\.tiff: the pixels are not those"):
        load_map(path, record)
    write_map(tmp_path / record.file, random_maps[1])
    with pytest.raises(ManifestError, match=r"expected float32 of shape \(30, 40\)"):
        load_map(path, record)
    (tmp_path / record.file).unlink()
    with pytest.raises(ManifestError, match="cannot read the anomaly map"):
        load_map(path, record)


def test_calibration_of_something_else_is_refused(tmp_path, random_maps):
    statistics, histogram = calibrated(tmp_path, random_maps)
    maps = save_maps(tmp_path, random_maps)
    calibrations = Calibrations([write_calibration(tmp_path, "rice", statistics, histogram)])
    assert calibrations.statistics(maps, "validation") == statistics
    assert np.array_equal(calibrations.histogram("rice", "validation"), histogram)
    with pytest.raises(ManifestError, match=r"no statistics of can validation among .*rice/validation\.json"):
        calibrations.statistics(maps.model_copy(update={"category": "can"}), "validation")
    with pytest.raises(ManifestError, match=r"rice/validation\.json: calibrated on detector bank, expected urd"):
        calibrations.statistics(maps.model_copy(update={"detector": "urd"}), "validation")
    with pytest.raises(ManifestError, match="no statistics of rice test_public"):
        calibrations.statistics(maps, "test_public")
    fewer = save_maps(tmp_path, random_maps[:2])
    with pytest.raises(ManifestError, match="3 calibrated images of split validation are not the 2"):
        calibrations.statistics(fewer, "validation")
