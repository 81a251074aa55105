"""Models of timm as backbones: their grids and tokens, files of their weights, and what is refused."""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import save_file

from seamark.backbones.families import build_network
from seamark.backbones.registry import load_backbone, load_pyramid
from seamark.backbones.table import BACKBONES, published_backbone, timm_backbone
from seamark.errors import ConfigError, WeightsError
from seamark.files.atomic import file_digest
from seamark.networks.timm_models import build_timm, describe, timm
from seamark.planning.plan import Plan
from seamark.settings.config import deep_merge
from seamark.weights.finding import find_weights, hugging_face_file

ROOT = Path(__file__).parents[2]
EVA, DINOV2, CONVNEXT, LEVIT, SIGLIP = (
    "timm:eva02_tiny_patch14_224",
    "timm:vit_small_patch14_reg4_dinov2",
    "timm:convnextv2_atto",
    "timm:levit_128s",
    "timm:vit_base_patch32_siglip_256",
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def tiles(count, height, width, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8, generator=generator)


def row(name):
    return timm_backbone(name, describe(name.removeprefix("timm:")))


@pytest.mark.parametrize(
    ("name", "layers", "shape", "maps", "stack"),
    [
        ("timm:vit_tiny_patch16_dinov3_qkvb", (3, 11), (64, 96), [(192, 4, 6)] * 2, (24, 192)),
        (DINOV2, (0, 5), (56, 84), [(384, 4, 6)] * 2, (24, 384)),
        (EVA, (2, 11), (56, 84), [(192, 4, 6)] * 2, (24, 192)),
        ("timm:vit_tiny_patch16_224", None, (64, 96), [(192, 4, 6)] * 8, (24, 192)),
        (SIGLIP, (2, 11), (64, 96), [(768, 2, 3)] * 2, (6, 768)),
        (CONVNEXT, None, (64, 96), [(80, 8, 12), (160, 4, 6)], (96, 240)),
        ("timm:resnet10t", (0, 3), (64, 96), [(64, 32, 48), (256, 4, 6)], (1536, 320)),
        (LEVIT, (0,), (224, 224), [(128, 14, 14)], (196, 128)),
    ],
)
def test_maps_and_tokens(name, layers, shape, maps, stack):
    backbone = load_backbone(name, "random", layers)
    batch = backbone.normalise(tiles(2, *shape))
    pyramid = backbone.pyramid(batch)
    assert [tuple(level.shape[1:]) for level in pyramid] == maps
    assert [tuple(tokens.shape) for tokens in backbone.tokens(batch)] == [(2, *stack)] * len(maps)
    rows, columns = backbone.grid_shape(*shape)
    assert (rows * columns, backbone.embed_dim) == stack
    alone = backbone.pyramid(batch[1:])
    assert all(torch.equal(one[0], two[1]) for one, two in zip(alone, pyramid, strict=True))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.digest == "random"


@pytest.mark.parametrize(("name", "prefix"), [(EVA, 1), (DINOV2, 5)])
def test_tokens_are_what_blocks_give_for_patches(name, prefix):
    backbone = load_backbone(name, "random", (1, 11))
    blocks = {}
    for number in backbone.chosen:
        backbone.network.blocks[number].register_forward_hook(
            lambda _module, _given, output, number=number: blocks.update({number: output})
        )
    tokens = backbone.tokens(backbone.normalise(tiles(1, 56, 56)))
    assert [torch.equal(one, blocks[number][:, prefix:]) for number, one in zip((1, 11), tokens, strict=True)] == [
        True,
        True,
    ]


def test_intensities_are_normalised_as_timm_says():
    backbone = load_backbone("timm:vit_tiny_patch16_224", "random", (0,))
    told = timm.get_pretrained_cfg("vit_tiny_patch16_224")
    assert told.mean == (0.5, 0.5, 0.5) != BACKBONES["resnet18"].mean
    assert backbone.normalise(tiles(1, 16, 16, channels=1)).aminmax() == (
        pytest.approx((tiles(1, 16, 16, 1).min() / 255 - 0.5) / 0.5),
        pytest.approx((tiles(1, 16, 16, 1).max() / 255 - 0.5) / 0.5),
    )


@pytest.mark.parametrize(("name", "end"), [(EVA, "safetensors"), (CONVNEXT, "pth"), (LEVIT, "safetensors")])
def test_a_file_gives_the_features_of_the_model_it_came_from(name, end, tmp_path):
    """Buffers that no file holds are there, and a classifier that nobody reads does no harm."""
    network = build_timm(name.removeprefix("timm:"), num_classes=7)
    path = tmp_path / f"weights.{end}"
    (save_file if end == "safetensors" else torch.save)(network.state_dict(), path)
    backbone = load_backbone(name, path, (0,))
    assert (backbone.digest, backbone.verified) == (file_digest(path), False)
    batch = backbone.normalise(tiles(1, 224, 224))
    with torch.no_grad():
        (expected,) = network.eval().forward_intermediates(batch, indices=[0], norm=False, intermediates_only=True)
    if name == CONVNEXT:  # the mirrored margin changes the border
        expected, found = (level[..., 12:-12, 12:-12] for level in (expected, *backbone.pyramid(batch)))
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    else:
        assert torch.equal(*backbone.pyramid(batch), expected)


def test_the_file_of_the_authors_of_dinov2_gives_the_features_of_dinov2(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        torch.save(build_network(BACKBONES["dinov2_vits14_reg"]).state_dict(), tmp_path / "authors.pth")
    ours, theirs = (load_backbone(name, tmp_path / "authors.pth", (0,)) for name in ("dinov2_vits14_reg", DINOV2))
    batch = ours.normalise(tiles(1, 518, 518))
    torch.testing.assert_close(*theirs.pyramid(batch), *ours.pyramid(batch), rtol=1e-4, atol=1e-5)


def test_the_file_of_the_authors_of_dinov3_is_read(tmp_path):
    name = "vit_small_patch16_dinov3"
    with torch.device("meta"):
        names = build_timm(name).state_dict()
    theirs = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    state = {"rope_embed.periods": torch.ones(16), "mask_token": torch.ones(1, 384)}
    for key, tensor in names.items():
        ours = next((part for part in theirs if part in key), "")
        state[key.replace(ours, theirs.get(ours, ""))] = torch.full((), 0.01).expand(tensor.shape)
    for block in range(12):
        state[f"blocks.{block}.attn.qkv.bias"] = state[f"blocks.{block}.attn.qkv.bias_mask"] = torch.zeros(1152)
    torch.save(state, tmp_path / "authors.pth")
    backbone = load_backbone(f"timm:{name}", tmp_path / "authors.pth", (0,))
    assert all((parameter == 0.01).all() for parameter in backbone.network.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("blocks.3.norm1.bias"), r"not the weights of timm:eva02.*missing: blocks\.3\.norm1"),
        (lambda state: state.update(more=torch.zeros(1)), "unexpected: more"),
        (lambda state: state.update({"cls_token": torch.zeros(1, 1, 8)}), r"misshaped: cls_token \[1, 1, 8\] instead"),
        (
            lambda state: state.update({"patch_embed.proj.weight": torch.zeros(192, 3, 16, 16), "fc": torch.zeros(1)}),
            r"misshaped: patch_embed\.proj\.weight \[192, 3, 16, 16\] instead",
        ),
        (
            lambda state: (state.update({"pos_embed": torch.zeros(1, 50, 192)}), state.pop("blocks.0.norm1.bias")),
            r"misshaped: pos_embed \[1, 50, 192\] instead",
        ),
        (lambda state: state.update({"cls_token": torch.full((1, 1, 192), torch.nan)}), "not a number in cls_token"),
    ],
)
def test_a_file_of_other_tensors_is_refused(change, message, tmp_path):
    with torch.device("meta"):
        expected = build_timm("eva02_tiny_patch14_224").state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in expected.items()}
    change(state)
    save_file(state, tmp_path / "changed.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_backbone(EVA, tmp_path / "changed.safetensors")


@pytest.mark.parametrize(
    ("name", "layers", "message"),
    [
        ("timm:vit_smal_patch16_dinov3", None, r"has no model vit_smal_patch16_dinov3; .*vit_small_patch16_dinov3,"),
        ("timm:", None, "has no model"),
        ("timm:vit_small_patch16_dinov3.imagenet", None, "knows no weights imagenet of .*; known: lvd1689m"),
        ("timm:pit_ti_224", None, r"layer 0 is of the shape \(64, 27, 27\), by its own data of \(64, 28, 28\)"),
        (EVA, (12,), r"layers \[12\]; expected increasing numbers within 0\.\.11, for example \[2, 3"),
        ("resnet10t", None, "no backbone named resnet10t; possible: .* and timm:<name> for the models of timm"),
    ],
)
def test_what_is_no_backbone_is_refused(name, layers, message):
    with pytest.raises(ConfigError, match=message):
        load_backbone(name, "random", layers)


@pytest.mark.parametrize(
    ("name", "layers", "shape", "message"),
    [
        (EVA, (0,), (64, 56), "input height 64 px is not a positive multiple of 14 px; set the grid's input_px to 56"),
        (CONVNEXT, (3,), (64, 80), "multiple of 32 px"),
        (LEVIT, (0,), (256, 256), r"input of 256 x 256 px; the network works at \(224, 224\) px only"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, layers, shape, message):
    backbone = load_backbone(name, "random", layers)
    with pytest.raises(ConfigError, match=message):
        backbone.pyramid(backbone.normalise(tiles(1, *shape)))


def test_missing_weights_say_what_to_fetch_and_where_to_put_it(caches):
    with pytest.raises(WeightsError) as raised:
        load_backbone("timm:vit_huge_plus_patch16_dinov3.lvd1689m")
    name = "vit_huge_plus_patch16_dinov3.lvd1689m"
    for text in (
        f"{caches}/torch/hub/checkpoints/{name}.safetensors",
        f"{caches}/hub/models--timm--{name}/snapshots/main/model.safetensors",
        f"https://huggingface.co/timm/{name}, licence: dinov3-license",
        f"`weights: download`, which fetches https://huggingface.co/timm/{name}/resolve/main/model.safetensors",
    ):
        assert text in str(raised.value)


@pytest.mark.parametrize("cache", ["hugging face", "torch"])
def test_weights_are_found_in_the_caches(cache, caches):
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    source = row("timm:vit_tiny_patch16_224").weights
    path = caches / "torch/hub/checkpoints" / f"{name}.safetensors"
    if cache == "hugging face":
        folder = caches / f"hub/models--timm--{name}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs/main").write_text("0123abc")
        path = folder / "snapshots/0123abc/model.safetensors"
    path.parent.mkdir(parents=True)
    save_file(build_timm(name).state_dict(), path)
    assert load_backbone("timm:vit_tiny_patch16_224", layers=(0,)).digest == file_digest(path)
    if cache == "hugging face":
        known = huggingface_hub.try_to_load_from_cache(*source.hub, cache_dir=caches / "hub")
        assert known == str(hugging_face_file(source))


def test_a_download_lies_in_the_cache_of_torch_under_the_name_of_the_model(caches):
    (caches / "offered").write_bytes(b"weights")
    source = replace(row(CONVNEXT).weights, url=(caches / "offered").as_uri())
    assert find_weights(source, "download").name == "convnextv2_atto.fcmae_ft_in1k.safetensors"
    assert find_weights(source, "pretrained").read_bytes() == b"weights"


def test_a_file_of_torchs_hub_is_known_by_the_digits_in_its_name():
    weights = row("timm:legacy_senet154").weights
    assert (weights.file, weights.sha256, weights.hub) in [
        ("legacy_senet154-e9eb9fe6.pth", "e9eb9fe6", None),
        ("legacy_senet154.in1k.safetensors", None, ("timm/legacy_senet154.in1k", "model.safetensors")),
    ]


def test_a_model_of_levels_can_be_trained():
    frozen, trained = load_pyramid(CONVNEXT, "random")
    batch = frozen.normalise(tiles(1, 64, 96))
    with torch.no_grad():
        levels = trained.eval()(batch)
        assert [tuple(level.shape[1:]) for level in levels] == [(40, 16, 24), (80, 8, 12), (160, 4, 6)]
        assert all(torch.equal(one, two) for one, two in zip(frozen.pyramid(batch), levels, strict=True))
    trained.train()(batch)[-1].square().mean().backward()
    assert all(parameter.grad is not None for parameter in trained.parameters())
    with pytest.raises(ConfigError, match="timm:eva02_tiny_patch14_224 has no levels at strides 4, 8 and 16"):
        load_pyramid(EVA, "random")


def test_planning_knows_the_same_and_asks_once(monkeypatch):
    expected = row(EVA)
    assert published_backbone(EVA) == expected
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert published_backbone(EVA) == expected
    assert (expected.multiple(None), expected.token_width(None), expected.layers) == (14, 192, tuple(range(2, 10)))


def test_a_plan_without_torch_refuses_and_notes(monkeypatch):
    """What timm says is handed over, as asking takes seconds."""

    def answer(name):
        try:
            return json.dumps(describe(name.removeprefix("timm:"))), ""
        except ConfigError as error:
            return "", str(error)

    monkeypatch.setattr("seamark.backbones.table._asked_of_timm", answer)

    def planned(backbone, **settings):
        bank = {"grid": "tile", "backbone": backbone, "layers": None, **settings}
        detectors = {"detectors": {"feature_bank": bank}, "fuse": {"members": ["feature_bank"]}}
        raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"light_variants": {}, "binarize": {}}
        return Plan(deep_merge(raw, detectors | {"grids": {"tile": {"window_px": 224, "input_px": 224}}}), ROOT)

    plan = planned("timm:vit_small_patch16_dinov3", layers=[3, 11])
    note = (
        "backbone timm:vit_small_patch16_dinov3: licence of its weights: dinov3-license "
        "(https://huggingface.co/timm/vit_small_patch16_dinov3.lvd1689m)"
    )
    assert note in plan.notes()
    job = SimpleNamespace(place="demo", category="woven", detector="feature_bank", split=None, fold=None)
    larger = planned("timm:vit_base_patch16_dinov3", layers=[3, 11])
    assert larger.memory("train")(job) > plan.memory("train")(job) + 4 * (85.6 - 21.6)
    assert plan.code("train")(job) != planned("resnet18").code("train")(job)
    for backbone, settings, message in [
        (
            "timm:vit_smal_patch16_dinov3",
            {},
            r"feature_bank\.backbone: timm .* no model vit_smal.*nearest names: vit_small_",
        ),
        ("timm:vit_small_patch16_dinov3", {"layers": [12]}, r"feature_bank\.layers: timm:vit_small.* within 0\.\.11"),
        ("timm:levit_128s", {}, ""),
        (
            "timm:vit_base_patch14_dinov2",
            {"grid": "picture"},
            r"on grids\.picture\.input_px 512: .* input_px to 504 or 518",
        ),
        ("timm:levit_128s", {"grid": "picture"}, r"works at \(224, 224\) px only"),
    ]:
        with pytest.raises(ConfigError, match=message) if message else nullcontext():
            planned(backbone, **settings)
