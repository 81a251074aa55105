"""INP-Former against docs/methods/robis.md#checks (N-1 to N-4)."""

import pytest
import torch

from seamark.detectors.inp_former.detector import InpFormer
from seamark.detectors.inp_former.network import InpNetwork, ReluAttention
from seamark.errors import ConfigError
from seamark.settings.inp_former import InpFormerSettings


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def network(dim=16, heads=2, prototypes=3, blocks=4, groups=2, seed=0):
    torch.manual_seed(seed)
    net = InpNetwork(dim, heads, prototypes, blocks, groups)
    for parameter in net.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return net


@pytest.mark.parametrize(
    ("dim", "heads", "total"), [(768, 12, 68_517_984), (384, 6, 17_154_096), (1024, 16, 121_766_016)]
)
def test_n1_parameters(dim, heads, total):
    with torch.device("meta"):
        net = InpNetwork(dim, InpFormerSettings().head_count(dim), 6, 8, 2)
    assert InpFormerSettings().head_count(dim) == heads
    assert count(net) == total
    assert len(net.state_dict()) == 139
    if dim == 768:
        assert count(net.bottleneck) == 4_722_432
        assert net.prototype_token.numel() == 4_608
        assert count(net.extractor) == 7_087_872
        assert len(net.extractor.state_dict()) == 14
        assert {count(block) for block in net.decoder} == {7_087_884}
        assert {len(block.state_dict()) for block in net.decoder} == {15}


@pytest.fixture(scope="module")
def whole():
    """INP-Former on DINOv2-R ViT-B/14 at 518 px, without memory behind its tensors."""
    with torch.device("meta"):
        return InpFormer(InpFormerSettings(backbone="dinov2_vitb14_reg", weights="random"), (518, 518), seed=1)


def test_n1_tensors_and_parameters_of_the_whole_model(whole):
    assert len(whole.state_dict()) == 315
    assert len(whole.state()) == 139
    assert count(whole.backbone) == 86_583_552
    assert sum(parameter.numel() for parameter in whole.parameters() if parameter.requires_grad) == 68_517_984
    parts = ("prototype_token", "bottleneck.", "extractor.", "decoder.")
    assert [sum(name.startswith(f"network.{part}") for name in whole.state()) for part in parts] == [1, 4, 14, 8 * 15]


def test_n1_shapes_of_the_trainable_part(whole):
    shapes = {name.removeprefix("network."): tuple(tensor.shape) for name, tensor in whole.state().items()}
    norms = {f"norm{which}.{kind}": (768,) for which in (1, 2) for kind in ("weight", "bias")}
    mlp = {"fc1.weight": (3072, 768), "fc1.bias": (3072,), "fc2.weight": (768, 3072), "fc2.bias": (768,)}
    linear = {"q": (768, 768), "kv": (1536, 768), "proj": (768, 768)}
    attention = {f"attn.{name}.weight": shape for name, shape in linear.items()}
    attention |= {f"attn.{name}.bias": shape[:1] for name, shape in linear.items()}
    block = norms | attention | {f"mlp.{name}": shape for name, shape in mlp.items()}
    expected = {"prototype_token": (6, 768)}
    expected |= {f"bottleneck.{name}": shape for name, shape in mlp.items()}
    expected |= {f"extractor.{name}": shape for name, shape in block.items()}
    for index in range(8):
        expected |= {f"decoder.{index}.{name}": shape for name, shape in block.items()}
        expected[f"decoder.{index}.attn.gain"] = (12, 1, 1)
    assert shapes == expected


@pytest.mark.parametrize(("dim", "heads"), [(152, 2), (64, 1), (176, 2), (40, 1)])
def test_heads_of_a_width_that_64_does_not_divide(dim, heads):
    assert InpFormerSettings().head_count(dim) == heads


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="does not divide the backbone's width 40"):
        InpFormerSettings(heads=3).head_count(40)


def test_groups_are_the_two_halves():
    assert InpFormerSettings().token_groups(8) == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert InpFormerSettings().token_groups(2) == ((0,), (1,))
    assert InpFormerSettings().token_groups(1) == ((0,),)
    with pytest.raises(ConfigError, match="the backbone gives 2 layers"):
        InpFormerSettings(groups=((0, 2),)).token_groups(2)


def test_n2_shapes_at_518_px(whole):
    images = torch.empty(2, 3, 518, 518, device="meta")
    assert [tuple(layer.shape) for layer in whole.backbone.tokens(images)] == [(2, 1369, 768)] * 8
    targets = whole.targets(images)
    fused = whole.fused(targets)
    prototypes = whole.network.prototypes(fused)
    rebuilt = whole.network.reconstruct(fused, prototypes)
    assert (tuple(fused.shape), tuple(prototypes.shape)) == ((2, 1369, 768), (2, 6, 768))
    for groups in (targets, rebuilt):
        maps = [group.transpose(1, 2).unflatten(2, whole.map_shape) for group in groups.unbind(1)]
        assert [tuple(group.shape) for group in maps] == [(2, 768, 37, 37)] * 2
    assert tuple(whole.score(images).shape) == (2, 37, 37)


@pytest.mark.parametrize("shape", [(28, 56), (126, 98), (518, 14)])
def test_n2_other_multiples_of_14(shape):
    with torch.device("meta"):
        detector = InpFormer(InpFormerSettings(backbone="dinov2_vits14_reg", weights="random"), shape, seed=1)
    grid = (shape[0] // 14, shape[1] // 14)
    assert detector.map_shape == grid
    assert tuple(detector.score(torch.empty(3, 3, *shape, device="meta")).shape) == (3, *grid)


def test_n2_shapes():
    net = network()
    fused = torch.randn(2, 35, 16)
    prototypes = net.prototypes(fused)
    assert prototypes.shape == (2, 3, 16)
    assert net.reconstruct(fused, prototypes).shape == (2, 2, 35, 16)


def test_late_decoder_blocks_rebuild_the_shallow_group():
    net = network()
    fused = torch.randn(1, 9, 16)
    prototypes = net.prototypes(fused)
    tokens, outputs = net.bottleneck(fused), []
    for block in net.decoder:
        tokens = block(tokens, prototypes)
        outputs.append(tokens)
    rebuilt = net.reconstruct(fused, prototypes)
    torch.testing.assert_close(rebuilt[:, 0], (outputs[3] + outputs[2]) / 2)
    torch.testing.assert_close(rebuilt[:, 1], (outputs[1] + outputs[0]) / 2)


def toy(size=64, **settings):
    block = {"backbone": "efficientnet_lite0", "weights": "random", "batch_size": 2, "warmup_steps": 2} | settings
    return InpFormer(InpFormerSettings(**block), (size, size), seed=3)


def test_n3_fused_is_the_mean_of_all_layers():
    detector = toy(layers=[1, 2, 3], groups=[[0], [1, 2]])
    images = torch.randn(2, 3, 64, 64)
    targets = detector.targets(images)
    layers = torch.stack(detector.backbone.tokens(images))
    torch.testing.assert_close(targets[:, 0], layers[0])
    torch.testing.assert_close(targets[:, 1], layers[1:].mean(dim=0))
    torch.testing.assert_close(detector.fused(targets), layers.mean(dim=0))


@pytest.mark.parametrize(
    ("groups", "kept"), [(None, 1), ([[0, 2], [1]], 1), ([[0], [2]], 1), ([[0, 1], [1, 2]], 2)], ids=str
)
def test_kept_targets_are_the_targets_without_their_zeros(groups, kept):
    detector = toy(layers=[1, 2, 3], groups=groups)
    images = torch.randn(2, 3, 64, 64)
    packed = detector.packed_targets(images)
    assert packed.shape[1] == kept
    assert torch.equal(detector.unpacked(packed), detector.targets(images))


def test_kept_targets_of_a_transformer_are_the_targets():
    detector, images = transformer(range(4)), torch.randn(1, 3, 56, 42)
    assert torch.equal(detector.packed_targets(images), detector.targets(images))
    assert torch.equal(detector.unpacked(detector.targets(images)), detector.targets(images))


def transformer(layers, groups=None, seed=3):
    """INP-Former on the first blocks of DINOv2-R ViT-S/14 with random weights, at 56 x 42 px."""
    block = {"backbone": "dinov2_vits14_reg", "weights": "random", "layers": layers, "groups": groups}
    return InpFormer(InpFormerSettings(**block, decoder_blocks=2), (56, 42), seed=seed)


def test_n3_fused_is_half_of_each_group():
    detector = transformer(range(4))
    targets = detector.targets(torch.randn(2, 3, 56, 42))
    layers = torch.stack(detector.backbone.tokens(torch.zeros(1, 3, 56, 42)))
    assert (layers.shape, targets.shape) == ((4, 1, 12, 384), (2, 2, 12, 384))
    torch.testing.assert_close(detector.fused(targets), (targets[:, 0] + targets[:, 1]) / 2)


def test_n3_groups_are_the_shallow_and_the_deep_blocks():
    detector = transformer(range(4))
    images = torch.randn(1, 3, 56, 42)
    layers = detector.backbone.tokens(images)
    targets = detector.targets(images)
    torch.testing.assert_close(targets[:, 0], (layers[0] + layers[1]) / 2)
    torch.testing.assert_close(targets[:, 1], (layers[2] + layers[3]) / 2)


def test_n3_order_of_prototypes_does_not_matter():
    net = network()
    fused = torch.randn(2, 9, 16)
    prototypes = net.prototypes(fused)
    torch.testing.assert_close(
        net.reconstruct(fused, prototypes), net.reconstruct(fused, prototypes[:, [2, 0, 1]]), atol=1e-5, rtol=1e-4
    )


def test_n3_decoder_block_ignores_scale_and_shift_of_a_token():
    block = network().decoder[0]
    tokens, prototypes = torch.randn(1, 9, 16), torch.randn(1, 3, 16)
    factor = torch.rand(1, 9, 1) + 0.5
    torch.testing.assert_close(
        block(tokens, prototypes), block(tokens * factor + torch.randn(1, 9, 1), prototypes), atol=1e-5, rtol=1e-4
    )


def test_n3_without_gain_every_token_gets_the_same_output():
    block = network().decoder[0]
    torch.nn.init.zeros_(block.attn.gain)
    out = block(torch.randn(1, 9, 16), torch.randn(1, 3, 16))
    torch.testing.assert_close(out, out[:, :1].expand_as(out))


def test_n3_attention_weights_are_between_zero_and_the_gain():
    attention = ReluAttention(16, 2)
    torch.nn.init.constant_(attention.gain, 0.7)
    q = torch.randn(1, 2, 50, 8)
    weights = attention.weights(q, torch.cat([q[:, :, :1], torch.randn(1, 2, 2, 8)], dim=2))
    assert weights.min().item() == 0.0
    assert weights.max().item() == pytest.approx(0.7, rel=1e-5)


def test_n4_permuting_tokens_permutes_outputs():
    net = network()
    fused = torch.randn(1, 9, 16)
    prototypes = net.prototypes(fused)
    order = torch.randperm(9)
    torch.testing.assert_close(
        net.reconstruct(fused[:, order], prototypes),
        net.reconstruct(fused, prototypes)[:, :, order],
        atol=1e-5,
        rtol=1e-4,
    )
