"""Segment Anything as a segmenter: the masks of the package's own predictor, whatever the batches and the boxes."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.small_sam import SamPredictor, small_sam

from seamark.errors import ConfigError
from seamark.masks.components import resize_mask
from seamark.masks.refine import refine_mask, refine_shrunk
from seamark.masks.sam import SamSegmenter
from seamark.masks.sam_prompts import crop_windows, zoom_image
from seamark.masks.segmenter import Patch
from seamark.settings.refine import RefineSettings, SamSettings

SIZES = [(200, 320), (131, 77), (256, 256), (600, 40)]
MODES = ("single", "best_of_three", "union_of_three")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photograph(shape, seed=0, channels=3):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 16, channels), dtype=np.uint8)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC).reshape(*shape, channels)


def some_boxes(shape, count, seed=1):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, [shape[1], shape[0]] * 2, (count, 4))
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:]) + 1
    return [tuple(one) for one in np.concatenate([low, high], axis=1).tolist()]


def flat(shape):
    return np.zeros(shape, np.float32)


def on_canvas(patch, shape):
    canvas = np.zeros(shape, bool)
    height, width = patch.mask.shape
    canvas[patch.y : patch.y + height, patch.x : patch.x + width] = patch.mask
    return canvas


def masks_of(network, image, boxes, **settings):
    shape = image.shape[:2]
    patches = SamSegmenter(network, SamSettings(**settings)).segment(image, np.zeros(shape, bool), flat(shape), boxes)
    return np.stack([on_canvas(patch, shape) for patch in patches])


class Counted:
    """Counts what enters the image encoder."""

    def __init__(self, network):
        self.shapes = []
        network.image_encoder.register_forward_pre_hook(lambda _, given: self.shapes.append(tuple(given[0].shape)))


def predictor(network, image, image_format="RGB"):
    own = SamPredictor(network)
    own.set_image(image, image_format)
    return own


def test_convolutions_on_a_gpu_are_of_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    network = SimpleNamespace(eval=lambda: network, to=lambda _device: network)
    SamSegmenter(network, SamSettings(), "cuda:0")
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("masks", MODES)
def test_logits_equal_those_of_the_packages_predictor(shape, masks):
    network, image, boxes = small_sam(), photograph(shape), some_boxes(shape, 5)
    own = predictor(network, image)
    segmenter = SamSegmenter(network, SamSettings(masks=masks))
    embedding = segmenter.embed(image)
    torch.testing.assert_close(embedding.features, own.features, atol=1e-5, rtol=0)
    for box, logits, quality in zip(boxes, *segmenter.decode(embedding, boxes), strict=True):
        expected, scores, low = own.predict(box=np.array(box), multimask_output=masks != "single", return_logits=True)
        assert logits.std() > 0.01
        np.testing.assert_allclose(logits, low, atol=1e-5, rtol=0)
        np.testing.assert_allclose(quality, scores, atol=1e-5, rtol=0)
        np.testing.assert_allclose(segmenter.enlarge(logits, embedding), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("masks", MODES)
def test_masks_equal_those_of_the_packages_predictor(masks):
    shape = (200, 320)
    network, image, boxes = small_sam(), photograph(shape), some_boxes(shape, 9)
    own = predictor(network, image)
    found = masks_of(network, image, boxes, masks=masks)
    for box, mask in zip(boxes, found, strict=True):
        layers, scores, _ = own.predict(box=np.array(box), multimask_output=masks != "single")
        expected = layers[scores.argmax()] if masks == "best_of_three" else layers.any(axis=0)
        np.testing.assert_array_equal(mask, expected)
    assert 0.02 < found.mean() < 0.98
    assert len({mask.tobytes() for mask in found}) > 1


def test_the_policies_differ_and_the_union_holds_the_best():
    image = photograph((200, 320))
    single, best, union = (masks_of(small_sam(), image, some_boxes((200, 320), 9), masks=masks) for masks in MODES)
    assert not (best & ~union).any()
    assert (union & ~best).any()
    assert (single != best).any()


@pytest.mark.parametrize("masks", MODES)
@pytest.mark.parametrize("prompt_on", ["image", "crops"])
def test_batches_of_1_3_and_50_boxes_give_the_same_masks(masks, prompt_on):
    shape = (200, 320)
    network, image, boxes = small_sam(), photograph(shape), some_boxes(shape, 50)
    found = []
    for size in (1, 3, 50):
        settings = SamSettings(masks=masks, prompt_on=prompt_on, crop_min_px=96, boxes_per_batch=size)
        segmenter = SamSegmenter(network, settings)
        assert segmenter.boxes_per_pass == 1
        exact, segmenter.boxes_per_pass = segmenter.segment(image, np.zeros(shape, bool), flat(shape), boxes), size
        found += [exact, segmenter.segment(image, np.zeros(shape, bool), flat(shape), boxes)]
    for patches in found[1:]:
        for one, other in zip(found[0], patches, strict=True):
            np.testing.assert_array_equal(on_canvas(one, shape), on_canvas(other, shape))


def test_an_image_is_embedded_once_whatever_the_number_of_boxes():
    network = small_sam()
    counted = Counted(network)
    masks_of(network, photograph((200, 320)), some_boxes((200, 320), 50), boxes_per_batch=3)
    assert counted.shapes == [(1, 3, 256, 256)]


def test_an_empty_mask_does_not_wake_the_network():
    network = small_sam()
    counted = Counted(network)
    settings = RefineSettings(method="sam")
    segmenter = SamSegmenter(network, settings.sam)
    empty = np.zeros((50, 60), bool)
    for compose in ("replace", "union", "constrained"):
        composed = settings.model_copy(update={"compose": compose})
        refined, kept = refine_mask(photograph((50, 60)), empty, flat((50, 60)), segmenter, composed)
        assert (refined.any(), kept) == (False, 0)
    assert segmenter.segment(photograph((50, 60)), empty, flat((50, 60)), []) == []
    assert counted.shapes == []


@pytest.mark.parametrize("masks", MODES)
@pytest.mark.parametrize("prompt_on", ["image", "crops"])
@pytest.mark.parametrize("shape", [(100, 4000), (4000, 100), (1, 1), (1, 900), (37, 41)])
def test_strange_images_and_boxes_do_not_break_it(shape, prompt_on, masks):
    height, width = shape
    boxes = [
        (0, 0, width, height),
        (width - 1, height - 1, width, height),
        (5, 5, 5, 5),
        (9, 3, 2, 1),
        (-500, -400, -300, -200),
        (width + 50, height + 60, width + 80, height + 90),
        (-10, -10, width + 10, height + 10),
    ]
    patches = SamSegmenter(small_sam(), SamSettings(masks=masks, prompt_on=prompt_on, crop_min_px=64)).segment(
        photograph(shape), np.zeros(shape, bool), flat(shape), boxes
    )
    assert len(patches) == len(boxes)
    for patch in patches:
        assert patch.x >= 0
        assert patch.y >= 0
        assert patch.x + patch.mask.shape[1] <= width
        assert patch.y + patch.mask.shape[0] <= height
        assert not patch.mask.size or patch.mask.any(axis=1)[[0, -1]].all()
        assert not patch.mask.size or patch.mask.any(axis=0)[[0, -1]].all()


def test_channel_order_and_grey():
    network, boxes = small_sam(), some_boxes((90, 120), 4)
    image = photograph((90, 120))
    swapped = masks_of(network, image, boxes, channel_order="bgr")
    np.testing.assert_array_equal(swapped, masks_of(network, image[:, :, ::-1], boxes))
    assert (swapped != masks_of(network, image, boxes)).any()
    grey = photograph((90, 120), channels=1)
    np.testing.assert_array_equal(masks_of(network, grey, boxes), masks_of(network, grey.repeat(3, axis=2), boxes))


def test_results_depend_neither_on_threads_nor_on_earlier_images():
    segmenter = SamSegmenter(small_sam(), SamSettings())
    scenes = [(photograph((90 + seed, 120), seed), some_boxes((90, 120), 4, seed)) for seed in range(6)]

    def segment(scene):
        image, boxes = scene
        return [on_canvas(patch, image.shape[:2]) for patch in segmenter.segment(image, None, None, boxes)]

    alone = [segment(scene) for scene in scenes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(segment, scenes * 2))
    for number, masks in enumerate(together):
        np.testing.assert_array_equal(masks, alone[number % 6])


def test_prompting_on_crops_is_prompting_on_the_crop():
    network, image = small_sam(), photograph((300, 500))
    box = (200, 100, 230, 140)
    settings = {"prompt_on": "crops", "crop_min_px": 64, "crop_margin": 0.5}
    window = (175, 80, 255, 160)
    assert crop_windows([box], (300, 500), SamSettings(**settings)) == [window]
    (found,) = masks_of(network, image, [box], **settings)
    (expected,) = masks_of(network, image[80:160, 175:255], [(25, 20, 55, 60)])
    assert expected.any()
    np.testing.assert_array_equal(found[80:160, 175:255], expected)
    assert not np.delete(found, np.s_[80:160], axis=0).any()


def test_crops_lie_in_the_image_hold_the_box_and_are_shared_by_neighbours():
    settings = SamSettings(prompt_on="crops", crop_min_px=64, crop_margin=0.25)
    shape = (200, 320)
    for box, window in zip(boxes := some_boxes(shape, 60), crop_windows(boxes, shape, settings), strict=True):
        assert 0 <= window[0] <= box[0] < box[2] <= window[2] <= 320
        assert 0 <= window[1] <= box[1] < box[3] <= window[3] <= 200
        assert window[2] - window[0] >= 64
        assert window[3] - window[1] >= 64
    near = [(100, 100, 104, 104), (110, 90, 116, 96), (200, 100, 204, 104)]
    windows = crop_windows(near, shape, settings)
    assert windows == [(70, 70, 134, 134), (70, 70, 134, 134), (170, 70, 234, 134)]
    network = small_sam()
    counted = Counted(network)
    masks_of(network, photograph(shape), near, prompt_on="crops", crop_min_px=64, crop_margin=0.25)
    assert len(counted.shapes) == 2


def test_crops_and_a_shrunken_image_exclude_each_other():
    with pytest.raises(ValueError, match="prompt_on crops works at native scale: set image_scale to null"):
        SamSettings(prompt_on="crops", image_scale=0.25)


@pytest.mark.parametrize("wanted", [(50, 80), (1, 1), (1, 7), (37, 199), (99, 198)])
def test_the_zoom_is_the_linear_spline_zoom(wanted):
    image = photograph((200, 320))
    height, width = wanted
    rows = np.arange(height) * (199 / (height - 1) if height > 1 else 0)
    columns = np.arange(width) * (319 / (width - 1) if width > 1 else 0)
    grid = np.meshgrid(rows, columns, indexing="ij")
    exact = np.stack([ndimage.map_coordinates(image[:, :, c].astype(float), grid, order=1) for c in range(3)], axis=2)
    assert np.abs(zoom_image(image, wanted) - exact).max() <= 0.5 + 1e-9
    zoomed = ndimage.zoom(image, (height / 200, width / 320, 1), order=1)
    assert zoomed.shape == (height, width, 3)
    np.testing.assert_array_equal(zoom_image(image, wanted), zoomed)


def test_shrinking_a_mask_undoes_its_enlargement():
    rng = np.random.default_rng(3)
    for number in range(400):
        small = rng.random(rng.integers(1, 40, 2)) < 0.4
        shape = tuple(int(one) for one in np.array(small.shape) + rng.integers(0, (3, 40, 400)[number % 3], 2))
        large = cv2.resize(small.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT).view(bool)
        np.testing.assert_array_equal(resize_mask(small, shape), large)
        np.testing.assert_array_equal(resize_mask(large, small.shape), small)


class Recorder:
    """Notes what it is shown and answers each box with the box."""

    def segment(self, image, coarse, scores, boxes):
        self.image, self.coarse, self.boxes = image, coarse, boxes
        return [Patch(x0, y0, np.ones((y1 - y0, x1 - x0), bool)) for x0, y0, x1, y1 in boxes]


def test_at_a_scale_everything_happens_in_map_pixels():
    small = np.zeros((50, 80), bool)
    small[10:14, 20:30] = small[12:18, 22:24] = small[40, 5] = True
    image, segmenter = photograph((200, 320)), Recorder()
    settings = RefineSettings(method="sam", compose="replace", accept="always", top_n=1)
    coarse = resize_mask(small, (200, 320))
    refined, _ = refine_shrunk(image, coarse, flat((50, 80)), segmenter, settings, scale=0.25)
    assert segmenter.boxes == ((20, 10, 30, 18),)
    np.testing.assert_array_equal(segmenter.coarse, small)
    np.testing.assert_array_equal(segmenter.image, zoom_image(image, (50, 80)))
    expected = np.zeros((200, 320), bool)
    expected[40:72, 80:120] = True
    np.testing.assert_array_equal(refined, expected)


def test_a_mask_with_finer_details_than_the_scale_is_refused():
    coarse = np.zeros((200, 320), bool)
    coarse[40:48, 80:89] = True
    with pytest.raises(ConfigError, match=r"details that 80 x 50 px cannot hold; set binarize\.at to map"):
        refine_shrunk(
            photograph((200, 320)), coarse, flat((50, 80)), Recorder(), RefineSettings(method="sam"), scale=0.25
        )


class Answers(Recorder):
    """Answers every box with the same patch."""

    def __init__(self, patch):
        self.patch = patch

    def segment(self, image, coarse, scores, boxes):
        return [self.patch] * len(boxes)


@pytest.mark.parametrize(
    ("compose", "whole", "empty"), [("replace", 3000, 0), ("union", 3000, 4), ("constrained", 16 - 4, 4)]
)
def test_whole_and_empty_masks_become_what_the_composition_says(compose, whole, empty):
    coarse, image = np.zeros((50, 60), bool), photograph((50, 60))
    coarse[20:22, 30:32] = True
    settings = RefineSettings(method="sam", compose=compose, accept="always", constrain_px=1, nothing_found="coarse")
    scores = flat((50, 60))
    frame, nothing = Answers(Patch(0, 0, np.ones((50, 60), bool))), Answers(Patch(0, 0, np.zeros((0, 0), bool)))
    assert refine_mask(image, coarse, scores, frame, settings)[0].sum() == whole
    refined, kept = refine_mask(image, coarse, scores, nothing, settings)
    assert kept == 1
    np.testing.assert_array_equal(refined, coarse)
    dropped, kept = refine_mask(image, coarse, scores, nothing, settings.model_copy(update={"nothing_found": "empty"}))
    assert kept == 0
    assert not dropped.any()
