"""The released merge against docs/methods/robis.md#checks (M-1 to M-3, N-11, N-12)."""

import numpy as np
import pytest

from seamark.errors import ConfigError
from seamark.maps.robis_axes import RobisAxis, blurring, placements, resizing, tile_operator
from seamark.maps.robis_merging import average_tiles, robis_merge, round_to_half
from seamark.maps.tile_maps import ScoredImage
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings, RobisMergeSettings
from seamark.tiles.geometry import tile_boxes, tile_stride

RELEASED = RobisMergeSettings()
GRID = GridSettings()
MERGE = MergeSettings(method="robis", scale=0.25)
OFFICIAL_SIZES = [(2232, 1024), (2448, 2048), (2100, 1520), (4224, 1056), (1400, 1900)]


def axis(image_px, window_px, overlap, scale=1.0, cells=None):
    stride = tile_stride(window_px, overlap)
    starts = tuple(range(0, max(image_px - window_px + stride, 1), stride))
    return RobisAxis(starts, window_px, overlap, scale, round(image_px * scale), window_px, cells or window_px)


def averaged(tiles, width, height, window_px=4, overlap=0.25, precision="float32"):
    """Average tiles that are given at the size of the map, row by row."""
    down = placements(axis(height, window_px, overlap), RELEASED)
    across = placements(axis(width, window_px, overlap), RELEASED)
    tiles = np.asarray(tiles, np.float32).reshape(len(down), len(across), window_px, window_px)
    strips = [
        np.concatenate(
            [
                tile[: max(0, height - row.start), : max(0, width - column.start)]
                for tile, column in zip(line, across, strict=True)
            ],
            axis=1,
        )
        for line, row in zip(tiles, down, strict=True)
    ]
    return average_tiles(strips, down, across, (height, width), precision)


def constants(values, window_px=4):
    return [np.full((window_px, window_px), value) for value in values]


def test_m1_seven_wide():
    assert np.array_equal(averaged(constants([1, 3]), 7, 4), np.tile(np.float32([1, 1, 1, 2, 3, 3, 3]), (4, 1)))


def test_m1_seven_by_seven():
    square = averaged(constants([1, 2, 3, 4]), 7, 7)
    assert np.array_equal(square[0], np.float32([1, 1, 1, 1.5, 2, 2, 2]))
    assert np.array_equal(square[3], np.float32([2, 2, 2, 2.5, 3, 3, 3]))
    assert np.array_equal(square[6], np.float32([3, 3, 3, 3.5, 4, 4, 4]))


def test_m1_six_wide_is_cropped():
    assert np.array_equal(averaged(constants([1, 3]), 6, 4), np.tile(np.float32([1, 1, 1, 2, 3, 3]), (4, 1)))


@pytest.mark.parametrize(("width", "height"), [(57, 41), (16, 100), (200, 9), (175, 170)])
@pytest.mark.parametrize("overlap", [0.1, 0.4, 0.7])
def test_m2_tiles_of_a_known_map_give_it_back(width, height, overlap):
    known = np.random.default_rng(2).random((height, width), dtype=np.float32)
    boxes = tile_boxes(width, height, GridSettings(window_px=16, overlap=overlap, input_px=16))
    padded = np.pad(known, ((0, 16), (0, 16)))
    tiles = [padded[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]
    assert np.abs(averaged(tiles, width, height, 16, overlap) - known).max() < 1e-6
    halves = known.astype(np.float16).astype(np.float32)
    tiles = [tile.astype(np.float16) for tile in tiles]
    assert np.abs(averaged(tiles, width, height, 16, overlap, "float16") - halves).max() < 0.004


def scored(width, height, cells=37, grid=GRID, seed=3, name="000"):
    boxes = tuple(tile_boxes(width, height, grid))
    scores = np.random.default_rng(seed).random((len(boxes), cells, cells), dtype=np.float32)
    return ScoredImage(name, (height, width), boxes, scores)


def merged(images, settings=MERGE, grid=GRID):
    merge = robis_merge(images, grid, settings, lambda function, items, _: [function(item) for item in items])
    return [merge(image) for image in images]


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_m2_the_order_of_tiles_is_irrelevant(precision):
    settings = MERGE.model_copy(update={"robis": RobisMergeSettings(precision=precision)})
    image = scored(2448, 2048)
    order = np.random.default_rng(4).permutation(len(image.boxes))
    shuffled = ScoredImage("000", image.image_shape, tuple(image.boxes[tile] for tile in order), image.scores[order])
    assert np.array_equal(merged([image], settings)[0], merged([shuffled], settings)[0])


@pytest.mark.parametrize(("width", "height"), OFFICIAL_SIZES)
def test_m2_maps_have_quarter_size(width, height):
    assert merged([scored(width, height)])[0].shape == (height // 4, width // 4)


def test_m3_four_overlapping_values_average_exactly_in_float16():
    assert (averaged(constants([255, 255, 255, 255]), 7, 7, precision="float16") == 255.0).all()


def test_n11_the_blur_sums_to_one():
    blur = blurring(256, "zeros")
    row = blur[128][blur[128] > 0]
    assert np.round(row, 6).tolist() == [0.187627, 0.206068, 0.212609, 0.206068, 0.187627]
    assert row.sum() == pytest.approx(1.0, abs=1e-15)
    assert np.array_equal(blur, blur.T)


def test_n11_a_constant_map_darkens_at_the_border():
    blur = blurring(256, "zeros").sum(axis=1)
    blurred = np.outer(blur, blur)
    assert blurred[0, 0] == pytest.approx(0.3676, abs=5e-5)
    assert blurred[0, 128] == pytest.approx(0.6063, abs=5e-5)
    assert blurred[1, 1] == pytest.approx(0.6599, abs=1e-4)
    assert blurred[2, 2] == pytest.approx(1.0, abs=1e-12)
    assert np.allclose(blurring(256, "normalised").sum(axis=1), 1.0)


def test_n11_one_operator_does_the_whole_chain():
    operator = tile_operator(37, 518, 256, RELEASED)
    assert np.round(operator.sum(axis=1)[:4], 4).tolist() == [0.6063, 0.8124, 1.0, 1.0]
    assert np.count_nonzero(operator, axis=1).max() == 3
    assert operator.shape[0] ** 2 // 100 == 655


def test_n12_a_constant_tile_map_stays_constant():
    chain = resizing(518, 256, align_corners=False) @ resizing(37, 518, align_corners=True)
    assert np.allclose(chain.sum(axis=1), 1.0, atol=1e-14)


def test_n12_the_middle_token_peaks_in_the_middle():
    at_input = resizing(37, 518, align_corners=True)[:, 18]
    assert np.flatnonzero(np.isclose(at_input, at_input.max())).tolist() == [258, 259]
    assert at_input.max() ** 2 == pytest.approx(0.9316, abs=5e-5)
    at_map = resizing(518, 256, align_corners=False) @ at_input
    assert np.flatnonzero(np.isclose(at_map, at_map.max())).tolist() == [127, 128]
    assert at_map.max() ** 2 == pytest.approx(0.8641, abs=5e-5)


def test_n12_align_corners_shifts_tokens():
    """The position of a token in px of the input, read off a ramp over the tokens."""
    for align_corners, positions in ((True, np.arange(37) * 517 / 36), (False, 14 * np.arange(37) + 6.5)):
        ramp = resizing(37, 518, align_corners=align_corners) @ np.arange(37.0)
        inner = slice(1, -1)  # half a pixel from the border, a half-pixel ramp has stopped
        assert np.allclose(np.interp(positions, np.arange(518), ramp)[inner], np.arange(37)[inner], atol=1e-9)
    assert np.abs(np.arange(37) * 517 / 36 - (14 * np.arange(37) + 6.5)).max() == 6.5


def literal_map(image, low, high, grid, settings):
    """The released steps one after the other, in float64 up to the stretching."""
    side = round(grid.window_px * settings.scale)
    stride = int(side * (1.0 - grid.overlap))
    height, width = (round(length * settings.scale) for length in image.image_shape)
    sums = np.zeros((height + 2 * side, width + 2 * side), np.float16)
    counts = np.zeros_like(sums)
    for (x0, y0, _, _), tile in zip(image.boxes, literal_tiles(image, grid, settings), strict=True):
        stretched = ((tile - low) / (high - low + 1e-8) * 255.0).astype(np.float16)
        full_stride = tile_stride(grid.window_px, grid.overlap)
        top, left = stride * (y0 // full_stride), stride * (x0 // full_stride)
        sums[top : top + side, left : left + side] += stretched
        counts[top : top + side, left : left + side] += np.float16(1)
    counts[counts == 0] = 1
    return (sums / counts)[:height, :width].astype(np.float32)


def interpolated(values, length, align_corners):
    """Linear interpolation along the last axis, written with ``numpy.interp``."""
    cells = values.shape[-1]
    by_corners, by_extent = np.linspace(0, cells - 1, length), (np.arange(length) + 0.5) * cells / length - 0.5
    position = by_corners if align_corners else by_extent
    return np.stack([np.interp(position, np.arange(cells), row) for row in values.reshape(-1, cells)]).reshape(
        *values.shape[:-1], length
    )


def literal_tiles(image, grid, settings):
    side, (height, width) = round(grid.window_px * settings.scale), grid.input_shape
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 4.0) ** 2)
    kernel = np.outer(weights, weights) / np.outer(weights, weights).sum()
    for tile in image.scores.astype(np.float64):
        for align_corners, shape in ((True, (height, width)), (False, (side, side))):
            wide = interpolated(tile, shape[1], align_corners)
            tile = interpolated(wide.T, shape[0], align_corners).T  # noqa: PLW2901
        padded = np.pad(tile, 2)
        yield sum(kernel[i, j] * padded[i : i + side, j : j + side] for i in range(5) for j in range(5))


@pytest.mark.parametrize(
    ("grid", "scale", "sizes"),
    [
        (GRID, 0.25, [(2448, 2048), (1000, 3000)]),
        (GridSettings(window_px=64, overlap=0.1, input_px=48), 0.5, [(500, 90), (60, 64)]),
        (GridSettings(window_px=60, overlap=0.6, input_px=(40, 56)), 1.0, [(130, 100)]),
        (GridSettings(window_px=40, overlap=0.1, input_px=40), 0.25, [(1500, 80)]),
    ],
)
def test_the_whole_merge_follows_the_released_steps(grid, scale, sizes):
    settings = MERGE.model_copy(update={"scale": scale})
    images = [scored(*size, cells=11, grid=grid, seed=seed) for seed, size in enumerate(sizes)]
    tiles = [np.stack(list(literal_tiles(image, grid, settings))) for image in images]
    low, high = min(part.min() for part in tiles), max(part.max() for part in tiles)
    found = merged(images, settings, grid)
    for image, ours in zip(images, found, strict=True):
        theirs = literal_map(image, low, high, grid, settings)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 0.25
        assert (ours == theirs).mean() > 0.99
        assert np.array_equal(ours, ours.astype(np.float16))


def test_the_drift_of_the_truncated_stride_leaves_zeros_behind_many_tiles():
    grid = GridSettings(window_px=44, overlap=0.1, input_px=44)
    settings = MERGE.model_copy(update={"robis": RobisMergeSettings(score_range="none")})
    image = scored(4000, 44, cells=5, grid=grid)
    row = merged([image], settings, grid)[0][5]
    assert len(image.boxes) == 103
    assert len(row) == 1000
    assert (row[: 9 * 102 + 11] > 0).all()
    assert not row[9 * 102 + 11 :].any()
    exact = settings.model_copy(update={"robis": RobisMergeSettings(score_range="none", stride="exact")})
    assert (merged([image], exact, grid)[0] > 0).all()


def test_the_range_takes_in_the_padding_and_every_image_of_the_split():
    near, far = scored(1500, 1000, seed=5, name="near"), scored(1500, 1000, seed=6, name="far")
    far.scores[1, 30, 30] = 50.0
    alone, together = merged([near])[0], merged([near, far])[0]
    assert alone.max() > 200
    assert together.max() < 10


def test_each_quirk_can_be_repaired():
    flat = ScoredImage("000", (2048, 2448), tuple(tile_boxes(2448, 2048, GRID)), np.ones((9, 37, 37), np.float32))
    repaired = RobisMergeSettings(
        align_corners=False, blur_border="normalised", score_range="none", stride="exact", precision="float32"
    )
    assert np.abs(merged([flat], MERGE.model_copy(update={"robis": repaired}))[0] - 1.0).max() < 1e-6
    dark = repaired.model_copy(update={"blur_border": "zeros"})
    assert merged([flat], MERGE.model_copy(update={"robis": dark}))[0].min() == pytest.approx(0.3676, abs=1e-4)


def test_an_exact_stride_puts_tiles_where_they_lie():
    placed = placements(axis(4224, 1024, 0.1, scale=0.25, cells=37), RELEASED.model_copy(update={"stride": "exact"}))
    assert [part.start for part in placed] == [0, 230, 460, 691, 921]
    ramp = np.arange(37.0, dtype=np.float32)
    plain = tile_operator(37, 1024, 256, RELEASED).astype(np.float32) @ ramp
    quarter = placed[1].operator @ ramp
    assert quarter[100] == pytest.approx(0.25 * plain[99] + 0.75 * plain[100], abs=1e-4)
    assert [part.start for part in placements(axis(4224, 1024, 0.1, scale=0.25, cells=37), RELEASED)] == [
        0,
        230,
        460,
        690,
        920,
    ]


def test_rounding_is_that_of_float16():
    rng = np.random.default_rng(7)
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[1:] + halves[:-1]) / 2
    scattered = np.exp(rng.uniform(-20, 11, 20_000)).astype(np.float32)
    for values in (halves, between, np.nextafter(between, np.float32(0)), scattered, -scattered):
        rounded = values.copy()
        round_to_half(rounded)
        assert np.array_equal(rounded, values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("grid", "scale", "message"),
    [
        (GridSettings(layout="even"), 0.25, "needs the layout padded, not even"),
        (GridSettings(window_px=1023), 0.25, "give 255.75 map px"),
        (GridSettings(window_px=4, overlap=0.1), 0.25, "that advance"),
    ],
)
def test_grids_that_it_cannot_merge_are_refused(grid, scale, message):
    with pytest.raises(ConfigError, match=message):
        merged([scored(100, 100, grid=grid)], MERGE.model_copy(update={"scale": scale}), grid)
