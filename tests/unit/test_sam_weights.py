"""The network of the Segment Anything segmenter: where it comes from, and what imports it."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.small_sam import build_small_sam, small_sam
from tests.unit.test_sam import masks_of, photograph, some_boxes

from seamark.errors import WeightsError
from seamark.masks import sam
from seamark.masks.refine import segmenter_for
from seamark.masks.sam import SamSegmenter, load_sam
from seamark.masks.sam_prompts import input_shape
from seamark.settings.refine import RefineSettings, SamSettings
from seamark.weights.finding import require_weights
from seamark.weights.published import SAM_WEIGHTS


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_random_weights_come_from_the_seed_and_leave_the_global_generator_alone(monkeypatch):
    monkeypatch.setattr(sam, "build_sam", build_small_sam)
    settings = SamSettings(weights="random")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, same, other = load_sam(settings, 1), load_sam(settings, 1), load_sam(settings, 2)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first, second) for first, second in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.image_encoder.patch_embed.proj.weight, other.image_encoder.patch_embed.proj.weight)
    assert not any(parameter.requires_grad for parameter in one.parameters())


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Write the weights of a small network as if they were published ones of vit_b."""
    monkeypatch.setattr(sam, "build_sam", build_small_sam)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "sam_vit_b_01ec64.pth"
    path.parent.mkdir(parents=True)
    torch.save(small_sam().state_dict(), path)
    known = replace(
        SAM_WEIGHTS["vit_b"], size=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    )
    monkeypatch.setitem(SAM_WEIGHTS, "vit_b", known)
    return path


def test_stored_weights_give_the_same_masks(stored):
    image, boxes = photograph((90, 120)), some_boxes((90, 120), 4)
    expected = masks_of(small_sam(), image, boxes)
    for weights in ("pretrained", "download", str(stored)):
        network = load_sam(SamSettings(model="vit_b", weights=weights))
        assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
        np.testing.assert_array_equal(masks_of(network, image, boxes), expected)
    require_weights(SAM_WEIGHTS["vit_b"], "pretrained")


def test_damaged_short_and_other_files_are_refused(stored, tmp_path):
    state = small_sam().state_dict()
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.write_bytes(damaged)
    require_weights(SAM_WEIGHTS["vit_b"], "pretrained")
    with pytest.raises(
        WeightsError, match=r"sam_vit_b_01ec64\.pth: sha256 is .*; weights of your own .*refine\.sam\.w"
    ):
        load_sam(SamSettings(model="vit_b"))
    stored.write_bytes(damaged[:-100])
    with pytest.raises(WeightsError, match=r"sam_vit_b_01ec64\.pth: \d+ bytes, expected \d+: the file is incomplete"):
        require_weights(SAM_WEIGHTS["vit_b"], "pretrained")
    state["surplus"] = state.pop("mask_decoder.iou_token.weight")
    torch.save(state, tmp_path / "own.pth")
    with pytest.raises(
        WeightsError, match=r"own\.pth: .*missing: mask_decoder\.iou_token\.weight; unexpected: surplus"
    ):
        load_sam(SamSettings(weights=str(tmp_path / "own.pth")))


def load_pretrained(model):
    return load_sam(SamSettings(model=model))


@pytest.mark.parametrize(
    ("model", "file", "size", "digest"),
    [
        ("vit_b", "sam_vit_b_01ec64.pth", 375042383, "ec2df627"),
        ("vit_l", "sam_vit_l_0b3195.pth", 1249524607, "3adcc431"),
        ("vit_h", "sam_vit_h_4b8939.pth", 2564550879, "a7bf3b02"),
    ],
)
@pytest.mark.parametrize("find", [lambda name: require_weights(SAM_WEIGHTS[name], "pretrained"), load_pretrained])
def test_missing_weights_name_file_size_digest_and_what_works_without(
    find, model, file, size, digest, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError) as raised:
        find(model)
    message = str(raised.value)
    for part in (
        f"{file} (sha256 {digest}..., {size} bytes)",
        f"{tmp_path}/hub/checkpoints/{file}",
        "`refine.sam.weights:`",
        "`refine.sam.weights: download`",
        "`refine.method: grabcut`, which needs no weights",
    ):
        assert part in message


def test_only_the_method_sam_imports_torch():
    program = (
        "import sys\n"
        "from seamark.masks.refine import segmenter_for\n"
        "from seamark.weights.published import SAM_WEIGHTS\n"
        "from seamark.settings.refine import RefineSettings\n"
        "from seamark.weights.finding import require_weights\n"
        "require_weights(SAM_WEIGHTS['vit_h'], 'random')\n"
        "for method in ('none', 'grabcut'): segmenter_for(RefineSettings(method=method))\n"
        "assert 'torch' not in sys.modules and 'segment_anything' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_method_sam_gives_a_segmenter_and_says_when_its_weights_are_random(monkeypatch):
    monkeypatch.setattr(sam, "build_sam", build_small_sam)
    settings = RefineSettings(method="sam", sam=SamSettings(weights="random"))
    assert isinstance(segmenter_for(settings), SamSegmenter)
    assert settings.stated_method == "sam vit_b with random weights"
    assert RefineSettings(method="sam", sam=SamSettings(model="vit_h")).stated_method == "sam vit_h"
    assert RefineSettings().stated_method == "grabcut"


def test_input_shape_never_loses_an_axis():
    assert input_shape((1, 4000), 1024) == (1, 1024)
    assert input_shape((100, 4000), 1024) == (26, 1024)
