"""Panels: scaling, colours, contours and text."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.index import TruthRecord
from seamark.manifests.preview import StripRecord
from seamark.preview.panels import (
    REFINED,
    colour_range,
    colours,
    draw_contours,
    folded,
    map_panel,
    panel_size,
    photograph_panel,
    tint,
)
from seamark.preview.sheets import Captioned, write_text
from seamark.preview.sources import PreviewSource
from seamark.preview.writing import Preview, write_contact_sheet
from seamark.settings.preview import PreviewSettings
from seamark.tiles.geometry import fold_count


def calibration(minimum=0.0, maximum=3.0, mean=1.0, std=0.5, quantiles=None):
    statistics = {"pixels": 10, "minimum": minimum, "maximum": maximum, "mean": mean, "std": std, "images": ()}
    return SplitStatistics(split="validation", quantiles=quantiles or {}, **statistics)


def test_colour_range_comes_from_validation_alone():
    assert colour_range(calibration(quantiles={"0.5": 1.0, "0.01": 0.2})) == (0.2, 4.0)
    assert colour_range(calibration(maximum=7.0)) == (0.0, 7.0)


def test_colour_range_of_constant_maps_is_not_empty():
    low, high = colour_range(calibration(minimum=2.0, maximum=2.0, mean=2.0, std=0.0))
    assert low == 2.0
    assert high > low


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(64, 600))
def test_panel_keeps_the_aspect_ratio(height, width, longer_side):
    down, across = panel_size((height, width, 3), longer_side)
    shorter = min(height, width) * max(down, across) / max(height, width)
    folds = fold_count((height, width))
    if folds == 1:
        assert max(down, across) == longer_side
        assert min(down, across) == max(1, round(shorter))
    else:
        assert max(max(down, across) / folds, min(down, across) * folds) == pytest.approx(longer_side, abs=folds)
        assert min(down, across) == pytest.approx(shorter, abs=1)


@pytest.mark.parametrize(("height", "width", "size"), [(30, 200, (96, 67)), (200, 30, (67, 96)), (40, 80, (40, 80))])
def test_the_panel_of_a_long_image_is_folded_into_rows_that_read_on(height, width, size):
    panel = np.arange(3 * height * width, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    sheet = folded(panel, (10 * height, 10 * width))
    assert sheet.shape == (*size, 3)
    assert np.array_equal(sheet[: min(height, size[0]), : min(width, size[1])], panel[: size[0], : size[1]])
    if width > 100:
        assert np.array_equal(sheet[-30:, :66], panel[:, 134:])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(300, 500), (20, 33)])
def test_photograph_panel_is_rgb(shape, channels):
    image = np.full((*shape, channels), 77, np.uint8)
    panel = photograph_panel(image, (60, 100))
    assert panel.shape == (60, 100, 3)
    assert panel.dtype == np.uint8
    assert np.all(panel == 77)


def test_map_panel_uses_the_whole_range_and_clips_beyond_it():
    scores = np.array([[-5.0, 0.0], [2.0, 9.0]], np.float32)
    panel = map_panel(scores, (2, 2), (0.0, 2.0))
    first, last = colours(np.array([[0, 255]], np.uint8))[0]
    assert np.array_equal(panel, [[first, first], [last, last]])


@settings(max_examples=200)
@given(st.integers(10, 300), st.integers(10, 300), st.integers(10, 200), st.data())
def test_a_peak_of_one_pixel_survives_the_scaling(height, width, longer_side, data):
    scores = np.zeros((height, width), np.float32)
    size = min(panel_size(scores.shape, longer_side), scores.shape)
    row = data.draw(st.sampled_from([0, height - 1]) | st.integers(0, height - 1))
    column = data.draw(st.sampled_from([0, width - 1]) | st.integers(0, width - 1))
    scores[row, column] = 5.0
    panel = map_panel(scores, size, (0.0, 5.0))
    assert np.any(np.all(panel == colours(np.full((1, 1), 255, np.uint8))[0, 0], axis=2))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1000, 1500), (1995, 2495)])
def test_a_defect_of_five_pixels_is_visible_on_a_small_panel(row, column):
    panel = np.full((96, 120, 3), 128, np.uint8)
    mask = np.zeros((2000, 2500), bool)
    mask[row : row + 5, column : column + 5] = True
    drawn = draw_contours(panel, mask, REFINED, 1)
    changed = np.any(drawn != panel, axis=2)
    assert changed.sum() > 20
    rows, columns = np.nonzero(changed)
    assert abs(rows - row * 96 / 2000).max() < 25
    assert abs(columns - column * 120 / 2500).max() < 25
    assert np.all(panel == 128)


def test_an_empty_mask_draws_nothing():
    panel = np.full((20, 30, 3), 9, np.uint8)
    assert np.array_equal(draw_contours(panel, np.zeros((200, 300), bool), REFINED, 2), panel)


def test_contours_run_around_holes_too():
    panel = np.zeros((100, 100, 3), np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[10:90, 10:90] = True
    mask[40:60, 40:60] = False
    drawn = draw_contours(panel, mask, REFINED, 1)
    assert drawn[10, 50].any()
    assert drawn[39, 50].any()
    assert not drawn[25, 25].any()


def test_a_noisy_mask_gets_a_bounded_number_of_circles():
    panel = np.zeros((400, 400, 3), np.uint8)
    mask = np.zeros((4000, 4000), bool)
    mask[::100, ::100] = True
    assert np.any(draw_contours(panel, mask, REFINED, 1), axis=2).mean() < 0.2


def test_tint_changes_the_mask_alone():
    panel = np.full((10, 10, 3), 30, np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[:10] = True
    tinted = tint(panel, mask, (255, 255, 255))
    assert np.all(tinted[:5] == (30 * 2 + 255) // 3)
    assert np.all(tinted[5:] == 30)


def test_text_is_cut_to_its_room():
    canvas = Image.new("RGB", (300, 30))
    write_text(canvas, (0, 0), "a very long name of an image " * 5, size_px=12, width=100, colour=(255, 255, 255))
    pixels = np.asarray(canvas)
    assert pixels[:, :100].any()
    assert not pixels[:, 102:].any()


def strip_record(name):
    paths = dict.fromkeys(("file", "sha256", "map", "coarse", "refined"), "x")
    return StripRecord(id=name, layer_width=4, layer_height=3, layers=(), **paths)


def contact_sheet(path, count, columns, shape=(60, 90, 3)):
    preview = Preview(strip_record("x"), Captioned("x", np.full(shape, 200, np.uint8), "peak 1"))
    write_contact_sheet([preview] * count, path, PreviewSettings(contact_columns=columns))
    return Image.open(path).size


def test_contact_sheet_has_the_wanted_columns(tmp_path):
    width, height = contact_sheet(tmp_path / "sheet.jpg", 5, 2)
    assert 2 * 90 <= width < 3 * 90
    assert height > 3 * 60


def test_contact_sheet_grows_sideways_when_it_would_be_too_high(tmp_path):
    width, height = contact_sheet(tmp_path / "sheet.jpg", 900, 1, (60, 10, 3))
    assert height < 65_500
    assert width > 2 * 10


@pytest.mark.parametrize(("bad", "label"), [(False, "good"), (True, "bad")])
def test_the_truth_says_whether_an_image_is_bad(bad, label):
    facts = {"mask": "m.png", "root": "truth", "sha256": "0", "bad": bad, "defect_px": 5}
    truth = TruthRecord(split="test_private", id="000_regular", **facts)
    source = PreviewSource(**{field.name: None for field in fields(PreviewSource)} | {"truth": truth})
    assert source.label == label
