"""The vision transformer with registers of DINOv2, in the form that gives the outputs of its blocks.

Sources: Oquab et al., "DINOv2" (arXiv 2304.07193); Darcet et al., "Vision Transformers Need Registers" (arXiv
2309.16588); RoBiS specification C.1. Modules carry the state names of the published files, which load by name.

parity: position tables of other grids are resized bicubically without anti-aliasing, and 0.1 is added to the grid's
side before the scale factor is formed, as RoBiS has it. The DINOv2 authors' own loader of networks with registers adds
nothing and uses anti-aliasing. At 518 px nothing is resized and both agree.
"""

from collections.abc import Collection
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_PATCH = 14
_TABLE_SIDE = 37
_REGISTERS = 4
_RESIZE_OFFSET = 0.1


class _Patches(nn.Module):
    """Non-overlapping patches of the input, each projected to a token."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=_PATCH, stride=_PATCH)

    def forward(self, batch: Tensor) -> Tensor:
        patches: Tensor = self.proj(batch)
        return patches


class _Attention(nn.Module):
    """Multi-head self-attention over all tokens, scaled by head size ** -0.5."""

    def __init__(self, embed_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        split = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.proj(mixed.transpose(1, 2).flatten(2)))


class _LayerScale(nn.Module):
    """A learned factor per feature on a residual branch."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(embed_dim))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class _Perceptron(nn.Module):
    """Two linear layers with an exact (erf) GELU between them, four times as wide inside."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, 4 * embed_dim)
        self.fc2 = nn.Linear(4 * embed_dim, embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(functional.gelu(self.fc1(tokens))))


class _Block(nn.Module):
    """Pre-norm transformer block with LayerScale on both branches."""

    def __init__(self, embed_dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = _Attention(embed_dim, heads)
        self.ls1 = _LayerScale(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = _Perceptron(embed_dim)
        self.ls2 = _LayerScale(embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + cast(Tensor, self.ls2(self.mlp(self.norm2(tokens))))


class VisionTransformer(nn.Module):
    """DINOv2 ViT/14 with four registers (RoBiS specification C.1).

    Parameters
    ----------
    embed_dim : int
        Features D per token: 384 (S), 768 (B), 1024 (L).
    depth : int
        Number of blocks: 12 (S, B), 24 (L).
    heads : int
        Attention heads: 6 (S), 12 (B), 16 (L).
    """

    def __init__(self, embed_dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + _TABLE_SIDE**2, embed_dim))
        self.register_tokens = nn.Parameter(torch.empty(1, _REGISTERS, embed_dim))
        self.mask_token = nn.Parameter(torch.zeros(1, embed_dim))
        self.patch_embed = _Patches(embed_dim)
        self.blocks = nn.ModuleList(_Block(embed_dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for token in (self.cls_token, self.register_tokens):
            nn.init.normal_(token, std=1e-6)

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Return the position table (1, 1 + rows * columns, D), resized where the grid is not that of training."""
        if (rows, columns) == (_TABLE_SIDE, _TABLE_SIDE):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, -1, _TABLE_SIDE, _TABLE_SIDE)
        factors = [(side + _RESIZE_OFFSET) / _TABLE_SIDE for side in (rows, columns)]
        resized = functional.interpolate(grid, scale_factor=factors, mode="bicubic", antialias=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)

    def embed(self, batch: Tensor) -> Tensor:
        """Return the tokens that enter the first block.

        Parameters
        ----------
        batch : Tensor
            (B, 3, H, W) float32, normalised; H and W are multiples of 14.

        Returns
        -------
        Tensor
            (B, 1 + 4 + H/14 * W/14, D) float32: class, registers, patches row by row. Positions are added before the
            registers are inserted, so registers have none.
        """
        patches = self.patch_embed(batch)
        rows, columns = patches.shape[2:]
        tokens = torch.cat([self.cls_token.expand(len(batch), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + self._positions(rows, columns)
        registers = self.register_tokens.expand(len(batch), -1, -1)
        return torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)

    def forward(self, batch: Tensor, wanted: Collection[int]) -> list[Tensor]:
        """Return the patch tokens after some blocks, as the blocks give them (no final norm).

        Parameters
        ----------
        batch : Tensor
            (B, 3, H, W) float32, normalised; H and W are multiples of 14.
        wanted : collection of int
            Blocks, counted from 0. Blocks behind the last wanted one are not run.

        Returns
        -------
        list of Tensor
            (B, H/14 * W/14, D) float32 per wanted block, in the order of the blocks.
        """
        tokens = self.embed(batch)
        outputs = []
        for index in range(max(wanted) + 1):
            tokens = self.blocks[index](tokens)
            if index in wanted:
                outputs.append(tokens[:, 1 + _REGISTERS :])
        return outputs
