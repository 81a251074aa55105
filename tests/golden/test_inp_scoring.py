"""INP-Former's scoring with the weights multiplied out, beside the network as it trains, in float64."""

import pytest
import torch

from seamark.detectors.inp_former.network import InpNetwork
from seamark.detectors.inp_former.scoring import reconstruct


def network(dim, heads, prototypes, blocks, groups):
    """A network whose weights, biases and norms are all far from where they start."""
    made = InpNetwork(dim, heads, prototypes, blocks, groups).double().eval()
    random = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    return made


def tokens(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def literal(made, fused):
    return made.reconstruct(fused, made.prototypes(fused))


@pytest.mark.parametrize(
    ("dim", "heads", "prototypes", "blocks", "groups"), [(12, 3, 2, 2, 1), (24, 4, 6, 4, 2), (16, 1, 5, 6, 3)]
)
@torch.inference_mode()
def test_it_is_the_same_function(dim, heads, prototypes, blocks, groups):
    made, fused = network(dim, heads, prototypes, blocks, groups), tokens(3, 40, dim)
    torch.testing.assert_close(reconstruct(made, fused), literal(made, fused), rtol=1e-10, atol=1e-10)


@torch.inference_mode()
def test_tokens_that_attend_to_nothing():
    made, fused = network(12, 3, 2, 2, 1), tokens(1, 40, 12)
    for block in made.decoder:
        block.attn.gain.data.zero_()
    torch.testing.assert_close(reconstruct(made, fused), literal(made, fused), rtol=1e-10, atol=1e-10)


@torch.inference_mode()
def test_queries_without_length():
    made, fused = network(12, 3, 2, 2, 1), tokens(1, 40, 12)
    for block in made.decoder:
        block.attn.q.weight.data.zero_()
        block.attn.q.bias.data.zero_()
    torch.testing.assert_close(reconstruct(made, fused), literal(made, fused), rtol=1e-10, atol=1e-10)


@torch.inference_mode()
def test_without_the_private_operators_of_torch_it_is_the_same_function(monkeypatch):
    made, fused = network(24, 4, 6, 4, 2).float(), tokens(1, 40, 24).float()
    expected = reconstruct(made, fused)
    monkeypatch.setattr("seamark.networks.onednn._FUSED", ("_an_operator_that_torch_does_not_have",))
    torch.testing.assert_close(reconstruct(made, fused), expected, rtol=1e-4, atol=1e-4)
