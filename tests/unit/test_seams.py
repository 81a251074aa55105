"""Score jumps across tile borders against a pixel-by-pixel count."""

import numpy as np
import pytest

from seamark.evaluation.seams import ScoreJumps
from seamark.settings.grid import GridSettings
from seamark.tiles.geometry import tile_boxes

EVEN = GridSettings(layout="even", window_px=16, overlap=0.25, input_px=8)
PADDED = GridSettings(layout="padded", window_px=20, overlap=0.0, input_px=8)
WHOLE = GridSettings(layout="whole", input_px=8)


def literal(anomaly_map, image_shape, grids):
    """Ask of every pair of neighbours whether an edge lies behind the first and not behind the second centre."""
    (h, w), (height, width) = anomaly_map.shape, image_shape
    boxes = [box for grid in grids for box in tile_boxes(width, height, grid)]
    xs = {x for box in boxes for x in (box[0], box[2]) if 0 < x < width}
    ys = {y for box in boxes for y in (box[1], box[3]) if 0 < y < height}
    border, inside = [], []
    for i in range(h):
        for j in range(w):
            if j + 1 < w:
                crossed = any((j + 0.5) * width / w < x <= (j + 1.5) * width / w for x in xs)
                (border if crossed else inside).append(abs(float(anomaly_map[i, j + 1]) - float(anomaly_map[i, j])))
            if i + 1 < h:
                crossed = any((i + 0.5) * height / h < y <= (i + 1.5) * height / h for y in ys)
                (border if crossed else inside).append(abs(float(anomaly_map[i + 1, j]) - float(anomaly_map[i, j])))
    return border, inside


@pytest.mark.parametrize("grids", [(EVEN,), (PADDED,), (EVEN, PADDED), (WHOLE,), ()])
@pytest.mark.parametrize("map_shape", [(40, 56), (20, 28), (13, 17), (1, 56), (1, 1)])
def test_equals_a_literal_count(grids, map_shape):
    anomaly_map = np.random.default_rng(2).normal(size=map_shape).astype(np.float32)
    border, inside = literal(anomaly_map, (40, 56), grids)
    jumps = ScoreJumps.of(anomaly_map, (40, 56), grids)
    assert (jumps.border_pairs, jumps.inside_pairs) == (len(border), len(inside))
    assert (jumps.border, jumps.inside) == pytest.approx((sum(border), sum(inside)), rel=1e-5)


def test_a_step_at_the_border_is_seen():
    anomaly_map = np.tile(np.arange(60, dtype=np.float32) * 0.1, (20, 1))
    anomaly_map[:, 20:40] += 5.0
    jumps = ScoreJumps.of(anomaly_map, (20, 60), (PADDED,))
    border, inside = jumps.means()
    assert border == pytest.approx(5.0, abs=1e-4)
    assert inside < 0.1
    assert jumps.ratio() == pytest.approx(border / inside)


def test_without_borders_or_variation_there_is_no_ratio():
    anomaly_map = np.random.default_rng(1).random((10, 12)).astype(np.float32)
    assert ScoreJumps.of(anomaly_map, (10, 12), (WHOLE,)).means()[0] is None
    assert ScoreJumps.of(anomaly_map, (10, 12), (WHOLE,)).ratio() is None
    assert ScoreJumps.of(np.zeros((40, 56), np.float32), (40, 56), (EVEN,)).ratio() is None
    assert ScoreJumps().means() == (None, None)


def test_sums_of_images_add_up():
    first, second = (np.random.default_rng(seed).random((40, 56)).astype(np.float32) for seed in (1, 2))
    both = ScoreJumps.of(first, (40, 56), (EVEN,)) + ScoreJumps.of(second, (40, 56), (EVEN,))
    assert both.border_pairs == 2 * ScoreJumps.of(first, (40, 56), (EVEN,)).border_pairs
    pooled = literal(first, (40, 56), (EVEN,))[0] + literal(second, (40, 56), (EVEN,))[0]
    assert both.means()[0] == pytest.approx(np.mean(pooled), rel=1e-5)
