"""INP-Former: a decoder that may rebuild a tile only from a few prototypes of the tile itself.

Paper: Luo et al., Exploring Intrinsic Normal Prototypes within a Single Image for Universal Anomaly Detection, CVPR
2025; used as in RoBiS (arXiv 2505.21152), docs/methods/robis.md#inp-former.
Equations: prototypes by cross-attention (docs/methods/robis.md#prototypes), ReLU attention to them
(docs/methods/robis.md#decoder), coherence and soft mining losses (docs/methods/robis.md#losses), score 1 - cosine per
group (docs/methods/robis.md#tile-scores).
Reference: luow23/INP-Former at 17d2653 (MIT) and HUST-SLOW/RoBiS at c318cf4 (MIT); written from formulas alone.

parity: score maps are kept at the token grid; the reference interpolates each group to 518 px and then to 256 px.
parity: batches and augmentation come from a counter-based generator, so equal seeds give other samples.
parity: where a reconstruction is perfect everywhere, mining leaves the gradient as it is instead of dividing 0 by 0.
parity: with the default settings all else is equal; token_share, outlier_share, max_steps, groups, heads and wide
variants are ours.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from seamark.detectors.inp_former.network import InpNetwork
from seamark.detectors.inp_former.scoring import reconstruct
from seamark.detectors.inp_former.stable_adamw import StableAdamW
from seamark.learning.batches import Batch, FeatureCache, TrainingTiles, step_count
from seamark.learning.detector import Detector
from seamark.learning.phases import GradientPhase, Phase, warmup_cosine
from seamark.networks.plain_form import tile_by_tile
from seamark.settings.inp_former import InpFormerSettings

COSINE_EPS = 1e-8


def with_outliers(fused: Tensor, share: float, generators: Sequence[np.random.Generator]) -> Tensor:
    """Replace some tokens of each tile by noise around a direction of its own, as a defect would.

    The prototypes of defect-free tiles are so alike that a decoder never learns to bear others; then one strong defect
    spoils the reconstruction of its whole tile. Ours, not in the paper.

    Parameters
    ----------
    fused : Tensor, shape (B, N, D)
        Tokens that prototypes are drawn from.
    share : float
        Largest share of a tile's tokens that is replaced, 0..1; how many it is, is drawn per tile.
    generators : sequence of Generator
        One per tile.

    Returns
    -------
    Tensor, shape (B, N, D)
        Outliers have the mean length of the tile's tokens; ``fused`` itself with share 0.
    """
    if share == 0.0:
        return fused
    contaminated, (_, tokens, dim) = fused.clone(), fused.shape
    for place, (tile, random) in enumerate(zip(fused, generators, strict=True)):
        count = int(tokens * random.uniform(0.0, share))
        where = torch.from_numpy(random.permutation(tokens)[:count]).to(fused.device)
        directions = random.standard_normal(dim) + random.standard_normal((count, dim))
        outliers = F.normalize(torch.from_numpy(directions).to(fused), dim=1)
        contaminated[place, where] = tile.norm(dim=1).mean() * outliers
    return contaminated


def coherence_loss(fused: Tensor, prototypes: Tensor) -> Tensor:
    """Return how far tokens are from their nearest prototype, as 1 - cosine, averaged.

    Parameters
    ----------
    fused : Tensor, shape (B, N, D)
        Tokens.
    prototypes : Tensor, shape (B, M, D)
        Prototypes of the same tiles.

    Returns
    -------
    Tensor, scalar
        0..2 (docs/methods/robis.md#losses).
    """
    tokens = F.normalize(fused.detach(), dim=2, eps=COSINE_EPS)
    cosine = tokens @ F.normalize(prototypes, dim=2, eps=COSINE_EPS).transpose(1, 2)
    return (1.0 - cosine).amin(dim=2).mean()


def mining_weights(target: Tensor, rebuilt: Tensor, gamma: float) -> Tensor:
    """Return the factor of each token's gradient: its distance over the mean distance of the batch, to the power gamma.

    Parameters
    ----------
    target, rebuilt : Tensor, shape (B, N, D)
        Tokens of one group and their reconstruction.
    gamma : float
        Exponent.

    Returns
    -------
    Tensor, shape (B, N, 1)
        Non-negative; 1 everywhere if all distances are 0.
    """
    with torch.no_grad():
        distance = 1.0 - F.cosine_similarity(target, rebuilt, dim=2, eps=COSINE_EPS)
        mean = distance.mean()
        relative = torch.where(mean > 0, distance / mean, torch.ones_like(distance))
        return relative.clamp(min=0.0).pow(gamma).unsqueeze(2)


def reconstruction_loss(targets: Tensor, rebuilt: Tensor, gamma: float) -> Tensor:
    """Return one minus the cosine over whole tiles, with the gradient shifted to the tokens that are hard to rebuild.

    Parameters
    ----------
    targets, rebuilt : Tensor, shape (B, G, N, D)
        Tokens per group and their reconstruction.
    gamma : float
        Exponent of the soft mining; it changes the gradient, never the value.

    Returns
    -------
    Tensor, scalar
        0..2 (docs/methods/robis.md#losses).
    """
    losses = []
    for target, output in zip(targets.detach().unbind(1), rebuilt.unbind(1), strict=True):
        if output.requires_grad:
            weights = mining_weights(target, output, gamma)
            output.register_hook(lambda gradient, weights=weights: gradient * weights)  # type: ignore[no-untyped-call]
        losses.append((1.0 - F.cosine_similarity(target.flatten(1), output.flatten(1), dim=1, eps=COSINE_EPS)).mean())
    return torch.stack(losses).mean()


def _mean(layers: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape; of a single one without a copy."""
    return layers[0] if len(layers) == 1 else torch.stack(tuple(layers)).mean(dim=0)


class InpFormer(Detector):
    """INP-Former over any token stack."""

    Settings = InpFormerSettings
    filled: Tensor

    def __init__(self, settings: InpFormerSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        dim = self.backbone.embed_dim
        self.token_groups = settings.token_groups(self.backbone.layers)
        self.register_buffer("filled", self._filled(), persistent=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = InpNetwork(
                dim,
                settings.head_count(dim),
                settings.prototypes,
                settings.decoder_blocks,
                len(self.token_groups),
            )

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:  # noqa: D102
        settings = self.settings
        steps = step_count(settings.epochs, settings.max_steps, settings.batch_size, len(tiles.train))
        features = FeatureCache(self.packed_targets, settings.feature_cache_mb)
        reconstruction = GradientPhase(
            "reconstruction",
            steps=steps,
            batch_size=settings.batch_size,
            module=self.network,
            optimiser=StableAdamW(self.network.parameters(), weight_decay=settings.weight_decay),
            rate=lambda step: warmup_cosine(
                step, steps, settings.warmup_steps, settings.learning_rate, settings.final_learning_rate
            ),
            loss=lambda batch: self.losses(self.unpacked(features(batch)), batch),
            clip=settings.gradient_clip,
            augmentation=settings.augmentation,
        )
        return [reconstruction]

    def targets(self, images: Tensor) -> Tensor:
        """Return the reconstruction targets (B, G, N, D) of normalised images (B, 3, H, W): means of layers."""
        layers = self.backbone.tokens(images)
        return torch.stack([_mean([layers[layer] for layer in group]) for group in self.token_groups], dim=1)

    def _filled(self) -> Tensor:
        """Say which features each target fills (G, 1, D), if no two of them fill the same; else (0, 1, D)."""
        layers = [layer for group in self.token_groups for layer in group]
        filled = torch.zeros(len(self.token_groups), 1, self.backbone.embed_dim, dtype=torch.bool)
        if not self.backbone.slices or len(set(layers)) < len(layers):
            return filled[:0]
        for row, group in zip(filled, self.token_groups, strict=True):
            for layer in group:
                row[:, self.backbone.slices[layer]] = True
        return filled

    def packed_targets(self, images: Tensor) -> Tensor:
        """Return the targets (B, G, N, D), or (B, 1, N, D) without their zeros where no two fill the same features."""
        targets = self.targets(images)
        return targets.sum(dim=1, keepdim=True) if len(self.filled) else targets

    def unpacked(self, packed: Tensor) -> Tensor:
        """Return the targets (B, G, N, D) of what :meth:`packed_targets` gave."""
        return torch.where(self.filled, packed, 0.0) if len(self.filled) else packed

    def fused(self, targets: Tensor) -> Tensor:
        """Return the mean (B, N, D) of the layers of all groups, given the targets (B, G, N, D)."""
        sizes = targets.new_tensor([len(group) for group in self.token_groups])
        return (targets * (sizes / sizes.sum()).view(1, -1, 1, 1)).sum(dim=1)

    def losses(self, targets: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of targets (B, G, N, D): the total and its two parts."""
        fused = self.fused(targets)
        generators = [batch.random("outliers", place) for place in range(len(batch))]
        prototypes = self.network.prototypes(with_outliers(fused, self.settings.outlier_share, generators))
        chosen = self._chosen_tokens(targets.shape[2], batch)
        rebuilt = self.network.reconstruct(fused[:, chosen], prototypes)
        reconstruction = reconstruction_loss(targets[:, :, chosen], rebuilt, self.settings.mining_gamma)
        coherence = coherence_loss(fused, prototypes)
        total = reconstruction + self.settings.coherence_weight * coherence
        return {"loss": total, "reconstruction": reconstruction, "coherence": coherence}

    def _chosen_tokens(self, tokens: int, batch: Batch) -> Tensor | slice:
        """Positions that the decoder rebuilds; it rebuilds each token independently of the others."""
        if self.settings.token_share == 1.0:
            return slice(None)
        count = max(1, round(self.settings.token_share * tokens))
        order = batch.random("tokens").permutation(tokens)[:count]
        order.sort()
        return torch.from_numpy(order).to(batch.reader.device)

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:  # noqa: D102
        parts = tile_by_tile(batch) if self.settings.factored_scoring else [batch]
        return torch.cat([self._distances(part) for part in parts]).reshape(-1, *self.map_shape)

    def _distances(self, images: Tensor) -> Tensor:
        """Return 1 - cosine (B, N) of the tokens of images (B, 3, H, W) and what is rebuilt of them, mean of groups."""
        targets = self.targets(images)
        fused = self.fused(targets)
        if self.settings.factored_scoring:
            rebuilt = reconstruct(self.network, fused)
        else:
            rebuilt = self.network.reconstruct(fused, self.network.prototypes(fused))
        lengths = [torch.linalg.vector_norm(tokens, dim=3).clamp(min=COSINE_EPS) for tokens in (targets, rebuilt)]
        cosines: Tensor = (targets * rebuilt).sum(dim=3) / (lengths[0] * lengths[1])
        return (1.0 - cosines).mean(dim=1)
