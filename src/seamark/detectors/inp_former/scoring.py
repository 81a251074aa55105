"""INP-Former's network with its weights multiplied out along the prototypes: the same function with fewer products.

A token of the decoder reaches everything behind its attention through a few numbers, one per head and prototype,
because values are those of the prototypes. Projection and first linear layer of the MLP are therefore multiplied with
the values once per tile, not once per token; keys and values of the extractor are never made for each token. What is
left per token and block is the query and the second linear layer: 5 D^2 products of 10 D^2.

Source: docs/methods/robis.md#inp-former, rearranged; tests compare it with ``inp_network``.
"""

from typing import Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from seamark.detectors.inp_former.network import Attention, Block, InpNetwork, Mlp, ReluAttention
from seamark.networks.onednn import in_one_pass


def reconstruct(network: InpNetwork, fused: Tensor) -> Tensor:
    """Return what the network rebuilds of tokens from their own prototypes.

    Parameters
    ----------
    network : InpNetwork
        With its trained weights.
    fused : Tensor of float32, shape (B, N, D)
        Tokens of each tile.

    Returns
    -------
    Tensor of float32, shape (B, G, N, D)
        As ``network.reconstruct(fused, network.prototypes(fused))``, up to rounding.
    """
    prototypes = _prototypes(network.extractor, network.prototype_token, fused)
    tokens, share = _expanded(network.bottleneck, fused), len(network.decoder) // network.groups
    rebuilt = fused.new_zeros(fused.shape[0], network.groups, *fused.shape[1:])
    for number, block in enumerate(network.decoder):
        tokens = _decoded(cast(Block, block), tokens, prototypes)
        rebuilt[:, -1 - number // share].add_(tokens, alpha=1.0 / share)
    return rebuilt


def _prototypes(extractor: Block, learned: Tensor, fused: Tensor) -> Tensor:
    """Prototypes (B, M, D): attention to the tokens as scores of the tokens themselves, which are averaged first."""
    attention, context = extractor.attn, extractor.norm1(fused)
    dim, size = learned.shape[1], learned.shape[1] // attention.heads
    keys, values = attention.kv.weight.chunk(2)
    queries = attention.q(extractor.norm1(learned)) * size**-0.5
    asked = torch.einsum("mhd,hde->hme", _by_head(queries, attention), keys.view(-1, size, dim)).flatten(0, 1)
    # A key's bias shifts the scores of all tokens alike, which the softmax takes out again.
    shares = F.softmax(context @ asked.T, dim=1)
    averages = (shares.transpose(1, 2) @ context).reshape(fused.shape[0], attention.heads, -1, dim)
    attended = torch.einsum("bhme,hde->bmhd", averages, values.view(-1, size, dim)).flatten(2)
    residual = learned + attention.proj(attended + attention.kv.bias[dim:])
    out: Tensor = residual + extractor.mlp(extractor.norm2(residual))
    return out


def _decoded(block: Block, tokens: Tensor, prototypes: Tensor) -> Tensor:
    """One block of the decoder, (B, N, D) to (B, N, D)."""
    attention, mlp, norm = cast(ReluAttention, block.attn), block.mlp, block.norm2
    keys, values = attention.kv(block.norm1(prototypes)).chunk(2, dim=2)
    span = _span(attention, values)
    first = (span - span.mean(dim=2, keepdim=True)) * norm.weight @ mlp.fc1.weight.T
    constant = mlp.fc1.bias + mlp.fc1.weight @ norm.bias
    weights = F.pad(_weights(attention, block.norm1(tokens), keys), (0, 1), value=1.0)
    attended = linear(weights, span.transpose(1, 2).contiguous(), None)
    lengths = torch.linalg.vector_norm(attended - attended.mean(dim=2, keepdim=True), dim=2, keepdim=True)
    scale = torch.rsqrt(lengths.square() / attended.shape[2] + norm.eps)
    hidden = linear(weights * scale, first.transpose(1, 2).contiguous(), constant, "gelu")
    return linear_added(hidden, mlp.fc2.weight, mlp.fc2.bias, attended)


def _span(attention: ReluAttention, values: Tensor) -> Tensor:
    """Return what a weight of 1 adds behind the projection, by head and prototype, then its bias (B, h M + 1, D)."""
    span = torch.einsum("bmhd,ehd->bhme", _by_head(values, attention), _by_head(attention.proj.weight, attention))
    return torch.cat([span.flatten(1, 2), attention.proj.bias.expand(span.shape[0], 1, -1)], dim=1)


def _weights(attention: ReluAttention, context: Tensor, keys: Tensor) -> Tensor:
    """Attention (B, N, h M) of each token (B, N, D) to the keys of prototypes (B, M, D), head by head."""
    own = torch.eye(attention.heads, device=keys.device, dtype=keys.dtype)
    directions = attention.gain[:, 0] * F.normalize(_by_head(keys, attention), dim=3)
    by_head = torch.einsum("bmhd,hg->bgmhd", directions, own).flatten(3).flatten(1, 2)
    queries = linear(context, attention.q.weight, attention.q.bias)
    lengths = torch.linalg.vector_norm(_by_head(queries, attention), dim=3, keepdim=True).clamp(min=1e-12)
    found = _by_head(linear(queries, by_head, None), attention)
    return F.relu(found / lengths).flatten(2)


def _expanded(mlp: Mlp, tokens: Tensor) -> Tensor:
    """Apply an MLP to tokens (B, n, D)."""
    return linear(linear(tokens, mlp.fc1.weight, mlp.fc1.bias, "gelu"), mlp.fc2.weight, mlp.fc2.bias)


def _by_head(features: Tensor, attention: Attention) -> Tensor:
    """Split what is per head and something (..., h d) into (..., h, d)."""
    return features.reshape(*features.shape[:-1], attention.heads, -1)


def linear(
    features: Tensor, weight: Tensor, bias: Tensor | None, activation: Literal["none", "gelu"] = "none"
) -> Tensor:
    """Multiply, add a bias, and apply an activation.

    Parameters
    ----------
    features : Tensor, shape (B, N, I)
        Of B tiles.
    weight : Tensor, shape (O, I) or (B, O, I)
        For all tiles or for each.
    bias : Tensor, shape (O,), optional
        For all tiles.
    activation : {"none", "gelu"}
        Applied to what comes out.

    Returns
    -------
    Tensor, shape (B, N, O)
        Up to rounding the same whichever way it is computed.
    """
    shared = weight[0] if weight.ndim == 3 and weight.shape[0] == 1 else weight
    if shared.ndim == 2 and in_one_pass(features):
        found: Tensor = torch.ops.mkldnn._linear_pointwise(features, shared, bias, activation, [], "none")
        return found
    if shared.ndim == 2:
        found = F.linear(features, shared, bias)
    else:
        found = (
            features @ shared.transpose(1, 2) if bias is None else torch.baddbmm(bias, features, shared.transpose(1, 2))
        )
    return F.gelu(found) if activation == "gelu" else found


def linear_added(features: Tensor, weight: Tensor, bias: Tensor, other: Tensor) -> Tensor:
    """Multiply with a weight (O, I), add a bias (O,) and another tensor (B, N, O) to features (B, N, I)."""
    if in_one_pass(features):
        found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(features, other, weight, bias, "add")
        return found
    return F.linear(features, weight, bias) + other
