"""Backbones: the pyramid and the token stack of EfficientNet-Lite0, and what all backbones share."""

from dataclasses import replace

import pytest
import skimage.data
import skimage.transform
import torch
from torch.nn import functional

from seamark.backbones.convolutional import run_parts
from seamark.backbones.families import build_network
from seamark.backbones.registry import load_backbone
from seamark.backbones.table import BACKBONES
from seamark.errors import ConfigError, DataError, WeightsError
from seamark.files.atomic import file_digest
from seamark.networks.efficientnet_lite import build_efficientnet_lite0, published_names
from seamark.weights.finding import package_file
from seamark.weights.reading import load_strictly

LITE0 = BACKBONES["efficientnet_lite0"]
DINOV2 = [name for name in BACKBONES if name.startswith("dinov2")]
CAT = {281, 282, 285}
"""ImageNet's tabby, tiger cat and Egyptian cat."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lite0():
    return load_backbone("efficientnet_lite0", "pretrained")


@pytest.fixture(scope="module")
def classifier():
    network = build_efficientnet_lite0()
    load_strictly(network, package_file(LITE0.weights), published_names(network))
    return network.eval()


def squares(photograph, side=224):
    if photograph.ndim == 2:
        photograph = photograph[..., None].repeat(3, axis=2)
    low, left = [(length - min(photograph.shape[:2])) // 2 for length in photograph.shape[:2]]
    square = photograph[low:, left:][: min(photograph.shape[:2]), : min(photograph.shape[:2])]
    resized = skimage.transform.resize(square, (side, side), anti_aliasing=True, preserve_range=True)
    return torch.from_numpy(resized.round().astype("uint8"))[None]


def noise(count, height, width, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("photograph", "expected"),
    [("coffee", {967}), ("chelsea", CAT), ("rocket", {657}), ("camera", {872})],
)
def test_the_weights_recognise_photographs(lite0, classifier, photograph, expected):
    with torch.no_grad():
        scores = classifier(lite0.normalise(squares(getattr(skimage.data, photograph)())))[0]
    best = scores.topk(5).indices.tolist()
    assert expected & set(best), best
    assert best[0] in expected


def test_features_equal_those_of_timm(classifier):
    import timm  # noqa: PLC0415  (importable once seamark has declared torchvision's operators)

    backbone = load_backbone("efficientnet_lite0", layers=range(5))
    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True).eval()
    known = reference.state_dict().keys()
    reference.load_state_dict({name: tensor for name, tensor in classifier.state_dict().items() if name in known})
    batch = backbone.normalise(torch.from_numpy(skimage.data.astronaut())[None, 100:324, 100:356])
    with torch.no_grad():
        expected = reference(functional.pad(batch, (32,) * 4, mode="reflect"))
    for level, target in zip(backbone.pyramid(batch), expected, strict=True):
        cells = 32 * level.shape[2] // batch.shape[2]
        inner = functional.pad(target, (-cells,) * 4)
        assert level.shape == inner.shape
        assert (level - inner).norm() < 1e-5 * inner.norm()


def test_a_constant_tile_has_the_same_fine_features_at_its_border_as_inside():
    """The network's zero padding does not reach the tile: the mirrored margin takes it."""
    backbone = load_backbone("efficientnet_lite0", layers=(1,))
    (level,) = backbone.pyramid(backbone.normalise(torch.full((1, 128, 128, 3), 90, dtype=torch.uint8)))
    torch.testing.assert_close(level, level[:, :, 16:17, 16:17].expand_as(level), rtol=1e-4, atol=1e-4)


def test_the_digest_is_that_of_the_published_file(lite0):
    assert lite0.digest == LITE0.weights.sha256
    assert package_file(LITE0.weights).stat().st_size == LITE0.weights.size


def test_shapes_and_attributes(lite0):
    batch = lite0.normalise(noise(2, 64, 96))
    assert [tuple(level.shape) for level in lite0.pyramid(batch)] == [(2, 40, 8, 12), (2, 112, 4, 6)]
    assert [tuple(tokens.shape) for tokens in lite0.tokens(batch)] == [(2, 96, 152)] * 2
    assert lite0.grid_shape(64, 96) == (8, 12)
    assert (lite0.name, lite0.embed_dim, lite0.layers) == ("efficientnet_lite0", 152, 2)


def test_each_layer_keeps_its_cosines_in_a_slice_of_its_own(lite0):
    batch = lite0.normalise(noise(1, 64, 64))
    fine, coarse = lite0.pyramid(batch)
    levels = [fine, functional.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=False)]
    for layer, (tokens, level, taken) in enumerate(
        zip(lite0.tokens(batch), levels, (slice(0, 40), slice(40, 152)), strict=True)
    ):
        features = level.flatten(2).transpose(1, 2)
        elsewhere = torch.ones(152, dtype=torch.bool)
        elsewhere[taken] = False
        assert tokens[..., elsewhere].abs().max() == 0, layer
        expected = functional.cosine_similarity(features[:, :-1], features[:, 1:], dim=2)
        torch.testing.assert_close(functional.cosine_similarity(tokens[:, :-1], tokens[:, 1:], dim=2), expected)


def test_the_mean_of_the_layers_is_their_concatenation(lite0):
    fine, coarse = lite0.tokens(lite0.normalise(noise(1, 64, 64)))
    assert torch.equal((fine + coarse) / 2, torch.cat([fine[..., :40], coarse[..., 40:]], dim=2) / 2)


def test_layers_weigh_alike_on_photographs(lite0):
    for photograph in (skimage.data.astronaut(), skimage.data.coffee()[:384, :512]):
        tokens = lite0.tokens(lite0.normalise(torch.from_numpy(photograph)[None]))
        lengths = [layer.norm(dim=2).square().mean().sqrt() / 152**0.5 for layer in tokens]
        assert all(0.8 < length < 1.25 for length in lengths), lengths


@pytest.mark.parametrize("layers", [(0,), (1, 2, 3), (0, 4), (4,)])
def test_every_choice_of_layers_has_a_width_that_eight_heads_divide(layers):
    backbone = load_backbone("efficientnet_lite0", "random", layers)
    tokens = backbone.tokens(backbone.normalise(noise(1, 64, 64)))
    assert len(tokens) == backbone.layers == len(layers)
    assert tokens[0].shape == (1, 64 * 64 // backbone.stride**2, backbone.embed_dim)
    assert backbone.embed_dim % 8 == 0


@pytest.mark.parametrize("name", ["efficientnet_lite0", "dinov2_vits14_reg"])
def test_features_do_not_depend_on_the_rest_of_the_batch(name):
    backbone = load_backbone(name, "random")
    batch = backbone.normalise(noise(3, 112, 112))
    together = backbone.tokens(batch)
    for index in range(3):
        for tokens, alone in zip(together, backbone.tokens(batch[index : index + 1]), strict=True):
            assert torch.equal(tokens[index : index + 1], alone)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "dinov2_vits14_reg"])
def test_features_are_float32_and_close_under_autocast(name):
    backbone = load_backbone(name, "random")
    batch = backbone.normalise(noise(1, 112, 112))
    expected = backbone.tokens(batch)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = backbone.tokens(batch)
    for one, two in zip(expected, mixed, strict=True):
        assert two.dtype == torch.float32
        assert 0 < (one - two).norm() < 0.05 * one.norm()


@pytest.mark.parametrize("side", [64, 128, 256])
def test_features_do_not_depend_on_the_number_of_threads(lite0, side):
    batch = lite0.normalise(noise(1, side, side))
    alone = lite0.tokens(batch)
    torch.set_num_threads(2)
    shared = lite0.tokens(batch)
    torch.set_num_threads(1)
    assert all(torch.equal(one, two) for one, two in zip(alone, shared, strict=True))


def test_training_mode_changes_nothing(lite0):
    batch = lite0.normalise(noise(2, 64, 64))
    before = lite0.tokens(batch)
    lite0.train()
    assert not any(module.training for module in lite0.modules())
    after = lite0.tokens(batch)
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert not any(parameter.requires_grad for parameter in lite0.parameters())
    assert not any(tokens.requires_grad for tokens in after)


def test_normalisation_of_lite0_is_that_of_its_training(lite0):
    tiles = torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    assert lite0.normalise(tiles).flatten().tolist() == [-127 / 128, 0.0, 1.0]


def test_a_black_pixel_of_a_vision_transformer():
    black = load_backbone("dinov2_vits14_reg", "random").normalise(torch.zeros(1, 1, 1, 3, dtype=torch.uint8))
    torch.testing.assert_close(black.flatten(), torch.tensor([-2.11790, -2.03571, -1.80444]), atol=1e-5, rtol=0)


def test_grey_tiles_are_repeated(lite0):
    grey = noise(2, 32, 32, channels=1)
    assert torch.equal(lite0.normalise(grey), lite0.normalise(grey.repeat(1, 1, 1, 3)))


@pytest.mark.parametrize(
    "tiles", [torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(32, 32, 3)]
)
def test_tiles_of_another_form_are_refused(lite0, tiles):
    with pytest.raises(DataError, match=r"expected tiles \(B, H, W, 1 or 3\) of uint8"):
        lite0.normalise(tiles)


@pytest.mark.parametrize(("side", "remedy"), [(100, "96 or 112"), (8, "16 or 32"), (0, "16 or 32")])
def test_a_size_that_does_not_fit_names_sizes_that_do(lite0, side, remedy):
    with pytest.raises(ConfigError, match=rf"width {side} px .*multiple of 16 px.*input_px to {remedy}"):
        lite0.grid_shape(64, side)


def test_a_batch_that_does_not_fit_is_refused(lite0):
    with pytest.raises(ConfigError, match="height 72 px"):
        lite0.tokens(torch.zeros(1, 3, 72, 64))


def test_random_weights_follow_the_seed_and_leave_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (load_backbone("efficientnet_lite0", "random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    batch = one.normalise(noise(1, 32, 32))
    assert torch.equal(one.tokens(batch)[0], same.tokens(batch)[0])
    assert not torch.equal(one.tokens(batch)[0], other.tokens(batch)[0])
    assert one.digest == "random"


def test_weights_of_ones_own_load_by_either_names(tmp_path, classifier):
    path = tmp_path / "own.pth"
    torch.save(classifier.state_dict(), path)
    own = load_backbone("efficientnet_lite0", path)
    assert own.digest not in ("random", LITE0.weights.sha256)
    batch = own.normalise(noise(1, 32, 32))
    assert torch.equal(own.tokens(batch)[0], load_backbone("efficientnet_lite0").tokens(batch)[0])


def test_a_damaged_package_file_is_refused(tmp_path, monkeypatch):
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(package_file(LITE0.weights).read_bytes()[:-1] + b"?")
    monkeypatch.setattr("seamark.weights.finding.package_file", lambda source: damaged)
    with pytest.raises(WeightsError, match=r"damaged\.pth: sha256 is .*expected 57934424"):
        load_backbone("efficientnet_lite0", "pretrained")


def test_unknown_backbones_and_layers_are_refused():
    with pytest.raises(ConfigError, match="no backbone named resnet; possible: efficientnet_lite0, dinov2"):
        load_backbone("resnet")
    for layers in ([], [3, 2], [2, 2], [-1], [5]):
        with pytest.raises(ConfigError, match=r"expected increasing numbers within 0\.\.4"):
            load_backbone("efficientnet_lite0", "random", layers)


@pytest.mark.parametrize("name", DINOV2)
def test_missing_weights_of_a_vision_transformer_say_where_to_get_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError) as raised:
        load_backbone(name)
    message = str(raised.value)
    assert f"{name.removesuffix('_reg')}_reg4_pretrain.pth" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "https://github.com/facebookresearch/dinov2" in message
    assert "`backbone: efficientnet_lite0`" in message


def write_zeros(path, name, leave_out=(), **added):
    """Write a file of a backbone's published names and shapes; its zeros take no room."""
    with torch.device("meta"):
        state = build_network(BACKBONES[name]).state_dict()
    zeros = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in state.items() if key not in leave_out}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(zeros | added, path)
    return path


def publish(monkeypatch, name, path, **known):
    """Let a file count as the published one."""
    entry = BACKBONES[name]
    facts = {"sha256": file_digest(path), "size": path.stat().st_size} | known
    monkeypatch.setitem(BACKBONES, name, replace(entry, weights=replace(entry.weights, **facts)))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_the_published_files_are_known():
    lengths = {name: (BACKBONES[name].weights.size, len(BACKBONES[name].weights.sha256)) for name in DINOV2}
    assert lengths == {
        "dinov2_vits14_reg": (88_291_785, 64),
        "dinov2_vitb14_reg": (346_393_545, 64),
        "dinov2_vitl14_reg": (1_217_607_321, 64),
    }
    for name in DINOV2:
        with torch.device("meta"):
            numbers = sum(tensor.numel() for tensor in build_network(BACKBONES[name]).state_dict().values())
        assert 0 < BACKBONES[name].weights.size - 4 * numbers < 130_000, name


@pytest.mark.parametrize("name", DINOV2)
def test_every_size_loads_from_a_path_and_from_the_cache(name, hub, tmp_path, monkeypatch):
    own = write_zeros(tmp_path / "own.pth", name)
    backbone = load_backbone(name, own)
    assert (backbone.digest, backbone.verified) == (file_digest(own), False)
    assert backbone.network.pos_embed.shape == (1, 1370, backbone.embed_dim)
    cached = write_zeros(hub / BACKBONES[name].weights.file, name)
    with pytest.raises(WeightsError, match=rf"{cached.name}: sha256 is {file_digest(cached)}, expected"):
        load_backbone(name)
    publish(monkeypatch, name, cached)
    assert load_backbone(name).verified


def test_weights_are_downloaded_on_request_and_found_afterwards(hub, tmp_path, monkeypatch):
    name = "dinov2_vits14_reg"
    offered = write_zeros(tmp_path / "offered" / BACKBONES[name].weights.file, name)
    publish(monkeypatch, name, offered, url=offered.as_uri())
    with pytest.raises(WeightsError, match="are missing"):
        load_backbone(name)
    fetched = load_backbone(name, "download")
    assert (fetched.digest, fetched.verified) == (file_digest(offered), True)
    offered.unlink()
    assert load_backbone(name).digest == load_backbone(name, "download").digest == fetched.digest


@pytest.mark.parametrize(("found", "wanted"), [("s", "b"), ("b", "l"), ("l", "s")])
def test_the_weights_of_another_size_are_refused(found, wanted, tmp_path):
    path = write_zeros(tmp_path / "other.pth", f"dinov2_vit{found}14_reg")
    with pytest.raises(WeightsError, match=r"other\.pth: these are not the weights .*misshaped: cls_token \[1, 1, "):
        load_backbone(f"dinov2_vit{wanted}14_reg", path)


def test_a_published_file_of_other_names_is_refused_too(hub, monkeypatch):
    name = "dinov2_vitb14_reg"
    path = write_zeros(hub / BACKBONES[name].weights.file, name, {"blocks.3.ls1.gamma"}, head=torch.zeros(1))
    publish(monkeypatch, name, path)
    with pytest.raises(WeightsError, match=r"missing: blocks\.3\.ls1\.gamma; unexpected: head"):
        load_backbone(name)


def test_a_truncated_file_is_refused_wherever_it_lies(hub, monkeypatch):
    name = "dinov2_vits14_reg"
    path = write_zeros(hub / BACKBONES[name].weights.file, name)
    publish(monkeypatch, name, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"the file is damaged or another one\. Delete it and fetch dinov2_vits14"):
        load_backbone(name)
    with pytest.raises(WeightsError, match=r"not a readable file of weights"):
        load_backbone(name, path)


def test_weights_are_verified_only_against_a_published_digest(lite0, hub, tmp_path, monkeypatch):
    assert lite0.verified
    assert load_backbone("efficientnet_lite0", package_file(LITE0.weights)).verified
    assert not load_backbone("efficientnet_lite0", "random").verified
    name = "dinov2_vits14_reg"
    path = write_zeros(hub / BACKBONES[name].weights.file, name)
    publish(monkeypatch, name, path, sha256=None)
    unknown = load_backbone(name)
    assert (unknown.digest, unknown.verified) == (file_digest(path), False)


@pytest.mark.parametrize("shape", [(64, 96), (46, 46), (45, 64), (33, 31)], ids=str)
def test_convolutions_in_one_pass_give_the_bits_of_single_steps(lite0, shape):
    batch = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(4))
    batch = batch.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        fused = run_parts(lite0.parts, batch, range(4))
    single = run_parts(lite0.parts, batch.requires_grad_(), range(4))
    assert all(level.requires_grad for level in single)
    assert all(torch.equal(one, two) for one, two in zip(fused, single, strict=True))


def test_without_the_private_operators_of_torch_bits_are_the_same(lite0, monkeypatch):
    batch = lite0.normalise(noise(1, 64, 96))
    fused = lite0.pyramid(batch)
    monkeypatch.setattr("seamark.networks.onednn._FUSED", ("_an_operator_that_torch_does_not_have",))
    assert all(torch.equal(one, two) for one, two in zip(fused, lite0.pyramid(batch), strict=True))
