"""timm's vision transformer with the tokens of DINOv2 with registers, under the names of its published files.

Sources: Oquab et al., "DINOv2" (arXiv 2304.07193); Darcet et al., "Vision Transformers Need Registers" (arXiv
2309.16588); docs/methods/robis.md#frozen-encoder.

parity: position tables of other grids are resized bicubically without anti-aliasing, and 0.1 is added to the grid's
side before the scale factor is formed, as RoBiS has it. The DINOv2 authors' own loader of networks with registers adds
nothing and uses anti-aliasing. At 518 px nothing is resized and both agree.
"""

from collections.abc import Collection
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from seamark.networks.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()
import timm.models.vision_transformer  # noqa: E402  (timm imports torchvision, which needs the declaration above)

_PATCH = 14
_TABLE_SIDE = 37
_REGISTERS = 4
_RESIZE_OFFSET = 0.1


class VisionTransformer(timm.models.vision_transformer.VisionTransformer):
    """DINOv2 ViT/14 with four registers (docs/methods/robis.md#frozen-encoder).

    Parameters
    ----------
    embed_dim : int
        Features D per token: 384 (S), 768 (B), 1024 (L).
    depth : int
        Number of blocks: 12 (S, B), 24 (L).
    heads : int
        Attention heads: 6 (S), 12 (B), 16 (L).
    """

    cls_token: nn.Parameter
    pos_embed: nn.Parameter

    def __init__(self, embed_dim: int, depth: int, heads: int) -> None:
        super().__init__(
            img_size=_PATCH * _TABLE_SIDE,
            patch_size=_PATCH,
            num_classes=0,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=heads,
            init_values=1.0,
            pos_embed="none",
            dynamic_img_size=True,
        )
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1 + _TABLE_SIDE**2, embed_dim), std=0.02))
        self.register_tokens = nn.Parameter(nn.init.normal_(torch.empty(1, _REGISTERS, embed_dim), std=1e-6))
        self.mask_token = nn.Parameter(torch.zeros(1, embed_dim))
        self.num_prefix_tokens += _REGISTERS

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return the position table (1, 1 + rows * columns, D), resized where the grid is not that of training."""
        table = self.pos_embed
        if (rows, columns) == (_TABLE_SIDE, _TABLE_SIDE):
            return table
        grid = table[:, 1:].transpose(1, 2).reshape(1, -1, _TABLE_SIDE, _TABLE_SIDE)
        factors = [(side + _RESIZE_OFFSET) / _TABLE_SIDE for side in (rows, columns)]
        resized = functional.interpolate(grid, scale_factor=factors, mode="bicubic", antialias=False)
        return torch.cat([table[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Turn patches (B, h, w, D) into the tokens of the first block: class, registers, patches row by row.

        Positions are added before the registers are inserted, so registers have none.
        """
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x.flatten(1, 2)], dim=1)
        tokens = tokens + self.positions(int(x.shape[1]), int(x.shape[2]))
        return torch.cat([tokens[:, :1], self.register_tokens.expand(x.shape[0], -1, -1), tokens[:, 1:]], dim=1)

    def block_outputs(self, batch: Tensor, wanted: Collection[int]) -> list[Tensor]:
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
        outputs = self.forward_intermediates(
            batch, list(wanted), stop_early=True, output_fmt="NLC", intermediates_only=True
        )
        return cast("list[Tensor]", outputs)
