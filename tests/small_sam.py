"""A Segment Anything of a few thousand weights, built from the package's own parts."""

from functools import partial

import torch

from seamark.networks.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()

from segment_anything import SamPredictor  # noqa: E402
from segment_anything.modeling import (  # noqa: E402
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

__all__ = ["SamPredictor", "build_small_sam", "small_sam"]

SIDE = 256
GRID = SIDE // 16
WIDTH = 32
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def build_small_sam(model="vit_b"):
    """Build it with random weights; it takes the place of ``seamark.masks.sam.build_sam``."""
    encoder = ImageEncoderViT(
        img_size=SIDE,
        depth=2,
        embed_dim=48,
        num_heads=3,
        out_chans=WIDTH,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=7,
        global_attn_indexes=(1,),
    )
    prompts = PromptEncoder(
        embed_dim=WIDTH, image_embedding_size=(GRID, GRID), input_image_size=(SIDE, SIDE), mask_in_chans=16
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=64, num_heads=4)
    decoder = MaskDecoder(transformer_dim=WIDTH, transformer=transformer, iou_head_hidden_dim=32)
    return Sam(encoder, prompts, decoder, MEAN, STD).eval()


def small_sam(seed=5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_small_sam().requires_grad_(False)
