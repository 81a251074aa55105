"""INP-Former's losses and training against docs/methods/robis.md#checks (N-5 to N-7, N-10, N-13)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.golden.test_inp_former import toy

from seamark.detectors.inp_former.detector import coherence_loss, mining_weights, reconstruction_loss, with_outliers
from seamark.detectors.inp_former.network import InpNetwork
from seamark.learning.batches import TileReader
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.loop import Training


def losses_of(detector):
    """Return coherence and reconstruction of two random tiles."""
    targets = detector.targets(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(8)))
    fused = detector.fused(targets)
    prototypes = detector.network.prototypes(fused)
    rebuilt = detector.network.reconstruct(fused, prototypes)
    return coherence_loss(fused, prototypes), reconstruction_loss(targets, rebuilt, 3.0)


@pytest.mark.parametrize("which", [0, 1], ids=["coherence", "reconstruction"])
def test_n5_the_extractor_gets_gradient_from_both_losses(which):
    detector = toy()
    net = detector.network
    wanted = {"prototype_token": net.prototype_token, **dict(net.extractor.named_parameters())}
    gradients = torch.autograd.grad(losses_of(detector)[which], list(wanted.values()))
    for name, gradient in zip(wanted, gradients, strict=True):
        assert float(gradient.abs().sum()) > 0, name


def test_n5_decoder_and_bottleneck_get_gradient_from_the_reconstruction_alone():
    detector = toy()
    modules = torch.nn.ModuleList([detector.network.bottleneck, detector.network.decoder])
    names, parameters = zip(*modules.named_parameters(), strict=True)
    coherence, reconstruction = losses_of(detector)
    alone = torch.autograd.grad(coherence, parameters, retain_graph=True, allow_unused=True)
    assert all(gradient is None for gradient in alone)
    for name, gradient in zip(names, torch.autograd.grad(reconstruction, parameters), strict=True):
        assert float(gradient.abs().sum()) > 0, name


def test_n5_encoder_gets_no_gradient_and_does_not_change(tmp_path):
    detector = toy()
    frozen = {name: tensor.clone() for name, tensor in detector.backbone.state_dict().items()}
    start = {name: tensor.clone() for name, tensor in detector.state().items()}
    sum(losses_of(detector)).backward()
    assert all(parameter.grad is None for parameter in detector.backbone.parameters())
    train(detector, tiles(4), tmp_path, steps=3)
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in detector.backbone.state_dict().items())
    assert not any(torch.equal(tensor, start[name]) for name, tensor in detector.state().items())


def test_n6_coherence():
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    prototypes = torch.tensor([[[1.0, 0.0], [0.0, -1.0]]])
    assert float(coherence_loss(tokens, prototypes)) == pytest.approx(0.43096441, abs=1e-7)


def generators(tiles, seed=0):
    return [np.random.default_rng([seed, tile]) for tile in range(tiles)]


def test_without_outliers_the_prototypes_see_the_tokens_as_they_are():
    fused = torch.randn(2, 50, 8)
    assert with_outliers(fused, 0.0, generators(2)) is fused


def test_outliers_replace_a_share_of_each_tile_by_tokens_of_its_length_around_one_direction():
    torch.manual_seed(0)
    fused = torch.randn(40, 200, 64) * 3.0
    contaminated = with_outliers(fused, 0.3, generators(40))
    changed = (contaminated != fused).any(dim=2)
    counts = changed.sum(dim=1)
    assert counts.max() <= 0.3 * 200
    assert 20 < counts.float().mean() < 40
    assert len(set(counts.tolist())) > 20
    for tile in range(40):
        outliers = contaminated[tile, changed[tile]]
        torch.testing.assert_close(outliers.norm(dim=1), fused[tile].norm(dim=1).mean().expand(len(outliers)))
        if len(outliers) > 5:
            cosine = F.normalize(outliers, dim=1) @ F.normalize(outliers, dim=1).T
            assert 0.3 < cosine[~torch.eye(len(outliers), dtype=torch.bool)].mean() < 0.7
    assert torch.equal(contaminated, with_outliers(fused, 0.3, generators(40)))
    assert torch.equal(contaminated[:3], with_outliers(fused[:3], 0.3, generators(3)))


def test_n7_value_is_the_plain_cosine_and_the_gradient_is_weighted():
    targets = torch.randn(2, 2, 12, 5, dtype=torch.float64)
    rebuilt = torch.randn(2, 2, 12, 5, dtype=torch.float64, requires_grad=True)
    loss = reconstruction_loss(targets, rebuilt, gamma=3.0)
    (mined,) = torch.autograd.grad(loss, rebuilt)
    plain = 1.0 - torch.stack(
        [F.cosine_similarity(targets[:, g].flatten(1), rebuilt[:, g].flatten(1), eps=1e-8) for g in range(2)]
    )
    (unweighted,) = torch.autograd.grad(plain.mean(), rebuilt)
    distance = (1.0 - F.cosine_similarity(targets, rebuilt, dim=3, eps=1e-8)).detach()
    weights = (distance / distance.mean(dim=(0, 2), keepdim=True)).pow(3).unsqueeze(3)
    assert loss.item() == pytest.approx(plain.mean().item(), abs=1e-15)
    torch.testing.assert_close(mined, unweighted * weights, rtol=1e-12, atol=1e-15)
    assert float(weights.mean()) >= 1.0


def test_n7_perfect_reconstruction_gives_no_nan():
    target = F.one_hot(torch.tensor([[0, 1, 2]]), 4).float()
    weights = mining_weights(target, target, gamma=3.0)
    assert torch.equal(weights, torch.ones(1, 3, 1))
    rebuilt = target.unsqueeze(1).clone().requires_grad_()
    reconstruction_loss(target.unsqueeze(1), rebuilt, 3.0).backward()
    assert torch.isfinite(rebuilt.grad).all()


def test_n10_initial_weights():
    torch.manual_seed(1)
    net = InpNetwork(768, 12, 6, 2, 2)
    weights = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, torch.nn.Linear)])
    assert 0.0295 < weights.abs().max().item() <= 0.03
    assert weights.std().item() == pytest.approx(0.00986, abs=1e-5)
    assert weights.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, torch.nn.Linear))
    assert all(bool((m.weight == 1).all()) for m in net.modules() if isinstance(m, torch.nn.LayerNorm))
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, torch.nn.LayerNorm))
    assert all(bool((block.attn.gain == 1).all()) for block in net.decoder)
    assert net.prototype_token.std().item() == pytest.approx(1.0, abs=0.05)


def tiles(number, size=64):
    random = np.random.default_rng(0)
    stripes = np.sin(np.arange(size) * 2 * np.pi / 8)[:, None] + np.sin(np.arange(size) * 2 * np.pi / 16)[None, :]
    noise = random.normal(0, 4, (number, size, size, 3))
    return np.clip(120 + 40 * stripes[None, :, :, None] + noise, 0, 255).astype(np.uint8)


def train(detector, pixels, folder, steps):
    detector.settings = detector.settings.model_copy(update={"max_steps": steps})
    return Training(
        detector,
        detector.settings,
        train=pixels,
        validation=pixels[:1],
        checkpoint=Checkpoint(folder / "checkpoint", {}),
        device="cpu",
        workers=0,
        track=lambda items, _: items,
    ).run()


def test_n13_overfit_finds_an_inserted_patch(tmp_path):
    detector = toy(
        size=128,
        weights="pretrained",
        decoder_blocks=2,
        feature_cache_mb=50,
        epochs=1000,
        gradient_clip=1.0,
    )
    detector.settings = detector.settings.model_copy(
        update={"augmentation": detector.settings.augmentation.model_copy(update={"frozen_variants": 0})}
    )
    pixels = tiles(4, size=128)
    records = train(detector, pixels, tmp_path, steps=80)
    losses = records[-1].losses["loss"]
    assert losses[-1] < 0.5 * losses[0]
    spoiled = pixels[:1].copy()
    spoiled[:, 48:72, 64:88] = 255
    reader = TileReader(spoiled, detector.backbone.normalise, "cpu", 0)
    scores = detector.score(reader.images([reader.pixels(0)]))[0]
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[5:10, 7:12] = True
    assert float(scores[inside].max()) > float(scores[~inside].max())
