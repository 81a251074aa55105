"""Submitted maps and masks: sizes, float16, refusals."""

import os

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from seamark.errors import ManifestError, SubmissionError
from seamark.files.images import array_digest, write_map, write_mask
from seamark.manifests.maps import MapRecord
from seamark.masks.stored import save_mask
from seamark.submission.expected import ExpectedImage, ExpectedSubmission, scaled_size
from seamark.submission.images import SubmittedImage
from seamark.submission.writing import write_submission

WIDTH, HEIGHT = 50, 38
TIFF = "anomaly_images/felt/test_private/000_regular.tiff"


def sequentially(function, items, _):
    return [function(item) for item in items]


def image(root, anomaly_map, mask=None, name="000_regular"):
    write_map(root / f"{name}.tiff", anomaly_map)
    listed = save_mask(root, ".", name, np.zeros((HEIGHT, WIDTH), bool) if mask is None else mask)
    record = MapRecord(
        id=name,
        file=f"{name}.tiff",
        image_width=WIDTH,
        image_height=HEIGHT,
        map_width=anomaly_map.shape[1],
        map_height=anomaly_map.shape[0],
        sha256=array_digest(anomaly_map),
        minimum=0,
        maximum=0,
        mean=0,
    )
    place = f"felt/test_private/{name}"
    return SubmittedImage(
        place, "felt", "test_private", name, WIDTH, HEIGHT, root / "maps.json", record, root / "masks.json", listed
    )


def random_map(shape=(HEIGHT, WIDTH)):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def expectation(scale=1.0, *names):
    listed = tuple(ExpectedImage(name, WIDTH, HEIGHT) for name in names or ("000_regular",))
    return ExpectedSubmission({"felt": {"test_private": listed}}, scale)


def written(tmp_path, anomaly_map, scale=1.0):
    images = [image(tmp_path, anomaly_map)]
    precision = write_submission(tmp_path / "out", images, expectation(scale), sequentially).precision
    return tifffile.imread(tmp_path / "out" / TIFF), precision[0]


def test_native_maps_are_only_rounded(tmp_path):
    submitted, precision = written(tmp_path, random_map())
    assert submitted.dtype == np.float16
    np.testing.assert_array_equal(submitted, random_map().astype(np.float16))
    assert precision.distinct_float32 == len(np.unique(random_map()))
    assert precision.distinct_float16 == len(np.unique(submitted))
    assert precision.tie_rate == pytest.approx(1 - precision.distinct_float16 / precision.distinct_float32)
    assert (precision.minimum, precision.maximum) == (random_map().min(), random_map().max())


def test_large_maps_are_shrunk_by_area(tmp_path):
    submitted, _ = written(tmp_path, random_map(), 0.5)
    blocks = random_map().reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(submitted, blocks, atol=2e-3)


def test_small_maps_are_enlarged_bilinearly(tmp_path):
    small = random_map((10, 13))
    submitted, _ = written(tmp_path, small)
    expected = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR).astype(np.float16)
    np.testing.assert_array_equal(submitted, expected)


@pytest.mark.parametrize(
    ("scale", "size"), [(1.0, (50, 38)), (0.25, (12, 10)), (0.5, (25, 19)), (0.001, (1, 1)), (0.3, (15, 11))]
)
def test_scaled_sizes(scale, size):
    assert scaled_size(WIDTH, HEIGHT, scale) == size


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_masks_stay_at_image_size_and_become_grey(tmp_path, mode):
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.2
    listed = image(tmp_path, random_map(), mask)
    if mode != "L":
        Image.fromarray(mask * np.uint8(255)).convert(mode).save(tmp_path / "000_regular.png")
    facts = write_submission(tmp_path / "out", [listed], expectation(0.25), sequentially).facts
    submitted = tmp_path / "out/anomaly_images_thresholded/felt/test_private/000_regular.png"
    assert submitted.read_bytes() == encoded(tmp_path, mask)
    assert not any(fact.violations for fact in facts.values())
    with Image.open(submitted) as png:
        assert png.mode == "L"
        np.testing.assert_array_equal(np.asarray(png), mask * np.uint8(255))


@pytest.mark.parametrize("lost", [1, 12, 16])
def test_a_mask_whose_file_has_lost_its_end_is_never_copied(tmp_path, lost):
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.2
    listed = image(tmp_path, random_map(), mask)
    os.truncate(tmp_path / "000_regular.png", (tmp_path / "000_regular.png").stat().st_size - lost)
    if lost > 4:  # a check sum is gone, or all of the last chunk
        with pytest.raises(ManifestError, match=r"000_regular\.png: .*damaged.*rebuild it with: .* -f .*masks\.json"):
            write_submission(tmp_path / "out", [listed], expectation(), sequentially)
        return
    write_submission(tmp_path / "out", [listed], expectation(), sequentially)
    submitted = tmp_path / "out/anomaly_images_thresholded/felt/test_private/000_regular.png"
    assert submitted.read_bytes() == encoded(tmp_path, mask)


def test_a_mask_that_its_manifest_does_not_describe_is_refused(tmp_path):
    listed = image(tmp_path, random_map())
    write_mask(tmp_path / "000_regular.png", np.ones((HEIGHT, WIDTH), bool))
    with pytest.raises(ManifestError, match=r"000_regular\.png: expected the mask .* -f .*masks\.json"):
        write_submission(tmp_path / "out", [listed], expectation(), sequentially)


def encoded(folder, mask):
    write_mask(folder / "alone.png", mask)
    return (folder / "alone.png").read_bytes()


@pytest.mark.parametrize("value", [65505.0, -70000.0])
def test_scores_beyond_float16_are_refused(tmp_path, value):
    anomaly_map = random_map()
    anomaly_map[3, 4] = value
    with pytest.raises(SubmissionError, match=r"000_regular\.tiff.*65504"):
        written(tmp_path, anomaly_map)


def test_the_largest_float16_is_accepted(tmp_path):
    assert written(tmp_path, np.full((HEIGHT, WIDTH), 65504, np.float32))[0].max() == 65504


def test_non_finite_scores_are_refused(tmp_path):
    submitted = image(tmp_path, random_map())
    broken = random_map()
    broken[0, 0] = np.nan
    tifffile.imwrite(tmp_path / "000_regular.tiff", broken, metadata=None)
    with pytest.raises(ManifestError, match=r"000_regular\.tiff.*non-finite"):
        write_submission(tmp_path / "out", [submitted], expectation(), sequentially)


def test_ties_and_underflow_are_counted(tmp_path):
    anomaly_map = 1000 + 0.1 * random_map()
    anomaly_map[0, :2] = 1e-9, -1e-9
    _, precision = written(tmp_path, anomaly_map)
    assert precision.underflow_px == 2
    assert precision.tie_rate > 0.99


def test_masks_of_another_size_are_refused(tmp_path):
    submitted = image(tmp_path, random_map())
    write_mask(tmp_path / "000_regular.png", np.zeros((HEIGHT, WIDTH - 1), bool))
    with pytest.raises(ManifestError, match=r"000_regular\.png"):
        write_submission(tmp_path / "out", [submitted], expectation(), sequentially)


def test_files_are_the_same_bytes_every_time(tmp_path):
    images = [image(tmp_path, random_map(), name=f"00{number}_regular") for number in range(3)]
    for name in ("one", "two"):
        write_submission(tmp_path / name, images, expectation(0.5), sequentially)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 6
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_files_are_inspected_when_they_are_written(tmp_path):
    images = [image(tmp_path, random_map(), name=f"00{number}_regular") for number in range(2)]
    facts = write_submission(tmp_path / "out", images, expectation(0.5, "001_regular"), sequentially).facts
    mask = "anomaly_images_thresholded/felt/test_private/001_regular.png"
    assert facts.keys() == {TIFF.replace("000", "001"), mask}
    assert facts[mask].empty
    assert not any(fact.violations for fact in facts.values())


def test_a_size_that_is_not_expected_is_found_when_it_is_written(tmp_path):
    taller = ExpectedSubmission({"felt": {"test_private": (ExpectedImage("000_regular", WIDTH, 2 * HEIGHT),)}}, 1.0)
    facts = write_submission(tmp_path / "out", [image(tmp_path, random_map())], taller, sequentially).facts
    assert [violation.rule for violation in facts[TIFF].violations] == ["map_size"]
