"""Blocks in strips of rows: bits of the block on all rows at once."""

import pytest
import torch

from seamark.backbones.registry import load_backbone
from seamark.networks import in_strips
from seamark.networks.in_strips import InStrips


@pytest.fixture(scope="module")
def strips():
    backbone = load_backbone("efficientnet_lite0", weights="random", seed=3)
    (found,) = (module for module in backbone.modules() if isinstance(module, InStrips))
    return found


def features(*shape, seed=0):
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("height", [34, 64, 100, 102])
@torch.inference_mode()
def test_bits_are_those_of_all_rows_at_once(strips, height, monkeypatch):
    monkeypatch.setattr(in_strips, "STRIP_BYTES", 96 * 40 * 4 * 16)
    taken = features(1, 16, height, 40)
    assert torch.equal(strips(taken), strips.block(taken))


@torch.inference_mode()
def test_no_strip_is_larger_than_the_bound(strips, monkeypatch):
    monkeypatch.setattr(in_strips, "STRIP_BYTES", 96 * 40 * 4 * 16)
    heights = []
    hook = strips.block.register_forward_pre_hook(lambda _, inputs: heights.append(inputs[0].shape[2]))
    strips(features(1, 16, 64, 40))
    hook.remove()
    assert heights == [18, 20, 20, 18]


@pytest.mark.parametrize(("height", "width"), [(65, 40), (64, 41)])
@torch.inference_mode()
def test_odd_sides(strips, height, width, monkeypatch):
    monkeypatch.setattr(in_strips, "STRIP_BYTES", 96 * width * 4 * 16)
    taken = features(1, 16, height, width)
    torch.testing.assert_close(strips(taken), strips.block(taken), rtol=1e-6, atol=1e-6)


def test_features_that_take_a_gradient_go_whole(strips, monkeypatch):
    monkeypatch.setattr(in_strips, "STRIP_BYTES", 96 * 40 * 4 * 16)
    taken = features(1, 16, 64, 40).requires_grad_()
    strips(taken).sum().backward()
    alone = taken.detach().clone().requires_grad_()
    strips.block(alone).sum().backward()
    assert torch.equal(taken.grad, alone.grad)
