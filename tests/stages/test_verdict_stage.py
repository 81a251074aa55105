"""The verdict stage: the gate, and what an image is judged by."""

import numpy as np
import pytest
from tests.stages.masks_run import SHAPE, calibrate, judge, scale_map

from seamark.errors import ManifestError
from seamark.files.images import read_map, read_mask
from seamark.masks.verdict import marked_peak


@pytest.mark.parametrize(
    ("mean_std", "gate", "outcomes"),
    [
        ({"k": 0.0, "scope": "image"}, True, ("kept", "emptied")),
        ({"k": 99.0}, True, ("marked", "kept")),
        ({"k": 0.0, "scope": "image"}, False, ("kept", "kept")),
        ({"k": 99.0}, False, ("kept", "kept")),
    ],
)
def test_the_gate_lets_no_mask_contradict_the_verdict(tree, mean_std, gate, outcomes):
    """Thresholds that find something in every image, and nothing in any."""
    scale_map(tree, "test_public", "good/001_regular", 1 / 9)
    calibrate(tree)
    masks, verdicts = judge(tree, gate, mean_std=mean_std)
    assert (masks.stage, masks.method, verdicts.gate) == ("judged", "none", gate)
    assert [image.answer for image in verdicts.images] == ["bad", "good"]
    assert tuple(image.mask for image in verdicts.images) == outcomes
    assert (verdicts.normal_images, verdicts.normal_photographs, verdicts.smallest_p) == (2, 2, 1 / 3)
    for record, image in zip(masks.masks, verdicts.images, strict=True):
        path = tree / "judged" / record.file
        mask, refined = read_mask(path), tree / "refined" / record.file
        assert (image.area_px, image.defects) == (mask.sum(), record.components)
        assert (path.read_bytes() == refined.read_bytes()) == (image.mask == "kept")
        assert not gate or mask.any() == (image.answer == "bad")
        if image.mask == "marked":
            rows, columns = np.nonzero(mask)
            assert np.hypot(columns - 40, rows - 30).max() < 12, "around the defect"
            assert (image.largest.x, image.largest.width) == (columns.min(), np.ptp(columns) + 1)


@pytest.mark.parametrize(("mean_std", "done"), [({"k": 0.0, "scope": "image"}, "kept"), ({"k": 99.0}, "marked")])
def test_the_gate_leaves_alone_what_is_to_be_looked_at(tree, mean_std, done):
    """One image lies between the two normal ones; a bad one is marked down from the higher of them."""
    usual, odd = (scale_map(tree, "validation", f"good/00{n}_regular", factor) for n, factor in enumerate((1, 5)))
    own = scale_map(tree, "test_public", "good/001_regular", 1).maximum
    scale_map(tree, "test_public", "good/001_regular", (usual.maximum + odd.maximum) / 2 / own)
    calibrate(tree)
    masks, verdicts = judge(tree, gate=True, rates={"benchmark_alpha": 0.7}, mean_std=mean_std)
    assert [(image.answer, image.mask) for image in verdicts.images] == [("bad", done), ("look", "kept")]
    assert (verdicts.bad.above, verdicts.look.above) == (odd.maximum, usual.maximum)
    bad, look = (read_mask(tree / "judged" / record.file) for record in masks.masks)
    assert look.any() == (done == "kept")
    if done == "marked":
        scores = read_map(tree / "fused/test_public/bad/000_regular.tiff")
        assert np.array_equal(bad, marked_peak(scores, SHAPE, odd.maximum))
        assert not np.array_equal(bad, marked_peak(scores, SHAPE, usual.maximum))


def test_a_normal_image_is_judged_by_the_others(tree):
    calibrate(tree)
    _, verdicts = judge(tree, gate=True, split="validation")
    assert [image.basis.normal_images for image in verdicts.images] == [1, 1]
    assert sorted(image.p for image in verdicts.images) == [0.5, 1.0]
    assert verdicts.normal_images == 2
    files = [tree / "judged" / name for name in ("validation.json", "validation.verdicts.json")]
    first = [path.read_bytes() for path in files]
    judge(tree, gate=True, split="validation", threads=2)
    assert [path.read_bytes() for path in files] == first


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"stage": "coarse"}, "coarse masks of rice test_public, expected refined ones of rice test_public"),
        ({"masks": ()}, "its 0 masks are not those of the 2 images"),
    ],
)
def test_a_verdict_wants_the_refined_masks_of_its_maps(coarse_tree, update, message):
    with pytest.raises(ManifestError, match=message):
        judge(coarse_tree, gate=True, refined=update)
