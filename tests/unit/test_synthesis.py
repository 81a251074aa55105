"""Sources of textures, kept foregrounds, settings of synthetic anomalies."""

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from seamark.errors import DataError
from seamark.learning.batches import counted_random
from seamark.settings.synthesis import ForegroundSettings, NoisePatchSettings, SynthesisSettings
from seamark.synthesis.anomalies import synthesise
from seamark.synthesis.drawn_textures import FIELDS, draw_texture
from seamark.synthesis.foreground import ForegroundMasks
from seamark.synthesis.textures import texture_source


def random(*words):
    return counted_random(4, *words)


@pytest.fixture
def folder(tmp_path):
    """Five photographs in two subfolders, one of them grey, beside other files."""
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        path = tmp_path / ("banded", "woven")[number % 2] / f"photo_{number}.{('png', 'jpg')[number % 2]}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels[..., 0] if number == 2 else pixels).save(path)
    (tmp_path / "labels.txt").write_text("no photograph")
    (tmp_path / "woven" / "._photo_1.jpg").write_text("no photograph either")
    return tmp_path


def from_folder(folder, cache_mb=10):
    return texture_source(SynthesisSettings(texture_folder=str(folder), texture_cache_mb=cache_mb))


def test_every_photograph_of_a_folder_is_drawn_and_shrunk_as_by_pillow(folder):
    source = from_folder(folder)
    drawn = {source((16, 24), random(number)).tobytes() for number in range(80)}
    paths = sorted(path for path in folder.rglob("photo_*") if path.name[0] != ".")
    shrunk = [Image.open(path).convert("RGB").resize((24, 16), Image.Resampling.BILINEAR) for path in paths]
    assert drawn == {np.asarray(picture).tobytes() for picture in shrunk}
    assert len(drawn) == 5


def test_textures_depend_on_neither_cache_nor_threads(folder):
    expected = [from_folder(folder, 0)((16, 24), random(number)) for number in range(30)]
    for cache_mb in (0, 10):
        source = from_folder(folder, cache_mb)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda number, source=source: source((16, 24), random(number)), range(30)))
        np.testing.assert_array_equal(found, expected)


def test_photographs_are_decoded_once(folder):
    source = from_folder(folder)
    before = [source((16, 24), random(number)) for number in range(40)]
    for path in folder.rglob("photo_*"):
        path.unlink()
    np.testing.assert_array_equal([source((16, 24), random(number)) for number in range(40)], before)


def test_a_folder_without_photographs_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=r"no photographs of textures .*texture_folder: null"):
            from_folder(place)


def test_a_damaged_photograph_is_named(folder):
    for path in folder.rglob("photo_*"):
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"photo_\d\.(png|jpg): not a readable image"):
        from_folder(folder)((16, 24), random(0))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.__name__)
@pytest.mark.parametrize("shape", [(256, 256), (96, 160), (33, 20)])
def test_fields_vary_and_fit(field, shape):
    drawn = [field(shape, random(number)) for number in range(6)]
    assert all(one.shape == shape and one.dtype == np.float32 and np.isfinite(one).all() for one in drawn)
    assert all(one.std() > 0 for one in drawn)
    assert len({one.tobytes() for one in drawn}) == 6


def test_drawn_textures_are_varied_and_repeatable():
    drawn = [draw_texture((128, 128), random(number)) for number in range(60)]
    np.testing.assert_array_equal(drawn[7], draw_texture((128, 128), random(7)))
    assert all(one.dtype == np.uint8 and one.shape == (128, 128, 3) for one in drawn)
    means = np.array([one.mean(axis=(0, 1)) for one in drawn])
    assert (means.std(axis=0) > 25).all()
    contrasts = np.array([one.astype(float).std(axis=(0, 1)).max() for one in drawn])
    assert (contrasts > 3).mean() > 0.9
    saturation = np.array([np.ptp(one.astype(int), axis=2).mean() for one in drawn])
    assert saturation.min() < 20 < 60 < saturation.max()


def test_drawn_textures_do_not_depend_on_the_threads_of_opencv():
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = [draw_texture((256, 256), random(number)) for number in range(30)]
        cv2.setNumThreads(4)
        np.testing.assert_array_equal([draw_texture((256, 256), random(number)) for number in range(30)], alone)
    finally:
        cv2.setNumThreads(before)


def test_samples_do_not_depend_on_the_order_in_which_threads_make_them():
    tile, settings = draw_texture((96, 96), random("tile")), SynthesisSettings()

    def make(number):
        return synthesise(tile, None, draw_texture, settings, random("synthesis", number)).pixels

    alone = [make(number) for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(list(pool.map(make, reversed(range(20))))[::-1], alone)


def disc(number):
    grey = np.full((80, 60, 3), 220, np.uint8)
    cv2.circle(grey, (20 + number, 40), 15, (30, 40, 50), -1)
    return grey


def test_foregrounds_are_found_once_per_tile():
    asked = []
    masks = ForegroundMasks(lambda tile: asked.append(tile) or disc(tile), ForegroundSettings(method="otsu_dark"))
    for _ in range(3):
        for tile in (4, 0, 9):
            np.testing.assert_array_equal(masks(tile), (disc(tile) < 128).all(axis=2))
    assert asked == [4, 0, 9]


def test_without_a_method_no_tile_is_read():
    masks = ForegroundMasks(lambda tile: pytest.fail("read"), ForegroundSettings())
    assert masks(0) is None


def test_the_first_tile_without_a_foreground_is_warned_of(caplog):
    flat = np.full((32, 32, 3), 7, np.uint8)
    masks = ForegroundMasks(lambda tile: flat, ForegroundSettings(method="otsu_dark"))
    with caplog.at_level(logging.WARNING):
        assert [masks(tile) for tile in (3, 5, 3)] == [None] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "tile 3: the foreground by otsu_dark is not believable, so the whole tile counts"
    ]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SynthesisSettings, {"beta": (0.5, 0.2)}, "expected a range within 0..1"),
        (SynthesisSettings, {"beta": (0.0, 1.1)}, "expected a range within 0..1"),
        (ForegroundSettings, {"share_min": 0.6, "share_max": 0.5}, "share_min 0.6 is above share_max 0.5"),
        (NoisePatchSettings, {"count": (0, 3)}, "expected a range from at least 1"),
        (NoisePatchSettings, {"side_divisors": (10, 40)}, "larger divisor first"),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind, values, message):
    with pytest.raises(ValidationError, match=message):
        kind(**values)


def test_synthesis_needs_no_torch():
    modules = "anomalies, foreground, noise_patches, perlin, pyramids, textures"
    program = f"import sys\nfrom seamark.synthesis import {modules}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "seamark.synthesis.drawn_textures" in loaded
    assert not {"torch", "timm", "torchvision", "seamark.learning.batches"} & set(loaded)
