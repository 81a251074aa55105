"""docs/methods/robis.md#inp-former in plain PyTorch: INP-Former's network, losses, optimiser, step and score.

Names of parameters are those of ``seamark.detectors.inp_former.detector``, so that both load the same weights. What the
description leaves to the backbone follows docs/backbones.md for EfficientNet-Lite0: timm's network, with its batch
norms, up to the deepest layer that is used; a mirrored margin; layers brought to one grid, scaled and set side by side
with zeros around.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from seamark.networks.torchvision_operators import declare_torchvision_operators

declare_torchvision_operators()
import timm  # noqa: E402  (timm imports torchvision, which needs the declaration above)

MARGIN_PX = 32
LENGTHS = (23.0, 39.8, 44.6, 58.0, 50.1)
"""Typical length of the feature vectors of each layer of EfficientNet-Lite0."""


class Encoder(nn.Module):
    """Frozen EfficientNet-Lite0 as layers of tokens of one width on one grid."""

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self.network: nn.Module = timm.create_model(
            "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=tuple(layers)
        )
        self.widths = cast("Any", self.network).feature_info.channels()
        self.dim = sum(self.widths)
        self.scales = [math.sqrt(self.dim) / LENGTHS[layer] for layer in layers]
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the tokens (B, N, D) of each layer of normalised images (B, 3, H, W)."""
        padded = F.pad(images, (MARGIN_PX,) * 4, mode="reflect")
        side = padded.shape[2]
        maps = self.network(padded)
        cuts = [MARGIN_PX * level.shape[2] // side for level in maps]
        maps = [level[:, :, cut:-cut, cut:-cut] for level, cut in zip(maps, cuts, strict=True)]
        grid = maps[0].shape[2:]
        tokens, start = [], 0
        for level, width, scale in zip(maps, self.widths, self.scales, strict=True):
            resized = F.interpolate(level, size=grid, mode="bilinear", align_corners=False)
            stack = torch.zeros(len(images), grid[0] * grid[1], self.dim)
            stack[:, :, start : start + width] = resized.flatten(2).transpose(1, 2) * scale
            tokens.append(stack)
            start += width
        return tokens


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        hidden: Tensor = self.act(self.fc1(x))
        out: Tensor = self.fc2(hidden)
        return out


class CrossAttention(nn.Module):
    """Attention of queries to a context; with softmax, or with normalised q and k and ReLU."""

    def __init__(self, dim: int, heads: int, relu: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        if relu:
            self.gain = nn.Parameter(torch.ones(heads, 1, 1))
        self.relu = relu

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Map queries (B, Q, D) and context (B, K, D) to (B, Q, D)."""
        batch, queries, dim = x.shape
        q = self.q(x).reshape(batch, queries, self.heads, -1).transpose(1, 2)
        kv = self.kv(context).reshape(batch, context.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        k, v = kv[0], kv[1]
        if self.relu:
            scores = F.normalize(q, dim=-1, eps=1e-12) @ F.normalize(k, dim=-1, eps=1e-12).transpose(-2, -1)
            attention = F.relu(self.gain * scores)
        else:
            attention = (q @ k.transpose(-2, -1) * (dim // self.heads) ** -0.5).softmax(dim=-1)
        out: Tensor = self.proj((attention @ v).transpose(1, 2).reshape(batch, queries, dim))
        return out


class Block(nn.Module):
    """Attention and an MLP behind layer norms; around the attention there is a residual in the extractor alone."""

    def __init__(self, dim: int, heads: int, relu: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-8)
        self.attn = CrossAttention(dim, heads, relu)
        self.norm2 = nn.LayerNorm(dim, eps=1e-8)
        self.mlp = Mlp(dim)
        self.residual = not relu

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Map queries (B, Q, D) and context (B, K, D) to (B, Q, D)."""
        y = self.attn(self.norm1(x), self.norm1(context))
        if self.residual:
            y = x + y
        out: Tensor = y + self.mlp(self.norm2(y))
        return out


class Network(nn.Module):
    """Everything that is trained, for two groups of layers."""

    def __init__(self, dim: int, heads: int, prototypes: int, blocks: int) -> None:
        super().__init__()
        self.prototype_token = nn.Parameter(torch.randn(prototypes, dim))
        self.extractor = Block(dim, heads, relu=False)
        self.bottleneck = Mlp(dim)
        self.decoder = nn.ModuleList(Block(dim, heads, relu=True) for _ in range(blocks))

    def extract(self, fused: Tensor) -> Tensor:
        """Return the prototypes (B, M, D) of tokens (B, N, D)."""
        queries = self.prototype_token.unsqueeze(0).repeat(len(fused), 1, 1)
        out: Tensor = self.extractor(queries, fused)
        return out

    def rebuild(self, fused: Tensor, prototypes: Tensor) -> list[Tensor]:
        """Return the reconstruction (B, N, D) of both groups."""
        x, outputs = self.bottleneck(fused), []
        for block in self.decoder:
            x = block(x, prototypes)
            outputs.append(x)
        outputs.reverse()
        half = len(outputs) // 2
        return [torch.stack(outputs[:half]).mean(0), torch.stack(outputs[half:]).mean(0)]


class StableAdamW(torch.optim.Optimizer):
    """What docs/methods/robis.md#stableadamw says, tensor by tensor."""

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float) -> None:
        super().__init__(parameters, {"lr": 0.0, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update all parameters."""
        for group in self.param_groups:
            rate = group["lr"]
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(step=0, m=torch.zeros_like(p), v=torch.zeros_like(p), largest=torch.zeros_like(p))
                state["step"] += 1
                p.mul_(1 - rate * group["weight_decay"])
                state["m"].mul_(0.9).add_(p.grad, alpha=0.1)
                state["v"].mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                torch.maximum(state["largest"], state["v"], out=state["largest"])
                denominator = state["largest"].sqrt() / math.sqrt(1 - 0.999 ** state["step"]) + 1e-10
                rms = (p.grad / denominator).pow(2).mean().sqrt()
                scale = rms.clamp(min=1.0)
                p.sub_(rate / (1 - 0.9 ** state["step"]) / scale * state["m"] / denominator)


def groups_of(layers: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return the mean of all layers (B, N, D) and the means of the shallow and of the deep half."""
    half = len(layers) // 2
    halves = [torch.stack(list(part)).mean(0) for part in (layers[:half], layers[half:])]
    return torch.stack(list(layers)).mean(0), halves


def coherence(fused: Tensor, prototypes: Tensor) -> Tensor:
    """Return the coherence loss."""
    cosine = F.normalize(fused, dim=2, eps=1e-8) @ F.normalize(prototypes, dim=2, eps=1e-8).transpose(1, 2)
    return (1 - cosine).min(dim=2).values.mean()


def soft_mining(targets: Sequence[Tensor], rebuilt: Sequence[Tensor], gamma: float) -> Tensor:
    """Return the reconstruction loss; a hook scales its gradient token by token."""
    total = torch.zeros(())
    for target, output in zip(targets, rebuilt, strict=True):
        with torch.no_grad():
            distance = 1 - F.cosine_similarity(target, output, dim=2, eps=1e-8)
            weight = (distance / distance.mean()).pow(gamma).unsqueeze(2)
        total = total + (1 - F.cosine_similarity(target.flatten(1), output.flatten(1), dim=1, eps=1e-8)).mean()
        output.register_hook(lambda gradient, weight=weight: gradient * weight)  # type: ignore[no-untyped-call]
    return total / len(rebuilt)


@torch.no_grad()
def score(encoder: Encoder, network: Network, image: Tensor) -> Tensor:
    """Return the cell map (1, h, w) of one normalised image (1, 3, H, W): C.10, step 1, and the mean of step 2."""
    fused, targets = groups_of(encoder(image))
    rebuilt = network.rebuild(fused, network.extract(fused))
    side = math.isqrt(fused.shape[1])
    maps = []
    for target, output in zip(targets, rebuilt, strict=True):
        en, de = (tokens.transpose(1, 2).reshape(1, -1, side, side) for tokens in (target, output))
        maps.append(1 - F.cosine_similarity(en, de, dim=1, eps=1e-8))
    return torch.stack(maps).mean(0)


class Trainer:
    """One training step after the other, features computed anew in each."""

    def __init__(self, encoder: Encoder, network: Network, weight_decay: float, clip: float) -> None:
        self.encoder, self.network, self.clip = encoder, network, clip
        self.optimiser = StableAdamW(network.parameters(), weight_decay)

    def step(
        self,
        images: Tensor,
        rate: float,
        *,
        spoil: Callable[[Tensor], Tensor],
        chosen: Tensor | slice,
        coherence_weight: float,
        gamma: float,
    ) -> float:
        """Train with normalised images (B, 3, H, W) and return the loss.

        ``spoil`` changes tokens before prototypes are drawn, ``chosen`` are the tokens that are rebuilt; both are
        Seamark's, the method has neither.
        """
        self.optimiser.param_groups[0]["lr"] = rate
        fused, targets = groups_of(self.encoder(images))
        prototypes = self.network.extract(spoil(fused))
        rebuilt = self.network.rebuild(fused[:, chosen], prototypes)
        loss = soft_mining([target[:, chosen] for target in targets], rebuilt, gamma)
        loss = loss + coherence_weight * coherence(fused, prototypes)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimiser.step()
        return float(loss.detach())
