"""DINOv2 with registers: docs/methods/robis.md#frozen-encoder, its checks N-1 to N-3, and timm as a second opinion."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from seamark.backbones.families import build_network
from seamark.backbones.registry import load_backbone
from seamark.backbones.table import BACKBONES
from seamark.errors import WeightsError
from seamark.files.atomic import file_digest
from seamark.networks.torchvision_operators import declare_torchvision_operators
from seamark.networks.vision_transformer import VisionTransformer

declare_torchvision_operators()
import timm  # noqa: E402  (timm imports torchvision, which needs the declaration above)

BLOCK = {
    "norm1.weight": (1,),
    "norm1.bias": (1,),
    "attn.qkv.weight": (3, 1),
    "attn.qkv.bias": (3,),
    "attn.proj.weight": (1, 1),
    "attn.proj.bias": (1,),
    "ls1.gamma": (1,),
    "norm2.weight": (1,),
    "norm2.bias": (1,),
    "mlp.fc1.weight": (4, 1),
    "mlp.fc1.bias": (4,),
    "mlp.fc2.weight": (1, 4),
    "mlp.fc2.bias": (1,),
    "ls2.gamma": (1,),
}
"""Shapes in units of the width D."""


def expected_state(width, depth):
    state = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1370, width),
        "register_tokens": (1, 4, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for index in range(depth):
        state |= {f"blocks.{index}.{name}": tuple(width * unit for unit in units) for name, units in BLOCK.items()}
    return state


def on_meta(name):
    with torch.device("meta"):
        return build_network(BACKBONES[name])


def embedded(network, batch):
    """Return the tokens that enter the first block."""
    return network._pos_embed(network.patch_embed(batch))


@pytest.fixture(scope="module")
def small():
    return load_backbone("dinov2_vits14_reg", "random")


@pytest.mark.parametrize(
    ("name", "width", "depth", "entries"),
    [("dinov2_vits14_reg", 384, 12, 176), ("dinov2_vitb14_reg", 768, 12, 176), ("dinov2_vitl14_reg", 1024, 24, 344)],
)
def test_n1_state_names_and_shapes(name, width, depth, entries):
    state = {name: tuple(tensor.shape) for name, tensor in on_meta(name).state_dict().items()}
    assert state == expected_state(width, depth)
    assert len(state) == entries


def test_n1_parameters_of_the_encoder():
    assert sum(parameter.numel() for parameter in on_meta("dinov2_vitb14_reg").parameters()) == 86_583_552


def test_n2_shapes_at_518_px(small):
    network = on_meta("dinov2_vitb14_reg")
    batch = torch.empty(2, 3, 518, 518, device="meta")
    assert embedded(network, batch).shape == (2, 1374, 768)
    assert [tuple(output.shape) for output in network.block_outputs(batch, range(2, 10))] == [(2, 1369, 768)] * 8
    assert small.grid_shape(518, 518) == (37, 37)
    assert [tuple(tokens.shape) for tokens in small.tokens(torch.zeros(1, 3, 518, 518))] == [(1, 1369, 384)] * 8


@pytest.mark.parametrize(("height", "width"), [(14, 14), (224, 140), (126, 532)])
def test_n2_other_multiples_of_14(small, height, width):
    grid = (height // 14, width // 14)
    batch = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    tokens, maps = small.tokens(batch), small.pyramid(batch)
    assert small.grid_shape(height, width) == grid
    assert [tuple(layer.shape) for layer in tokens] == [(1, grid[0] * grid[1], 384)] * 8
    assert [tuple(level.shape) for level in maps] == [(1, 384, *grid)] * 8
    assert torch.equal(maps[3][0, :, -1, 0], tokens[3][0, (grid[0] - 1) * grid[1]])


@pytest.mark.slow
def test_n2_the_base_size_runs_at_518_px():
    backbone = load_backbone("dinov2_vitb14_reg", "random")
    tokens = backbone.tokens(torch.zeros(1, 3, 518, 518))
    assert [tuple(layer.shape) for layer in tokens] == [(1, 1369, 768)] * 8
    assert all(bool(torch.isfinite(layer).all()) for layer in tokens)


@pytest.mark.parametrize("block", range(3))
def test_n3_class_and_register_tokens_never_reach_the_features(block):
    """What a block gives for the five leading tokens is replaced; the features of that block stay as they are."""
    network = tiny()
    batch = torch.randn(1, 3, 56, 42, generator=torch.Generator().manual_seed(4))
    (expected,) = network.block_outputs(batch, [block])
    network.blocks[block].register_forward_hook(
        lambda module, inputs, tokens: torch.cat([torch.full_like(tokens[:, :5], torch.nan), tokens[:, 5:]], dim=1)
    )
    (features,) = network.block_outputs(batch, [block])
    assert features.shape == (1, 12, 48)
    assert torch.equal(features, expected)


def test_default_layers():
    assert BACKBONES["dinov2_vits14_reg"].layers == BACKBONES["dinov2_vitb14_reg"].layers == tuple(range(2, 10))
    assert BACKBONES["dinov2_vitl14_reg"].layers == (4, 6, 8, 10, 12, 14, 16, 18)


def tiny(depth=3):
    """Return a network whose every parameter matters: residual factors, registers and tokens far from their start."""
    torch.manual_seed(0)
    network = VisionTransformer(48, depth, 3).eval()
    for name, parameter in network.named_parameters():
        if "gamma" in name or "norm" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
        else:
            torch.nn.init.normal_(parameter, std=0.2)
    return network.requires_grad_(False)


@pytest.mark.parametrize("side", [518, 112])
def test_block_outputs_agree_with_timm(side):
    network = tiny()
    reference = timm.models.vision_transformer.VisionTransformer(
        img_size=side, patch_size=14, embed_dim=48, depth=3, num_heads=3, init_values=1.0, reg_tokens=4, num_classes=0,
        no_embed_class=True,
    ).eval()  # fmt: skip
    grid = side // 14
    state = {name: tensor for name, tensor in network.state_dict().items() if name != "mask_token"}
    positions = network.positions(grid, grid)
    state["cls_token"] = state["cls_token"] + positions[:, :1]
    state["reg_token"] = state.pop("register_tokens")
    state["pos_embed"] = positions[:, 1:]
    reference.load_state_dict(state, strict=True)
    batch = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference.forward_intermediates(
            batch, indices=[0, 2], norm=False, output_fmt="NLC", intermediates_only=True
        )
    for output, target in zip(network.block_outputs(batch, (0, 2)), expected, strict=True):
        torch.testing.assert_close(output, target, rtol=1e-4, atol=1e-4)


def test_positions_are_sampled_at_the_offset_scale():
    network = tiny(1)
    column = torch.arange(37.0)
    table = column.view(1, 1, 37, 1).expand(1, 37, 37, 48).reshape(1, 1369, 48)
    network.pos_embed[:, 1:] = table
    resized = network.positions(20, 10)[0, 1:, 0].view(20, 10)
    centres = (torch.arange(10) + 0.5) * 37 / 10.1 - 0.5
    torch.testing.assert_close(resized[0, 1:9], centres[1:9], rtol=1e-3, atol=0.06)
    torch.testing.assert_close(resized, resized[:1].expand(20, 10))
    assert torch.equal(network.positions(37, 37), network.pos_embed)


def test_registers_have_no_position_and_the_mask_token_is_unused():
    network = tiny(1)
    batch = torch.zeros(1, 3, 28, 28)
    tokens = embedded(network, batch)
    assert torch.equal(tokens[:, 1:5], network.register_tokens)
    torch.testing.assert_close(tokens[:, :1], network.cls_token + network.pos_embed[:, :1])
    before = network.block_outputs(batch, [0])[0]
    network.mask_token.fill_(9.0)
    assert torch.equal(network.block_outputs(batch, [0])[0], before)


def test_blocks_behind_the_last_wanted_one_are_not_run():
    network = tiny()
    batch = torch.randn(1, 3, 28, 28)
    expected = network.block_outputs(batch, [1])[0]
    network.blocks[2] = None
    assert torch.equal(network.block_outputs(batch, [1])[0], expected)


def test_the_scale_of_attention():
    network = tiny(1)
    attention = network.blocks[0].attn
    tokens = torch.randn(1, 7, 48, generator=torch.Generator().manual_seed(2))
    query, key, value = attention.qkv(tokens).view(1, 7, 3, 3, 16).permute(2, 0, 3, 1, 4)
    weights = functional.softmax(query @ key.transpose(2, 3) * 16**-0.5, dim=3)
    expected = attention.proj((weights @ value).transpose(1, 2).reshape(1, 7, 48))
    torch.testing.assert_close(attention(tokens), expected)


def publish(monkeypatch, name, path):
    """Let a file of one's own count as the published one."""
    entry = BACKBONES[name]
    weights = replace(entry.weights, sha256=file_digest(path), size=path.stat().st_size)
    monkeypatch.setitem(BACKBONES, name, replace(entry, weights=weights))


def test_a_file_of_the_right_names_and_shapes_loads(tmp_path, monkeypatch, small):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    path = tmp_path / "hub" / "checkpoints" / "dinov2_vits14_reg4_pretrain.pth"
    torch.manual_seed(0)
    torch.save(VisionTransformer(384, 12, 6).state_dict(), path)
    publish(monkeypatch, "dinov2_vits14_reg", path)
    cached, named = load_backbone("dinov2_vits14_reg"), load_backbone("dinov2_vits14_reg", path)
    assert cached.digest == named.digest == file_digest(path)
    assert cached.verified
    batch = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(3))
    for one, two, random in zip(cached.tokens(batch), named.tokens(batch), small.tokens(batch), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, random)


def test_a_file_of_another_network_is_refused(tmp_path):
    state = {name: torch.zeros(shape) for name, shape in expected_state(384, 12).items()}
    del state["register_tokens"]
    state["head.weight"] = torch.zeros(1)
    state["pos_embed"] = torch.zeros(1, 257, 384)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError) as raised:
        load_backbone("dinov2_vits14_reg", tmp_path / "other.pth")
    message = str(raised.value)
    assert "missing: register_tokens" in message
    assert "unexpected: head.weight" in message
    assert "misshaped: pos_embed [1, 257, 384] instead of [1, 1370, 384]" in message
