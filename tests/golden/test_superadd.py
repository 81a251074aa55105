"""SuperADD against its literal reference: tiles, bank, maps and masks; and what the reference cannot say."""

import math

import cv2
import numpy as np
import pytest
import torch
from tests.golden import superadd_reference as literal

from seamark.detectors.superadd.detector import SuperAdd
from seamark.detectors.superadd.search import nearest_distances
from seamark.detectors.superadd.thinning import Held, LayerChoice, draw, thin
from seamark.errors import DataError, ManifestError
from seamark.learning.batches import TileReader, TrainingTiles, counted_random
from seamark.maps.calibration import image_statistics, pooled_statistics
from seamark.maps.cut_merging import merge_cut
from seamark.maps.float16_scores import score_histogram
from seamark.maps.tile_maps import ScoredImage
from seamark.masks.binarize import binarize_map
from seamark.masks.thresholds import ImageContext
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.settings.superadd import SuperAddSettings
from seamark.tiles.cells import cell_starts, own_spans, shrunken_side
from seamark.tiles.cutting import cut_cells
from seamark.tiles.geometry import own_parts, tile_boxes

RELEASED = GridSettings(layout="cells", window_px=1024, input_px=640, overlap=0.4)
TOY = GridSettings(layout="cells", window_px=112, input_px=56, overlap=0.5, cell_px=14)
HOW = {"cell": 14, "tile": 4, "o": 1}
CUT = MergeSettings(method="cut", scale=0.25)
SHAPE = (160, 244)
SMALL = tuple(shrunken_side(side, TOY) for side in SHAPE)
TILES = len(tile_boxes(SHAPE[1], SHAPE[0], TOY))


@pytest.mark.parametrize(
    ("height", "width", "cells", "tiles"),
    [
        (1024, 2232, (40, 87), 3),
        (2048, 2448, (80, 95), 12),
        (1520, 2100, (59, 82), 6),
        (1056, 4224, (41, 165), 14),
        (1900, 1400, (74, 54), 6),
    ],
    ids=["can", "fabric", "fruit_jelly", "sheet_metal", "vial"],
)
def test_tiles_of_the_challenge(height, width, cells, tiles):
    """Numbers of tokens and tiles that docs/methods/superadd.md#tiles has; starts and kept parts of the reference."""
    assert len(tile_boxes(width, height, RELEASED)) == len(own_parts(width, height, RELEASED)) == tiles
    for length, whole in zip((height, width), cells, strict=True):
        starts, kept = literal.axis(shrunken_side(length, RELEASED))
        assert shrunken_side(length, RELEASED) // 16 == whole
        assert cell_starts(length, RELEASED) == tuple(starts)
        assert own_spans(starts, 40) == [(own.start, own.stop) for own in kept]
        assert [start + cell for start, own in zip(starts, kept, strict=True) for cell in own] == list(range(whole))


def test_photographs_smaller_than_a_tile_are_refused():
    with pytest.raises(DataError, match="side of 600 px gives 23 cells, and a tile of the layout cells has 40"):
        tile_boxes(2000, 600, RELEASED)


@pytest.mark.parametrize("layout", ["even", "padded", "whole"])
def test_own_parts_of_other_layouts_cover_the_photograph_once(layout):
    grid = GridSettings(layout=layout, window_px=100, input_px=100, overlap=0.3)
    seen = np.zeros((240, 330), int)
    for (left, top, right, bottom), (x0, y0, x1, y1) in zip(
        tile_boxes(330, 240, grid), own_parts(330, 240, grid), strict=True
    ):
        across, down = (right - left) / 100, (bottom - top) / 100
        seen[
            top + round(y0 * down) : top + round(y1 * down), left + round(x0 * across) : left + round(x1 * across)
        ] += 1
    assert (seen == 1).all()


def clusters(count, seed=0):
    """Vectors of which most lie close to a few of them, as good photographs give them."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 3, (12, 24))
    spread = random.choice([0.1, 1.0], (count, 1), p=[0.8, 0.2])
    return (centres[random.integers(12, size=count)] + spread * random.normal(size=(count, 24))).astype(np.float32)


def chosen(vectors, settings, drawn, passes):
    choice = LayerChoice(len(vectors), settings, drawn)
    for rounds in passes:
        places = choice.wanted(rounds)
        held = Held(places, torch.from_numpy(vectors[places]))
        for number in rounds:
            choice.thin(number, held, torch.device("cpu"))
    places = choice.fill()
    return choice.bank(Held(places, torch.from_numpy(vectors[places]))).numpy()


@pytest.mark.parametrize(("count", "size"), [(3000, 200), (1500, 1200), (300, 400)])
def test_the_same_draws_give_the_same_bank_in_any_number_of_passes(count, size):
    vectors = clusters(count)
    settings = SuperAddSettings(bank_size=size, rounds=10, neighbours=50)
    drawn = draw(count, settings, np.random.default_rng(4))
    expected = vectors[sorted(literal.bank(vectors, *drawn, size, neighbours=50))]
    for passes in ([range(10)], [range(3), range(3, 10)], [[number] for number in range(10)]):
        assert np.array_equal(chosen(vectors, settings, drawn, passes), expected)


def test_thinning_spares_the_rare():
    """Of vectors that lie close together fewer stay than of those alone; it ends if all are one or none is finite."""
    vectors = np.concatenate([clusters(2000)[:1800] * 0.01, 50.0 + clusters(200, 1)])
    stays = thin(torch.from_numpy(vectors), np.random.default_rng(0).random(2000), 200, 100)
    assert stays.sum() <= 200
    assert stays[1800:].mean() > 2 * stays[:1800].mean()
    for one in (torch.zeros(50, 4), torch.full((50, 4), torch.inf), torch.full((50, 4), torch.nan)):
        assert thin(one, np.random.default_rng(0).random(50), 7, 10).sum() == 7


@pytest.mark.parametrize(("half", "atol"), [(False, 1e-6), (True, 1e-4)])
def test_distances_are_those_of_the_winner(half, atol):
    """Far from the origin, where products alone lose them; a vector of the bank has distance 0."""
    bank = torch.from_numpy(1000.0 + clusters(3000, 3))
    queries = torch.cat([bank[:40], torch.from_numpy(1000.0 + clusters(700, 5))])
    expected = torch.cdist(queries.double(), bank.double()).amin(dim=1).float()
    torch.testing.assert_close(
        nearest_distances(queries, bank, half=half), expected, atol=atol, rtol=1e-3 if half else 1e-5
    )
    assert not nearest_distances(bank[:40], bank, half=half).any()


def photographs(number):
    random = np.random.default_rng(1)
    return [cv2.GaussianBlur(random.integers(0, 256, (*SHAPE, 3), dtype=np.uint8), (0, 0), 3) for _ in range(number)]


@pytest.fixture(scope="module")
def trained():
    settings = SuperAddSettings(
        backbone="dinov2_vits14_reg", weights="random", layers=(3, 8), bank_size=60, rounds=5, neighbours=10
    )
    detector = SuperAdd(settings, TOY.input_shape, seed=2)
    tiles = np.concatenate([cut_cells(photograph, TOY) for photograph in photographs(2)])
    own = own_parts(SHAPE[1], SHAPE[0], TOY) * 2
    reader = TileReader(tiles, detector.backbone.normalise, "cpu", 2, own=own)
    with torch.no_grad():
        for phase in detector.phases(TrainingTiles(reader, reader)):
            phase.run(TrainingTiles(reader, reader), lambda items, _: items)
    return detector, reader


def layer_grids(detector, reader, photograph):
    """Token grids of a photograph, one per layer."""
    tiles = range(photograph * TILES, (photograph + 1) * TILES)
    levels = [detector.backbone.pyramid(reader.images([reader.pixels(tile)])) for tile in tiles]
    return [
        literal.token_grid([own[layer][0].permute(1, 2, 0).numpy() for own in levels], SMALL, **HOW) for layer in (0, 1)
    ]


def in_order_of_tiles(grid):
    """Vectors of a token grid in the order in which tiles keep them."""
    (down, rows), (across, columns) = (literal.axis(side, **HOW) for side in SMALL)
    return np.concatenate(
        [
            grid[y0 + own_rows.start : y0 + own_rows.stop, x0 + own.start : x0 + own.stop].reshape(-1, grid.shape[2])
            for y0, own_rows in zip(down, rows, strict=True)
            for x0, own in zip(across, columns, strict=True)
        ]
    )


def test_the_detector_and_its_merge_give_the_maps_of_the_reference(trained):
    detector, reader = trained
    seen = [layer_grids(detector, reader, photograph) for photograph in (0, 1)]
    banks = []
    for layer in (0, 1):
        vectors = np.concatenate([in_order_of_tiles(own[layer]) for own in seen])
        drawn = draw(len(vectors), detector.settings, counted_random(2, "draws", layer))
        banks.append(vectors[sorted(literal.bank(vectors, *drawn, 60, neighbours=10))])
        np.testing.assert_array_equal(detector.get_buffer(f"bank_{layer}").numpy(), banks[-1])
    boxes = tuple(tile_boxes(SHAPE[1], SHAPE[0], TOY))
    for photograph, grids in enumerate(seen):
        tiles = [reader.pixels(photograph * TILES + tile) for tile in range(TILES)]
        scores = detector.score(reader.images(tiles)).numpy()
        found = merge_cut(ScoredImage("a", SHAPE, boxes, scores), TOY, CUT)
        np.testing.assert_allclose(found, literal.anomaly_map(grids, banks, *SHAPE), rtol=0, atol=1e-5)
        assert found.max() > 100 * 1e-5


def test_a_bank_does_not_depend_on_the_memory(trained):
    detector, reader = trained
    other = SuperAdd(detector.settings.model_copy(update={"memory_limit_mb": 0}), TOY.input_shape, seed=2)
    passes = []

    def track(items, what):
        passes.append(what)
        return items

    with torch.no_grad():
        other.phases(TrainingTiles(reader, reader))[0].run(TrainingTiles(reader, reader), track)
    assert passes.count("tiles read") == 6
    assert all(torch.equal(bank, other.state()[name]) for name, bank in detector.state().items())


def test_an_untrained_detector_is_refused():
    settings = SuperAddSettings(backbone="efficientnet_lite0", weights="random")
    with pytest.raises(ManifestError, match="the banks of superadd are empty"):
        SuperAdd(settings, (64, 64), seed=0).score(torch.zeros(1, 3, 64, 64))


def test_exact_cells_stay_where_they_lie():
    """Stretched ones end up to a cell too far out; both are the same where the cells fill the photograph."""
    ramp = np.tile(np.arange(4, dtype=np.float32), (1, 4, 1))
    image = ScoredImage("a", (112, 125), ((0, 0, 112, 113),), ramp)
    exact = CUT.model_copy(update={"cut": CUT.cut.model_copy(update={"cells": "exact"})})
    stretched, left = (merge_cut(image, TOY, settings)[0] for settings in (CUT, exact))
    shrunken = (np.arange(left.size) + 0.5) * 62 / left.size
    np.testing.assert_allclose(left, np.clip(shrunken / 14 - 0.5, 0, 3), atol=1e-6)
    np.testing.assert_allclose(stretched, np.clip(shrunken / 62 * 4 - 0.5, 0, 3), atol=1e-6)


BINARIZE = BinarizeSettings(
    at="map",
    mean_std={"enabled": False},
    quantile={"enabled": True, "q": 0.95, "factor": 1.421},
    closing={"enabled": True},
)


def random_map(number):
    """Blobs, streaks and specks on an even ground, some at the border."""
    random = np.random.default_rng(number)
    shape = tuple(random.integers(30, 80, 2))
    noise = cv2.GaussianBlur(random.normal(0, 1, shape), (0, 0), float(random.uniform(0.6, 5)))
    scores = 1.0 + 0.3 * noise / noise.std()
    for _ in range(random.integers(0, 4)):
        ends = [(int(random.integers(shape[1])), int(random.integers(shape[0]))) for _ in range(2)]
        cv2.line(scores, *ends, float(random.uniform(1.5, 3)), int(random.integers(1, 4)))
    return scores.astype(np.float32)


def context_of(normal):
    counts = score_histogram(normal)
    image = image_statistics("a", normal, counts)
    split = pooled_statistics("train_crossfit", [image], counts, [0.95])
    return ImageContext(split, split, image, 0.0, {})


def test_masks_are_those_of_the_reference_to_the_pixel():
    normal = np.minimum(random_map(1000), np.float32(1.1))
    context, drawn = context_of(normal), 0
    for number in range(200):
        scores = random_map(number)
        found, (threshold, floor) = binarize_map(scores, scores.shape, context, BINARIZE)
        assert math.isclose(threshold.value, 1.421 * np.percentile(normal, 95), rel_tol=1e-3)
        assert math.isclose(floor.value, 0.8 * threshold.value)
        assert np.array_equal(np.where(found, 255, 0), literal.mask(scores, threshold.value))
        drawn += found.any() and not found.all()
    assert drawn > 150


def test_native_masks_are_closed_and_end_where_the_enlarged_map_does():
    scores = np.full((60, 80), 0.1, np.float32)
    scores[20:22, 10:60] = 2.0
    scores[20:22, 30:40] = 1.0
    context = context_of(np.full((8, 8), 1.2 / 1.421, np.float32))
    mask, _ = binarize_map(scores, (240, 320), context, BINARIZE.model_copy(update={"at": "native"}))
    rows, columns = np.nonzero(mask)
    assert mask[84, 48:236].all(), "the gap is closed"
    assert 4 < np.ptp(rows) < 12
    assert 40 < columns.min() < 48
