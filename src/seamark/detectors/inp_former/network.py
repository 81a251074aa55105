"""The network that INP-Former trains: extractor of intrinsic normal prototypes, bottleneck and decoder.

Source: docs/methods/robis.md#inp-former.
"""

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

MLP_RATIO = 4
NORM_EPS = 1e-8


class Mlp(nn.Module):
    """Two linear layers with GELU between, D to 4 D to D."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Attention(nn.Module):
    """Projections of cross-attention between queries (B, Q, D) and a context (B, K, D)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, queries: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, h, Q, d), k and v (B, h, K, d)."""
        q = self.q(queries).reshape(*queries.shape[:2], self.heads, -1).transpose(1, 2)
        k, v = self.kv(context).reshape(*context.shape[:2], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return q, k, v

    def join(self, values: Tensor) -> Tensor:
        """Project (B, h, Q, d) back to (B, Q, D)."""
        out: Tensor = self.proj(values.transpose(1, 2).flatten(2))
        return out


class SoftmaxAttention(Attention):
    """Standard multi-head cross-attention."""

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Map queries (B, Q, D) and context (B, K, D) to (B, Q, D)."""
        return self.join(F.scaled_dot_product_attention(*self.split(queries, context)))


class ReluAttention(Attention):
    """Cosine attention with a learnable factor per head, cut at 0; no softmax, so a token may attend to nothing."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads)
        self.gain = nn.Parameter(torch.ones(heads, 1, 1))

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        """Return attention (B, h, Q, K) of q (B, h, Q, d) and k (B, h, K, d), values 0..gain."""
        return F.relu(self.gain * (F.normalize(q, dim=3) @ F.normalize(k, dim=3).transpose(2, 3)))

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Map queries (B, Q, D) and context (B, K, D) to (B, Q, D)."""
        q, k, v = self.split(queries, context)
        return self.join(self.weights(q, k) @ v)


class Block(nn.Module):
    """Cross-attention and an MLP with residual; queries and context share one layer norm.

    ``residual`` says whether there is a residual around the attention too: in the extractor, not in the decoder.
    """

    def __init__(self, dim: int, attention: Attention, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = attention
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Map queries (B, Q, D) and context (B, K, D) to (B, Q, D)."""
        attended: Tensor = self.attn(self.norm1(queries), self.norm1(context))
        if self.residual:
            attended = queries + attended
        out: Tensor = attended + self.mlp(self.norm2(attended))
        return out


class InpNetwork(nn.Module):
    """Extractor of intrinsic normal prototypes, bottleneck and decoder.

    Parameters
    ----------
    dim : int
        Width D of the tokens.
    heads : int
        Attention heads.
    prototypes : int
        Prototypes M per tile.
    blocks : int
        Decoder blocks.
    groups : int
        Reconstruction targets G; they share the decoder blocks evenly, the shallow target takes the last ones.
    """

    def __init__(self, dim: int, heads: int, prototypes: int, blocks: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.prototype_token = nn.Parameter(torch.randn(prototypes, dim))
        self.extractor = Block(dim, SoftmaxAttention(dim, heads), residual=True)
        self.bottleneck = Mlp(dim)
        self.decoder = nn.ModuleList(Block(dim, ReluAttention(dim, heads), residual=False) for _ in range(blocks))
        self.apply(_initialise)

    def prototypes(self, fused: Tensor) -> Tensor:
        """Return the prototypes (B, M, D) of fused tokens (B, N, D)."""
        out: Tensor = self.extractor(self.prototype_token.expand(fused.shape[0], -1, -1), fused)
        return out

    def reconstruct(self, fused: Tensor, prototypes: Tensor) -> Tensor:
        """Return the reconstructions (B, G, N, D) of fused tokens (B, N, D) from prototypes (B, M, D)."""
        tokens, outputs = self.bottleneck(fused), []
        for block in self.decoder:
            tokens = block(tokens, prototypes)
            outputs.append(tokens)
        shares = torch.stack(outputs[::-1], dim=1)
        return shares.reshape(fused.shape[0], self.groups, -1, *tokens.shape[1:]).mean(dim=2)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
        nn.init.zeros_(module.bias)
