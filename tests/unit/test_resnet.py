"""ResNets: parameters, names, shapes and features against torchvision's; pyramids to be trained."""

import numpy as np
import pytest
import torch

from seamark.backbones.families import build_network
from seamark.backbones.registry import load_backbone, load_pyramid
from seamark.backbones.table import BACKBONES
from seamark.errors import ConfigError, WeightsError
from seamark.files.atomic import file_digest
from seamark.networks.resnet import build_resnet, resnet_parts, unread_names
from seamark.networks.torchvision_operators import declare_torchvision_operators
from seamark.weights.finding import require_weights

RESNETS = ["resnet18", "resnet34", "resnet50", "wide_resnet50_2", "wide_resnet101_2"]
PYRAMIDS = ["efficientnet_lite0", *RESNETS[:-1]]  # the last one is wide_resnet50_2 with more of its blocks
CHANNELS = {
    "efficientnet_lite0": (24, 40, 112),
    "resnet18": (64, 128, 256),
    "resnet34": (64, 128, 256),
    "resnet50": (256, 512, 1024),
    "wide_resnet50_2": (256, 512, 1024),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def torchvision_models():
    declare_torchvision_operators()
    from torchvision import models  # noqa: PLC0415  (importable once the operators are declared)

    return models


@pytest.fixture(scope="module")
def published(torchvision_models):
    """torchvision's own ResNet-18 with batch statistics that are not those of a fresh network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = torchvision_models.resnet18(weights=None).train()
        for _ in range(2):
            network(torch.randn(4, 3, 64, 64))
    return network.eval()


def built(name):
    with torch.device("meta"):
        return build_network(BACKBONES[name])


def numbers(module):
    return sum(parameter.numel() for parameter in module.parameters())


def tiles(count, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def test_parameters_of_every_stage_of_wide_resnet50_2():
    network = built("wide_resnet50_2")
    stages = [numbers(getattr(network, f"layer{stage}")) for stage in (1, 2, 3)]
    assert (numbers(network.conv1), numbers(network.bn1)) == (9_408, 128)
    assert stages == [634_368, 3_482_624, 20_736_000]
    assert numbers(network) == 24_862_528


def test_parameters_of_the_trunk_of_resnet18():
    assert numbers(built("resnet18")) == 2_782_784


@pytest.mark.parametrize("name", RESNETS)
def test_names_and_shapes_are_those_of_torchvision(name, torchvision_models):
    with torch.device("meta"):
        reference = getattr(torchvision_models, name)(weights=None).state_dict()
    network = built(name)
    own = {key: tensor.shape for key, tensor in network.state_dict().items()}
    kept = {key: tensor.shape for key, tensor in reference.items() if not key.startswith(("layer4.", "fc."))}
    assert own == kept
    assert unread_names(name) == reference.keys() - kept.keys()


@pytest.mark.parametrize("name", PYRAMIDS)
def test_channels_are_known_before_anything_is_built(name):
    row = BACKBONES[name]
    assert tuple(row.channels[layer] for layer in row.pyramid_layers) == CHANNELS[name]


@pytest.mark.parametrize(("height", "width"), [(256, 256), (512, 608)])
def test_shapes_of_wide_resnet50_2(height, width):
    current = torch.zeros(1, 3, height, width, device="meta")
    shapes = []
    for part in resnet_parts(built("wide_resnet50_2")):
        current = part(current)
        shapes.append(tuple(current.shape[1:]))
    assert shapes == [
        (256, height // 4, width // 4),
        (512, height // 8, width // 8),
        (1024, height // 16, width // 16),
    ]


@pytest.mark.parametrize("name", PYRAMIDS)
def test_levels_of_a_pyramid(name):
    expert, trained = load_pyramid(name, "random", seed=1)
    batch = expert.normalise(tiles(2, 64, 96))
    shapes = [(2, width, 64 // stride, 96 // stride) for width, stride in zip(CHANNELS[name], (4, 8, 16), strict=True)]
    assert [tuple(level.shape) for level in expert.pyramid(batch)] == shapes
    assert [tuple(level.shape) for level in trained.eval()(batch)] == shapes
    assert trained.channels == CHANNELS[name]
    assert expert.grid_shape(64, 96) == (16, 24)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "resnet50"])
def test_the_frozen_pyramid_and_the_one_to_be_trained_start_alike(name):
    expert, trained = load_pyramid(name, "pretrained" if name == "efficientnet_lite0" else "random")
    batch = expert.normalise(tiles(1, 64, 64))
    with torch.no_grad():
        for one, two in zip(expert.pyramid(batch), trained.eval()(batch), strict=True):
            assert (one - two).norm() < 2e-5 * two.norm()


@pytest.mark.parametrize("name", PYRAMIDS)
def test_every_parameter_of_a_pyramid_is_trained(name):
    expert, trained = load_pyramid(name, "random")
    assert trained.training
    levels = trained(expert.normalise(tiles(2, 32, 32)))
    levels[-1].square().mean().backward()
    gradients = {key: parameter.grad for key, parameter in trained.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None or not gradient.any()] == []
    counted = [buffer for key, buffer in trained.named_buffers() if key.endswith("num_batches_tracked")]
    assert all(count == 1 for count in counted)
    assert not any(parameter.requires_grad for parameter in expert.parameters())


def test_features_equal_those_of_torchvision(published, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(published.state_dict(), path)
    expert, trained = load_pyramid("resnet18", path)
    batch = expert.normalise(tiles(1, 64, 96))
    with torch.no_grad():
        current = published.maxpool(published.relu(published.bn1(published.conv1(batch))))
        for stage, one, two in zip((1, 2, 3), trained.eval()(batch), expert.pyramid(batch), strict=True):
            current = getattr(published, f"layer{stage}")(current)
            assert torch.equal(one, current)
            assert (two - current).norm() < 2e-5 * current.norm()


def test_bottlenecks_equal_those_of_torchvision(torchvision_models):
    reference = torchvision_models.wide_resnet50_2(weights=None).eval()
    network = build_resnet("wide_resnet50_2").eval()
    network.load_state_dict({key: reference.state_dict()[key] for key in network.state_dict()})
    features = torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network.layer2(features), reference.layer2(features))


@pytest.mark.parametrize("side", [64, 128])
def test_features_do_not_depend_on_batch_and_threads(side):
    backbone = load_backbone("resnet50", "random", (0, 1))
    batch = backbone.normalise(tiles(2, side, side))
    alone = backbone.pyramid(batch[1:])
    torch.set_num_threads(2)
    together = backbone.pyramid(batch)
    torch.set_num_threads(1)
    assert all(torch.equal(one[0], two[1]) for one, two in zip(alone, together, strict=True))


def test_tokens_hold_the_levels_side_by_side():
    backbone = load_backbone("resnet18", "random")
    batch = backbone.normalise(tiles(1, 32, 48))
    fine, coarse = backbone.tokens(batch)
    assert fine.shape == coarse.shape == (1, 24, 384)
    assert torch.equal(fine[0, :, :128], backbone.pyramid(batch)[0][0].flatten(1).T)
    assert fine[..., 128:].abs().max() == coarse[..., :128].abs().max() == 0


def test_files_of_old_torch_and_of_half_precision_load(published, tmp_path):
    state = {key: tensor for key, tensor in published.state_dict().items() if not key.endswith("num_batches_tracked")}
    path = tmp_path / "old.pth"
    torch.save({key: tensor.half() for key, tensor in state.items()}, path)
    _, trained = load_pyramid("resnet18", path)
    assert {tensor.dtype for tensor in trained.state_dict().values()} == {torch.float32, torch.int64}
    weight = dict(trained.named_parameters())["parts.0.0.weight"]
    assert torch.equal(weight, published.conv1.weight.half().float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer3.1.conv2.weight"), r"missing: layer3\.1\.conv2\.weight"),
        (lambda state: state.update({"layer5.weight": torch.zeros(1)}), r"unexpected: layer5\.weight"),
        (
            lambda state: state.update({"layer4.2.conv1.weight": torch.zeros(1)}),
            r"unexpected: layer4\.2\.conv1\.weight",
        ),
        (lambda state: state.update({"bn1.bias": torch.zeros(65)}), r"misshaped: bn1\.bias \[65\] instead of \[64\]"),
    ],
)
def test_any_other_difference_is_refused(published, tmp_path, change, message):
    state = published.state_dict()
    change(state)
    torch.save(state, tmp_path / "changed.pth")
    with pytest.raises(WeightsError, match=message):
        load_backbone("resnet18", tmp_path / "changed.pth")


def test_a_file_without_the_unread_tensors_will_do(published, tmp_path):
    kept = {key: tensor for key, tensor in published.state_dict().items() if not key.startswith(("layer4.", "fc."))}
    torch.save(kept, tmp_path / "truncated.pth")
    assert load_backbone("resnet18", tmp_path / "truncated.pth").digest == file_digest(tmp_path / "truncated.pth")


@pytest.mark.parametrize("name", RESNETS)
def test_the_published_files(name, tmp_path, monkeypatch, torchvision_models):
    source = BACKBONES[name].weights
    assert source.file == f"{name}-{source.sha256[:8]}.pth"
    assert torchvision_models.get_model_weights(name).IMAGENET1K_V1.url == source.url
    facts = rf"sha256 {source.sha256}, {source.size} bytes"
    if name == "wide_resnet101_2":  # of which nobody has written down more
        facts = r"sha256 32ee1156\.\.\."
    else:
        assert len(source.sha256) == 64
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=rf"{source.file} \({facts}\) are missing"):
        load_pyramid(name)


def test_a_file_of_wide_resnet101_2_is_held_against_the_digits_in_its_name(tmp_path, monkeypatch, torchvision_models):
    """In half precision, as torchvision publishes it, with zeros that take no room here."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub/checkpoints/wide_resnet101_2-32ee1156.pth"
    path.parent.mkdir(parents=True)
    with torch.device("meta"):
        state = torchvision_models.wide_resnet101_2(weights=None).state_dict()
    zeros = {key: torch.zeros((), dtype=torch.float16).expand(tensor.shape) for key, tensor in state.items()}
    torch.save(zeros, path)
    backbone = load_backbone("wide_resnet101_2", path)
    assert (backbone.digest, backbone.verified) == (file_digest(path), False)
    assert sum(tensor.numel() for tensor in backbone.parameters()) == BACKBONES["wide_resnet101_2"].parameters
    require_weights(BACKBONES["wide_resnet101_2"].weights, "pretrained")  # of a length that nobody knows
    with pytest.raises(WeightsError, match=r"sha256 is [0-9a-f]{64}, expected 32ee1156: "):
        load_backbone("wide_resnet101_2")


def test_a_pyramid_needs_a_convolutional_network():
    with pytest.raises(ConfigError, match="dinov2_vits14_reg has no levels at strides 4, 8 and 16"):
        load_pyramid("dinov2_vits14_reg", weights="random")


def test_random_weights_follow_the_seed():
    (_, one), (_, same), (_, other) = (load_pyramid("resnet18", "random", seed) for seed in (1, 1, 2))
    weights = [np.concatenate([p.detach().flatten() for p in network.parameters()]) for network in (one, same, other)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()
