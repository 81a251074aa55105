"""Merging of tile maps: positions, blending, smoothing."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamark.errors import ManifestError
from seamark.manifests.tilemaps import CellGeometry
from seamark.maps.merging import merge_tiles
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.tiles.geometry import map_shape, tile_boxes

OFFICIAL_SIZES = [(2232, 1024), (2448, 2048), (2100, 1520), (4224, 1056), (1400, 1900)]
SMALL_SIZES = [(width // 8, height // 8) for width, height in OFFICIAL_SIZES]


def cells_of(input_px: int, cells: int) -> CellGeometry:
    stride = input_px / cells
    return CellGeometry(stride_px=(stride, stride), offset_px=(stride / 2, stride / 2))


def cell_centres(start: int, end: int, cells: int) -> np.ndarray:
    return start + (np.arange(cells) + 0.5) * (end - start) / cells


def coordinate_tiles(boxes, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Tile maps whose values are their own row and column in image px."""
    rows = [np.tile(cell_centres(y0, y1, cells)[:, None], (1, cells)) for _, y0, _, y1 in boxes]
    columns = [np.tile(cell_centres(x0, x1, cells), (cells, 1)) for x0, _, x1, _ in boxes]
    return np.stack(rows).astype(np.float32), np.stack(columns).astype(np.float32)


def map_centres(length: int, pixels: int) -> np.ndarray:
    return (np.arange(pixels) + 0.5) * length / pixels


def far_from_tile_borders(centres: np.ndarray, spans, cells: int) -> np.ndarray:
    """Pixels that lie between two cell centres in every tile that covers them."""
    inner = np.ones(len(centres), bool)
    for start, end in spans:
        covered = (centres >= start) & (centres < end)
        half = (end - start) / cells / 2
        inner &= ~covered | ((centres >= start + half) & (centres <= end - half))
    return inner


def check_coordinates(width, height, grid, cells, merge):
    boxes = tile_boxes(width, height, grid)
    input_px = 64
    for axis, tiles in enumerate(coordinate_tiles(boxes, cells)):
        merged = merge_tiles(
            tiles, boxes, cells_of(input_px, cells), (input_px,) * 2, image_shape=(height, width), settings=merge
        )
        assert merged.shape == map_shape((height, width), merge.scale)
        length = (height, width)[axis]
        centres = map_centres(length, merged.shape[axis])
        error = np.abs(merged - (centres[:, None] if axis == 0 else centres))
        spans = {(box[1 - axis], box[3 - axis]) for box in boxes}
        inner = far_from_tile_borders(centres, spans, cells)
        assert np.compress(inner, error, axis=axis).max(initial=0.0) < 1e-3
        assert error.max() <= max(end - start for start, end in spans) / cells / 2 + 1e-3


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("blend", ["mean", "hann"])
@pytest.mark.parametrize("layout", ["padded", "even"])
@pytest.mark.parametrize(("width", "height"), SMALL_SIZES)
def test_a_ramp_comes_back_at_every_official_size(width, height, layout, blend, scale):
    merge = MergeSettings(scale=scale, blend=blend, smooth_sigma_px=0.0)
    grid = GridSettings(layout=layout, window_px=128, input_px=64)
    check_coordinates(width, height, grid, 128, merge)
    check_coordinates(width, height, grid, 16, merge)


def test_a_ramp_comes_back_at_full_size():
    check_coordinates(2448, 2048, GridSettings(), 37, MergeSettings(smooth_sigma_px=0.0))


@pytest.mark.parametrize("layout", ["padded", "even"])
@pytest.mark.parametrize("blend", ["mean", "hann"])
def test_one_cell_per_pixel_is_exact_up_to_the_border(layout, blend):
    boxes = tile_boxes(245, 205, GridSettings(layout=layout, window_px=102))
    for axis, tiles in enumerate(coordinate_tiles(boxes, 102)):
        merged = merge_tiles(
            tiles,
            boxes,
            cells_of(51, 102),
            (51, 51),
            image_shape=(205, 245),
            settings=MergeSettings(blend=blend, smooth_sigma_px=0.0),
        )
        centres = map_centres((205, 245)[axis], (205, 245)[axis])
        assert np.abs(merged - (centres[:, None] if axis == 0 else centres)).max() < 1e-3


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    window=st.integers(2, 60),
    overlap=st.floats(0.0, 0.7),
    layout=st.sampled_from(["padded", "even", "whole"]),
    blend=st.sampled_from(["mean", "hann"]),
    cells=st.integers(1, 9),
    scale=st.floats(0.05, 1.0),
    sigma=st.floats(0.0, 20.0),
)
def test_constant_tiles_give_a_constant_map(size, window, overlap, layout, blend, cells, scale, sigma):
    if int(window * (1.0 - overlap)) < 1:
        return
    boxes = tile_boxes(size[1], size[0], GridSettings(layout=layout, window_px=window, overlap=overlap))
    merged = merge_tiles(
        np.ones((len(boxes), cells, cells + 1), np.float32),
        boxes,
        CellGeometry(stride_px=(64 / cells, 64 / (cells + 1)), offset_px=(32 / cells, 32 / (cells + 1))),
        (64, 64),
        image_shape=size,
        settings=MergeSettings(scale=scale, blend=blend, smooth_sigma_px=sigma),
    )
    assert merged.shape == map_shape(size, scale)
    assert np.abs(merged - 1.0).max() <= 1e-6


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(40, 200), st.integers(40, 200)),
    window=st.integers(20, 90),
    overlap=st.floats(0.0, 0.6),
    layout=st.sampled_from(["padded", "even", "whole"]),
    blend=st.sampled_from(["mean", "hann"]),
    cells=st.integers(2, 40),
)
def test_a_ramp_comes_back_at_random_sizes(size, window, overlap, layout, blend, cells):
    grid = GridSettings(layout=layout, window_px=window, overlap=overlap, input_px=64)
    check_coordinates(*size, grid, cells, MergeSettings(blend=blend, smooth_sigma_px=0.0))


def seam(blend):
    boxes = [(0, 0, 40, 40), (30, 0, 70, 40)]
    tiles = np.stack([np.zeros((5, 5), np.float32), np.ones((5, 5), np.float32)])
    return merge_tiles(
        tiles,
        boxes,
        cells_of(40, 5),
        (40, 40),
        image_shape=(40, 70),
        settings=MergeSettings(blend=blend, smooth_sigma_px=0.0),
    )[20]


def test_hann_leaves_no_seam_and_mean_does():
    hann, mean = np.diff(seam("hann")), np.diff(seam("mean"))
    assert (hann >= 0).all()
    assert hann[29] < 0.01
    assert hann[39] < 0.01
    assert hann.max() < 0.2
    assert mean[29] == mean[39] == 0.5
    assert seam("hann")[0] == 0.0
    assert seam("hann")[-1] == 1.0


@pytest.mark.parametrize("blend", ["mean", "hann"])
def test_twelve_by_twelve_tiles(blend):
    known = np.random.default_rng(4).random((112, 115), dtype=np.float32)
    boxes = tile_boxes(115, 112, GridSettings(window_px=16, overlap=0.4, input_px=16))
    assert len(boxes) == 144
    padded = np.pad(known, 16)[16:, 16:]
    tiles = np.stack([padded[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes])
    merged = merge_tiles(
        tiles,
        boxes,
        cells_of(16, 16),
        (16, 16),
        image_shape=(112, 115),
        settings=MergeSettings(blend=blend, smooth_sigma_px=0.0),
    )
    assert np.abs(merged - known).max() < 1e-6


@pytest.mark.parametrize("sigma_px", [3.0, 8.0, 40.0])
def test_smoothing_is_a_gaussian_with_normalised_borders(sigma_px):
    noise = np.random.default_rng(5).random((1, 90, 70), dtype=np.float32)
    cells = cells_of(70, 70).model_copy(update={"stride_px": (1.0, 1.0), "offset_px": (0.5, 0.5)})

    def merged(sigma):
        settings = MergeSettings(scale=0.5, smooth_sigma_px=sigma)
        return merge_tiles(noise, [(0, 0, 70, 90)], cells, (90, 70), image_shape=(90, 70), settings=settings)

    plain, sigma = merged(0.0), sigma_px * 0.5
    side = 2 * int(np.ceil(4 * sigma)) + 1

    def blurred(values):
        return cv2.GaussianBlur(values, (side, side), sigma, borderType=cv2.BORDER_CONSTANT)

    expected = blurred(plain) / blurred(np.ones_like(plain))
    assert np.abs(merged(sigma_px) - expected).max() < 1e-5


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize(
    ("grid", "size", "sigma_px"),
    [
        ({"layout": "whole", "input_px": 32}, (96, 160), (8.4, 14.0)),
        ({"layout": "whole", "input_px": [32, 64]}, (160, 96), (14.0, 8.4)),
        ({"layout": "even", "window_px": 64, "input_px": 32}, (100, 150), (5.6, 5.6)),
        ({"layout": "padded", "window_px": 80, "input_px": 32}, (50, 150), (7.0, 7.0)),
    ],
)
def test_smoothing_by_cells_follows_window_and_grid(grid, size, sigma_px, scale):
    grid = GridSettings.model_validate(grid)
    boxes = tile_boxes(size[1], size[0], grid)
    height, width = grid.input_shape
    cells = CellGeometry(stride_px=(height / 8, width / 8), offset_px=(height / 16, width / 16))

    def merged(tiles, **smoothing):
        settings = MergeSettings(scale=scale, **smoothing)
        return merge_tiles(tiles, boxes, cells, grid.input_shape, image_shape=size, settings=settings)

    for coordinates, sigma in zip(coordinate_tiles(boxes, 8), sigma_px, strict=True):
        waves = np.sin(coordinates / np.float32(9.0))  # along one axis alone
        in_cells = merged(waves, smooth_sigma_px=None, smooth_sigma_cells=0.7)
        assert np.abs(in_cells - merged(waves, smooth_sigma_px=sigma, smooth_sigma_cells=0.7)).max() < 1e-6
        assert np.abs(in_cells - merged(waves, smooth_sigma_px=0.0)).max() > 0.02


def test_a_sigma_far_below_a_pixel_does_nothing():
    noise = np.random.default_rng(6).random((1, 8, 8), dtype=np.float32)
    maps = [
        merge_tiles(
            noise,
            [(0, 0, 8, 8)],
            cells_of(8, 8),
            (8, 8),
            image_shape=(8, 8),
            settings=MergeSettings(smooth_sigma_px=sigma),
        )
        for sigma in (0.0, 0.29)
    ]
    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[0], noise[0])


def test_a_cell_in_the_padding_never_reaches_pixels_a_cell_away():
    boxes = tile_boxes(60, 40, GridSettings(window_px=40, overlap=0.0))
    tiles = np.zeros((2, 8, 8), np.float32)
    tiles[1, :, 5:] = 1e6
    merged = merge_tiles(
        tiles, boxes, cells_of(40, 8), (40, 40), image_shape=(40, 60), settings=MergeSettings(smooth_sigma_px=0.0)
    )
    assert not merged.any()


def test_a_pixel_on_the_border_of_its_only_tile_still_gets_its_score():
    boxes = tile_boxes(12, 12, GridSettings(window_px=3, overlap=0.0))
    tiles = np.full((len(boxes), 1, 1), 2.5, np.float32)
    merged = merge_tiles(
        tiles,
        boxes,
        cells_of(3, 1),
        (3, 3),
        image_shape=(12, 12),
        settings=MergeSettings(scale=0.5, smooth_sigma_px=0.0),
    )
    assert (merged == 2.5).all()


def test_boxes_that_do_not_tile_the_image_are_refused():
    tiles = np.zeros((2, 4, 4), np.float32)
    arguments = {"cells": cells_of(4, 4), "input_shape": (4, 4), "settings": MergeSettings()}
    with pytest.raises(ManifestError, match="do not cover the image"):
        merge_tiles(tiles, [(0, 0, 4, 4), (5, 0, 9, 4)], image_shape=(4, 9), **arguments)
    with pytest.raises(ManifestError, match="full rows and columns"):
        merge_tiles(tiles, [(0, 0, 4, 4), (4, 4, 8, 8)], image_shape=(8, 8), **arguments)
    with pytest.raises(ManifestError, match=r"expected \(1, h, w\)"):
        merge_tiles(tiles, [(0, 0, 4, 4)], image_shape=(4, 4), **arguments)


def test_a_map_is_the_same_in_strips_of_any_height(monkeypatch):
    boxes = tile_boxes(130, 90, GridSettings(layout="even", window_px=64, input_px=64))
    tiles = np.random.default_rng(0).random((len(boxes), 8, 8), dtype=np.float32)
    maps = []
    for rows in (1, 7, 1000):
        monkeypatch.setattr("seamark.maps.merging.STRIP_ROWS", rows)
        settings = MergeSettings(blend="hann")
        maps.append(merge_tiles(tiles, boxes, cells_of(64, 8), (64, 64), image_shape=(90, 130), settings=settings))
    assert maps[0].tobytes() == maps[1].tobytes() == maps[2].tobytes()
