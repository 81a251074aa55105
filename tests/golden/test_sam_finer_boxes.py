"""Checks S-1 to S-5 of docs/methods/robis.md#checks."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.small_sam import GRID, SIDE, WIDTH, SamPredictor, small_sam

from seamark.masks.components import fill_holes
from seamark.masks.refine import Prompts, refine_mask, refine_shrunk, segmenter_for
from seamark.masks.sam import SamSegmenter, load_sam
from seamark.masks.sam_prompts import input_shape, scale_boxes, zoom_image
from seamark.masks.segmenter import Patch
from seamark.settings.config import resolve
from seamark.settings.refine import RefineSettings, SamSettings


class Recorder:
    def __init__(self):
        self.calls = []

    def segment(self, image, coarse, scores, boxes):
        self.calls.append(list(boxes))
        return [Patch(x0, y0, np.ones((y1 - y0, x1 - x0), bool)) for x0, y0, x1, y1 in boxes]


FLAT = np.zeros((60, 60), np.float32)


def four_components():
    mask = np.zeros((60, 60), bool)
    mask[2:6, 2:6] = mask[10:20, 10:20] = mask[30:35, 30:50] = mask[50:52, 5:10] = True
    return mask


def test_s1_three_largest_components_in_ascending_order():
    prompts = Prompts.of(four_components(), 3)
    assert prompts.boxes == ((2, 2, 6, 6), (10, 10, 20, 20), (30, 30, 50, 35))
    assert Prompts.of(four_components(), None).boxes == ((5, 50, 10, 52), *prompts.boxes)
    assert Prompts.of(four_components(), 1).boxes == ((30, 30, 50, 35),)


def test_s1_equal_areas_keep_label_order():
    mask = np.zeros((120, 120), bool)
    mask[1::4, 1::4] = True
    mask[100:103, 1:3] = True
    boxes = Prompts.of(mask, 500).boxes
    assert boxes[-1] == (1, 100, 3, 103)
    assert list(boxes[:-1]) == sorted(boxes[:-1], key=lambda box: (box[1], box[0]))


@pytest.mark.parametrize("compose", ["replace", "union", "constrained"])
def test_s1_empty_mask_gives_zero_output_without_calling_the_model(compose):
    segmenter = Recorder()
    empty = np.zeros((8, 9), bool)
    settings = RefineSettings(compose=compose)
    refined, kept_coarse = refine_mask(np.zeros((8, 9, 1), np.uint8), empty, FLAT[:8, :9], segmenter, settings)
    assert not refined.any()
    assert kept_coarse == 0
    assert segmenter.calls == []


def test_s1_replacing_drops_what_is_not_among_the_largest():
    segmenter = Recorder()
    settings = RefineSettings(compose="replace", accept="always", top_n=3)
    refined, _ = refine_mask(np.zeros((60, 60, 3), np.uint8), four_components(), FLAT, segmenter, settings)
    assert segmenter.calls == [[(2, 2, 6, 6), (10, 10, 20, 20), (30, 30, 50, 35)]]
    assert refined.sum() == 16 + 100 + 100
    settings = RefineSettings(compose="constrained", accept="always", top_n=3)
    kept, _ = refine_mask(np.zeros((60, 60, 3), np.uint8), four_components(), FLAT, segmenter, settings)
    np.testing.assert_array_equal(kept, four_components())


def test_s2_hole_with_an_island_is_filled():
    mask = np.zeros((14, 14), bool)
    mask[2:12, 2:12] = True
    mask[5:9, 5:9] = False
    mask[6, 6] = True
    assert mask.sum() == 85
    assert fill_holes(mask).sum() == 100


def test_s2_filling_is_idempotent_and_never_removes_pixels():
    rng = np.random.default_rng(0)
    for _ in range(30):
        mask = rng.random((20, 25)) < 0.6
        filled = fill_holes(mask)
        assert not (mask & ~filled).any()
        np.testing.assert_array_equal(fill_holes(filled), filled)


def test_s2_holes_are_bounded_diagonally_and_open_at_the_border():
    ring = np.zeros((5, 5), bool)
    ring[1, 2] = ring[2, 1] = ring[2, 3] = ring[3, 2] = True
    assert fill_holes(ring).sum() == 5
    corner = np.zeros((4, 4), bool)
    corner[0, 1] = corner[1, 0] = True
    assert fill_holes(corner).sum() == 2


THREE_BOXES = [(5, 9, 60, 40), (100, 30, 180, 90), (20, 60, 24, 63)]


class StubNetwork:
    """Stands for a Sam whose mask k of a box is a row of pixels k rows below the top of the box."""

    mask_threshold = 0.0
    image_encoder = SimpleNamespace(img_size=64)

    def __init__(self):
        self.decoded = []
        self.prompt_encoder = SimpleNamespace(get_dense_pe=lambda: None)

    def to(self, device):
        return self

    def eval(self):
        return self


class StubSegmenter(SamSegmenter):
    """Decodes with the stub: logits are positive on one row per mask, and the second mask is predicted to be best."""

    def embed(self, image):
        return SimpleNamespace(shape=image.shape[:2], resized=None)

    def decode(self, embedding, boxes):
        self._network.decoded += boxes
        logits = torch.full((len(boxes), 1 if self._settings.masks == "single" else 3, *embedding.shape), -1.0)
        for (x0, y0, x1, _), layers in zip(boxes, logits, strict=True):
            for number, layer in enumerate(layers):
                layer[y0 + number, x0:x1] = 1.0
        return logits, torch.tensor([[0.4, 0.9, 0.5][: logits.shape[1]]] * len(boxes))

    def enlarge(self, logits, embedding):
        return logits


def released(**changes):
    """Return the settings of the released code, at native scale."""
    sam = SamSettings(channel_order="bgr", masks=changes.pop("masks", "single"))
    policy = {"compose": "replace", "accept": "always", "nothing_found": "empty", "top_n": 3, "fill_holes": False}
    return RefineSettings(method="sam", sam=sam, **policy, **changes)


@pytest.mark.parametrize(("masks", "rows"), [("single", [0]), ("union_of_three", [0, 1, 2]), ("best_of_three", [1])])
def test_s3_one_mask_or_three_together_and_the_union_over_the_boxes_replaces_the_coarse_mask(masks, rows):
    settings, network = released(masks=masks), StubNetwork()
    coarse = four_components()
    segmenter = StubSegmenter(network, settings.sam)
    refined, kept = refine_mask(np.zeros((60, 60, 3), np.uint8), coarse, FLAT, segmenter, settings)
    assert network.decoded == [(2, 2, 6, 6), (10, 10, 20, 20), (30, 30, 50, 35)]
    expected = np.zeros((60, 60), bool)
    for x0, y0, x1, _ in network.decoded:
        for row in rows:
            expected[y0 + row, x0:x1] = True
    np.testing.assert_array_equal(refined, expected)
    assert kept == 0


def test_s3_nothing_takes_the_place_of_a_mask_that_the_network_does_not_find():
    class Blind:
        def segment(self, image, coarse, scores, boxes):
            return [Patch(0, 0, np.zeros((0, 0), bool)) for _ in boxes]

    refined, kept = refine_mask(np.zeros((60, 60, 3), np.uint8), four_components(), FLAT, Blind(), released())
    assert (refined.any(), kept) == (False, 0)


CHOICES = {
    "refine": {"method": "sam", "compose": "replace", "top_n": 3, "sam": {"model": "vit_h"}},
    "overrides": {
        "rice": {"refine": {"method": "none"}},
        "fabric": {"refine": {"sam": {"masks": "union_of_three"}}},
        "walnuts": {"refine": {"sam": {"masks": "union_of_three"}}},
        "*/test_private_mixed": {"refine": {"sam": {"model": "vit_b"}}},
    },
}


@pytest.mark.parametrize(
    "category", ["can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts"]
)
@pytest.mark.parametrize("split", ["validation", "test_public", "test_private", "test_private_mixed"])
def test_s3_choices_per_category_and_split_are_plain_overrides(category, split):
    settings = resolve(CHOICES, category, split).refine
    assert settings.method == ("none" if category == "rice" else "sam")
    assert settings.sam.model == ("vit_b" if split == "test_private_mixed" else "vit_h")
    assert settings.sam.masks == ("union_of_three" if category in ("fabric", "walnuts") else "single")
    if category == "rice":
        assert segmenter_for(settings) is None


@pytest.mark.parametrize(
    ("width", "height", "resized"),
    [
        (612, 512, (1024, 857)),
        (558, 256, (1024, 470)),
        (525, 380, (1024, 741)),
        (1056, 264, (1024, 256)),
        (350, 475, (755, 1024)),
    ],
)
def test_s4_sizes_at_which_images_enter_and_boxes_scaled_by_each_axis(width, height, resized):
    shape = input_shape((height, width), 1024)
    assert shape[::-1] == resized
    (box,) = scale_boxes([(2, 3, 10, 20)], (height, width), shape)
    across, down = resized[0] / width, resized[1] / height
    np.testing.assert_array_equal(box, [2 * across, 3 * down, 10 * across, 20 * down])
    np.testing.assert_array_equal(scale_boxes([(0, 0, width, height)], (height, width), shape), [[0, 0, *resized]])


def test_s4_zoom_from_8_to_2_takes_the_corners():
    ramp = np.broadcast_to(np.arange(10, 90, 10, dtype=np.uint8)[:, np.newaxis, np.newaxis], (8, 8, 3))
    assert zoom_image(ramp, (2, 8))[:, 0, 0].tolist() == [10, 80]
    assert zoom_image(ramp.transpose(1, 0, 2), (8, 2))[0, :, 0].tolist() == [10, 80]
    assert zoom_image(ramp, (8, 8)).tolist() == ramp.tolist()
    assert zoom_image(ramp, (3, 8))[:, 0, 0].tolist() == [10, 45, 80]


def test_s4_at_a_quarter_the_network_sees_the_zoomed_image_in_the_configured_order_of_channels():
    seen = []

    class Watching(StubSegmenter):
        def embed(self, image):
            seen.append(image)
            return super().embed(image)

    image = np.random.default_rng(0).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    settings = released()
    segmenter = Watching(StubNetwork(), settings.sam)
    coarse = np.kron(four_components(), np.ones((4, 4), bool))
    refined, _ = refine_shrunk(image, coarse, FLAT, segmenter, settings, scale=0.25)
    (pixels,) = seen
    np.testing.assert_array_equal(pixels, zoom_image(image, (60, 60))[:, :, ::-1])
    assert refined[8:12, 8:24].all()
    assert refined.sum() == 16 * (4 + 10 + 20)


def check_s5(network, image, grid, width, tolerance):
    """Check shapes, batched against single decoding, and the package's own predictor."""
    own = SamPredictor(network)
    own.set_image(image)
    for masks, kept in (("single", 1), ("union_of_three", 3)):
        segmenter = SamSegmenter(network, SamSettings(masks=masks, boxes_per_batch=3))
        embedding = segmenter.embed(image)
        assert embedding.features.shape == (1, width, grid, grid)
        scaled = torch.from_numpy(scale_boxes(THREE_BOXES, embedding.shape, embedding.resized)).float()
        sparse, dense = network.prompt_encoder(points=None, boxes=scaled, masks=None)
        assert sparse.shape == (3, 2, width)
        assert dense.shape == (3, width, grid, grid)
        together = segmenter.decode(embedding, THREE_BOXES)
        assert together[0].shape == (3, kept, 4 * grid, 4 * grid)
        for box, logits, quality in zip(THREE_BOXES, *together, strict=True):
            alone, _ = segmenter.decode(embedding, [box])
            torch.testing.assert_close(logits, alone[0], atol=tolerance, rtol=0)
            expected, scores, low = own.predict(box=np.array(box), multimask_output=kept == 3, return_logits=True)
            np.testing.assert_allclose(logits, low, atol=1e-5, rtol=0)
            np.testing.assert_allclose(quality, scores, atol=1e-5, rtol=0)
            np.testing.assert_allclose(segmenter.enlarge(logits, embedding), expected, atol=1e-5, rtol=0)


def test_s5_shapes_and_batches_with_a_small_network():
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    network = small_sam()
    assert network.image_encoder.img_size == SIDE
    check_s5(network, image, GRID, WIDTH, 3e-7)


@pytest.fixture(scope="module")
def vit_b():
    return load_sam(SamSettings(model="vit_b", weights="random"), seed=1)


@pytest.mark.slow
def test_s5_shapes_and_batches_with_vit_b(vit_b):
    assert len(vit_b.state_dict()) == 314
    assert sum(parameter.numel() for parameter in vit_b.parameters()) == 93_735_472
    assert sum(parameter.numel() for parameter in vit_b.image_encoder.parameters()) == 89_670_912
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    check_s5(vit_b, image, 64, 256, 3e-7)


@pytest.mark.slow
def test_s5_batches_of_1_3_and_50_boxes_and_strange_prompts_with_vit_b(vit_b, monkeypatch):
    image = np.random.default_rng(1).integers(0, 256, (100, 4000, 3), dtype=np.uint8)
    corners = np.sort(np.random.default_rng(2).integers(0, [100, 4000], (46, 2, 2)), axis=1)
    boxes = [(x0, y0, x1 + 1, y1 + 1) for (y0, x0), (y1, x1) in corners.tolist()]
    boxes += [(5, 5, 5, 5), (-90, -80, -70, -60), (4100, 200, 4200, 300), (-9, -9, 4009, 109)]
    embedding = SamSegmenter(vit_b, SamSettings()).embed(image)
    found = []
    for size in (1, 3, 50):
        segmenter = SamSegmenter(vit_b, SamSettings(boxes_per_batch=size))
        monkeypatch.setattr(segmenter, "embed", lambda _: embedding)
        found.append(segmenter.segment(image, np.zeros((100, 4000), bool), np.zeros((100, 4000), np.float32), boxes))
    for batched in found[1:]:
        for one, other in zip(found[0], batched, strict=True):
            assert (one.x, one.y) == (other.x, other.y)
            np.testing.assert_array_equal(one.mask, other.mask)
    together, _ = segmenter.decode(embedding, boxes)
    assert torch.isfinite(together).all()
    for box, logits in zip(boxes, together, strict=True):
        torch.testing.assert_close(segmenter.decode(embedding, [box])[0][0], logits, atol=1e-5, rtol=0)
