"""Tile boxes of any size and layout."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamark.errors import ConfigError, DataError
from seamark.settings.grid import GridSettings
from seamark.tiles.geometry import (
    map_shape,
    tile_boxes,
    tile_bytes,
    tile_count,
    tile_starts,
    tile_stride,
    working_bytes,
)

LENGTHS = st.integers(1, 5000)
WINDOWS = st.integers(1, 1500)
OVERLAPS = st.floats(0.0, 0.75)


def advancing(window: int, overlap: float) -> bool:
    return int(window * (1.0 - overlap)) >= 1


@given(LENGTHS, LENGTHS, WINDOWS, OVERLAPS)
def test_even_tiles_are_squares_that_cover_the_image_and_no_more(width, height, window, overlap):
    grid = GridSettings.model_construct(layout="even", window_px=window, overlap=overlap)
    if tile_count(width, height, grid) > 2000:
        return
    boxes, side = tile_boxes(width, height, grid), min(window, width, height)
    assert len(boxes) == tile_count(width, height, grid)
    assert {(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes} == {(side, side)}
    for length, spans in ((width, {box[::2] for box in boxes}), (height, {box[1::2] for box in boxes})):
        starts = sorted(start for start, _ in spans)
        assert (starts[0], starts[-1]) == (0, length - side)
        assert all(later <= earlier + side for earlier, later in pairwise(starts))


@given(LENGTHS, WINDOWS, OVERLAPS, st.sampled_from(["padded", "even"]))
def test_tiles_of_an_axis_cover_it_in_order(length, window, overlap, layout):
    if not advancing(window, overlap):
        return
    starts = tile_starts(length, window, overlap, layout)
    assert starts[0] == 0
    assert list(starts) == sorted(set(starts))
    assert starts[-1] + window >= length
    assert all(later <= earlier + window for earlier, later in pairwise(starts))
    assert len(starts) == len(tile_starts(length, window, overlap, "padded"))


@given(LENGTHS, WINDOWS, OVERLAPS)
def test_even_tiles_need_no_padding_and_are_spread_evenly(length, window, overlap):
    if not advancing(window, overlap) or length <= window:
        return
    starts = tile_starts(length, window, overlap, "even")
    assert starts[-1] + window == length
    steps = {later - earlier for earlier, later in pairwise(starts)}
    assert max(steps) - min(steps) <= 1


@pytest.mark.parametrize(("length", "starts"), [(2448, (0, 712, 1424)), (1056, (0, 32)), (2232, (0, 604, 1208))])
def test_even_starts_at_the_official_sizes(length, starts):
    assert tile_starts(length, 1024, 0.1, "even") == starts


@pytest.mark.parametrize(
    ("layout", "size", "boxes"),
    [
        ("padded", (1500, 700), [(0, 0, 1024, 1024), (921, 0, 1945, 1024)]),
        ("even", (1500, 700), [(0, 0, 700, 700), (400, 0, 1100, 700), (800, 0, 1500, 700)]),
        ("even", (700, 1500), [(0, 0, 700, 700), (0, 400, 700, 1100), (0, 800, 700, 1500)]),
        ("even", (700, 700), [(0, 0, 700, 700)]),
        ("even", (1, 2), [(0, 0, 1, 1), (0, 1, 1, 2)]),
    ],
)
def test_a_side_shorter_than_the_window(layout, size, boxes):
    assert tile_boxes(*size, GridSettings(layout=layout, window_px=1024)) == boxes


def test_the_largest_window_is_the_shorter_side_of_any_image():
    assert tile_boxes(1500, 1000, GridSettings(layout="even", window_px=16384)) == [
        (0, 0, 1000, 1000),
        (500, 0, 1500, 1000),
    ]


def test_whole_is_one_box_of_any_aspect():
    assert tile_boxes(4224, 1056, GridSettings(layout="whole")) == [(0, 0, 4224, 1056)]


def test_rows_are_outer_and_the_count_needs_no_list():
    grid = GridSettings(window_px=10, overlap=0.0, input_px=10)
    boxes = tile_boxes(120, 120, grid)
    assert len(boxes) == tile_count(120, 120, grid) == 144
    assert boxes[1] == (10, 0, 20, 10)
    assert boxes[12] == (0, 10, 10, 20)


@pytest.mark.parametrize(("window", "overlap"), [(0, 0.1), (10, 1.0), (10, -0.1), (10, 0.9), (1, 0.5)])
def test_tiles_that_do_not_advance_are_refused(window, overlap):
    with pytest.raises(ConfigError, match="overlap"):
        tile_stride(window, overlap)


@pytest.mark.parametrize("layout", ["padded", "even"])
def test_an_empty_axis_is_refused(layout):
    with pytest.raises(DataError, match="0 px"):
        tile_starts(0, 1024, 0.1, layout)


def test_sizes_in_bytes():
    assert tile_bytes(9, (518, 518), 3) == 128 + 9 * 518 * 518 * 3
    assert working_bytes(2448, 2048, GridSettings()) == 7 * 2448 * 2048 + 4 * 1024 * 1024
    assert working_bytes(100, 10, GridSettings(layout="whole")) == 11 * 1000
    assert working_bytes(100, 10, GridSettings(layout="even")) == 7 * 1000 + 4 * 10 * 10


def test_map_shapes_are_rounded_and_never_empty():
    assert map_shape((2048, 2448), 0.25) == (512, 612)
    assert map_shape((1, 3), 0.25) == (1, 1)
    assert map_shape((7, 9), 1.0) == (7, 9)
