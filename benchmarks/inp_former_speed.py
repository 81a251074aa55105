"""Time INP-Former with EfficientNet-Lite0 on 448 px tiles beside the literal form of its specification.

Literal is ``literal/inp_former.py``: plain PyTorch, batch norms where they are, features computed anew in every step,
one tile at a time when scoring. Settings are those of ``config.yaml``, the demo's (``--paper`` for INP-Former's own);
both forms start from the same weights and see the same pixels and the same random choices. First their scores and three
training steps must agree. Then, in turns in one process on one thread: processor seconds per tile of scoring and per
training step. A step costs less when its features are kept, so it is timed with all and with none of them kept, and the
mean step of a training follows from how many of its tiles are not yet kept when they come (``--tiles``, ``--steps``).
Last, on two cores: literal scores with two threads, Seamark in two processes side by side, as its jobs run, each on one
thread; wall seconds per tile of both. Prints a row and appends it to ``history/inp_former_speed.csv``. Run:
``python benchmarks/inp_former_speed.py``.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Barrier
from typing import cast

import numpy as np
import torch
import yaml
from history import append, history_of
from literal import inp_former as literal
from torch import Tensor, nn

from seamark.backbone_weights import BACKBONE_WEIGHTS
from seamark.batches import Batch, FeatureCache, Key, TileReader, TrainingTiles, batch_tiles
from seamark.detectors.inp_former import InpFormer, head_count, with_outliers
from seamark.networks.efficientnet_lite import build_efficientnet_lite0, published_names
from seamark.phases import GradientPhase
from seamark.settings.inp_former import InpFormerSettings
from seamark.weights import load_strictly
from seamark.weights_files import find_weights

ROOT = Path(__file__).parents[1]
SIDE = 448
PAPER: dict[str, object] = {
    "decoder_blocks": 8,
    "heads": None,
    "token_share": 1.0,
    "outlier_share": 0.0,
    "gradient_clip": 0.1,
    "augmentation": {},
}
AGREE = 1e-4
"""Largest difference of scores, gradients and losses, relative to the largest of them."""
FIRST_STEP = 30
"""A step behind the warm-up."""


def build_encoder(layers: Sequence[int]) -> literal.Encoder:
    """Return the literal backbone with its published weights."""
    whole = build_efficientnet_lite0()
    path = find_weights(BACKBONE_WEIGHTS["efficientnet_lite0"], "pretrained")
    load_strictly(whole, path, published_names(whole), ())
    encoder = literal.Encoder(layers)
    wanted = encoder.network.state_dict()
    encoder.network.load_state_dict({name: tensor for name, tensor in whole.state_dict().items() if name in wanted})
    return encoder


class Forms:
    """Both forms on the same weights and drawn tiles."""

    def __init__(self, settings: InpFormerSettings) -> None:
        self.settings = settings
        self.detector = InpFormer(settings, (SIDE, SIDE), seed=1)
        network, random = self.detector.network, torch.Generator().manual_seed(2)
        for parameter in network.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=random)
        pixels = np.random.default_rng(0).normal(128, 30, (8, SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
        self.reader = TileReader(pixels, self.detector.backbone.normalise, "cpu", 0)
        self.phase = cast("GradientPhase", self.detector.phases(TrainingTiles(self.reader, self.reader))[0])
        self.encoder = build_encoder(settings.layers or (2, 3))
        heads = head_count(self.encoder.dim, settings.heads)
        plain = literal.Network(self.encoder.dim, heads, settings.prototypes, settings.decoder_blocks)
        plain.load_state_dict(network.state_dict())
        self.trainer = literal.Trainer(self.encoder, plain, settings.weight_decay, settings.gradient_clip)

    def image(self, tile: int) -> Tensor:
        """Return one normalised tile (1, 3, H, W)."""
        return self.reader.images([self.reader.pixels(tile % len(self.reader))])

    def literal_score(self, tile: int) -> Tensor:
        """Score a tile."""
        return literal.score(self.encoder, self.trainer.network, self.image(tile).contiguous())

    def score(self, tile: int) -> Tensor:
        """Score a tile as the infer stage does."""
        return self.detector.score(self.image(tile))

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        chosen = batch_tiles(0, "reconstruction", step, len(self.reader), self.settings.batch_size)
        return self.phase.batch(self.reader, step, chosen)

    def literal_step(self, batch: Batch) -> float:
        """Make a training step."""
        settings = self.settings
        tokens = int(np.prod(self.detector.map_shape))
        order = np.sort(batch.random("tokens").permutation(tokens)[: max(1, round(settings.token_share * tokens))])
        generators = [batch.random("outliers", place) for place in range(len(batch))]
        return self.trainer.step(
            batch.images().contiguous(),
            self.phase.rate(batch.step),
            spoil=lambda fused: with_outliers(fused, settings.outlier_share, generators),
            chosen=torch.from_numpy(order) if settings.token_share < 1.0 else slice(None),
            coherence_weight=settings.coherence_weight,
            gamma=settings.mining_gamma,
        )

    def step(self, batch: Batch) -> float:
        """Make a training step as the train stage does."""
        return float(self.phase.step(batch, nullcontext)["loss"])


def difference(expected: Tensor, found: Tensor) -> float:
    """Return the largest difference relative to the largest magnitude; refuse a large one."""
    relative = float((found - expected).abs().max() / expected.abs().max())
    if not relative < AGREE:
        raise SystemExit(f"the forms disagree: {relative:g}")
    return relative


def gradients(network: nn.Module) -> Tensor:
    """Return the gradients of all parameters in one row, as the last step clipped them."""
    return torch.cat([cast(Tensor, parameter.grad).flatten() for parameter in network.parameters()])


def agreement(forms: Forms) -> dict[str, float]:
    """Compare scores, the gradient of a training step and the losses of three."""
    with torch.inference_mode():
        scores = [(forms.literal_score(tile).flatten(), forms.score(tile).flatten()) for tile in range(2)]

    def losses(step: int) -> tuple[float, float]:
        return forms.literal_step(forms.batch(step)), forms.step(forms.batch(step))

    first = losses(FIRST_STEP)
    both = gradients(forms.trainer.network), gradients(forms.detector.network)
    pairs = [first, losses(FIRST_STEP + 1), losses(FIRST_STEP + 2)]
    return {
        "score_difference": max(difference(*pair) for pair in scores),
        "gradient_difference": difference(*both),
        "loss_difference": difference(*torch.tensor(pairs).T),
    }


def seconds(works: dict[str, Callable[[int], object]], repeats: int) -> dict[str, list[float]]:
    """Return the processor times of each work, all of them in turns.

    In each turn a call goes before the one that counts: its memory is laid out as in a job that does nothing else.
    """
    spent: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats):
        for name, work in works.items():
            work(repeat)
            start = time.process_time()
            work(repeat)
            spent[name].append(time.process_time() - start)
    return spent


def scoring(forms: Forms, repeats: int) -> dict[str, float]:
    """Time both forms of scoring on one thread."""
    forms.detector.eval()
    with torch.inference_mode():
        spent = seconds({"literal": forms.literal_score, "ours": forms.score}, repeats)
    return {
        "score_literal_s": float(np.median(spent["literal"])),
        "score_s": float(np.median(spent["ours"])),
        "score_ratio": float(np.median(np.divide(spent["literal"], spent["ours"]))),
    }


def training(forms: Forms, repeats: int) -> dict[str, float]:
    """Time both forms of a training step on one thread, with all features kept and with none."""
    forms.detector.train()
    fresh = Forms(forms.settings.model_copy(update={"feature_cache_mb": 0}))
    spent = seconds(
        {
            "step_literal_s": lambda _: forms.literal_step(forms.batch(FIRST_STEP)),
            "step_all_kept_s": lambda _: forms.step(forms.batch(FIRST_STEP)),
            "step_none_kept_s": lambda _: fresh.step(fresh.batch(FIRST_STEP)),
        },
        repeats,
    )
    return {name: float(np.median(times)) for name, times in spent.items()}


def kept_share(forms: Forms, tiles: int, steps: int) -> float:
    """Return the share of a training's tiles whose features are kept when they come, by playing through its steps."""
    reader = TileReader(np.zeros((tiles, 1, 1, 3), np.uint8), forms.detector.backbone.normalise, "cpu", 0)
    sizes = FeatureCache(forms.detector.targets, forms.settings.feature_cache_mb)
    room = int(sizes.room // forms.detector.packed_targets(forms.image(0)).nbytes)
    kept: set[Key] = set()
    hits = 0
    for step in range(steps):
        batch = forms.phase.batch(
            reader, step, batch_tiles(0, forms.phase.name, step, tiles, forms.settings.batch_size)
        )
        keys = [batch.key(place) for place in range(len(batch))]
        hits += sum(key in kept for key in keys)
        kept.update(key for key in keys if key is not None and len(kept) < room)
    return hits / (steps * forms.settings.batch_size)


def neighbour(settings: InpFormerSettings, turns: Barrier, rounds: int, tiles: int) -> list[float]:
    """Score in a process beside another one whenever it is their turn; return the wall seconds per tile of each."""
    torch.set_num_threads(1)
    forms = Forms(settings)
    spent = []
    with torch.inference_mode():
        forms.score(0)
        for _ in range(rounds):
            turns.wait(timeout=600)
            turns.wait(timeout=600)
            spent.append(wall(forms.score, tiles))
    turns.wait(timeout=600)
    return spent


def wall(work: Callable[[int], object], tiles: int) -> float:
    """Return the wall seconds per tile."""
    begin = time.perf_counter()
    for tile in range(tiles):
        work(tile)
    return (time.perf_counter() - begin) / tiles


def on_two_cores(forms: Forms, rounds: int, tiles: int = 4) -> dict[str, float]:
    """Score with two threads literally and in two processes side by side, in turns; the median round counts."""
    forms.detector.eval()
    torch.set_num_threads(2)
    context = multiprocessing.get_context("spawn")
    literal_s = []
    with torch.inference_mode(), context.Manager() as manager, ProcessPoolExecutor(2, context) as pool:
        turns = manager.Barrier(3)
        jobs = [pool.submit(neighbour, forms.settings, turns, rounds, tiles) for _ in range(2)]
        forms.literal_score(0)
        for _ in range(rounds):
            turns.wait(timeout=600)  # both have come to rest
            literal_s.append(wall(forms.literal_score, tiles))
            turns.wait(timeout=600)
        turns.wait(timeout=600)
        pair_s = np.max([job.result() for job in jobs], axis=0) / 2
    torch.set_num_threads(1)
    return {
        "two_cores_literal_s": float(np.median(literal_s)),
        "two_cores_s": float(np.median(pair_s)),
        "two_cores_ratio": float(np.median(np.array(literal_s) / pair_s)),
    }


def measure(settings: InpFormerSettings, tiles: int, steps: int, repeats: int) -> dict[str, float]:
    """Compare and time everything."""
    forms = Forms(settings)
    row = agreement(forms) | scoring(forms, 2 * repeats) | training(forms, repeats)
    share = row["kept_share"] = kept_share(forms, tiles, steps)
    row["step_s"] = share * row["step_all_kept_s"] + (1.0 - share) * row["step_none_kept_s"]
    row["step_ratio"] = row["step_literal_s"] / row["step_s"]
    return row | on_two_cores(forms, 2 * repeats)


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--paper", action="store_true", help="INP-Former's own settings instead of the demo's")
    parser.add_argument("--tiles", type=int, default=576, help="training tiles of a category; the demo has 576")
    parser.add_argument("--steps", type=int, default=400, help="steps of a training; the demo makes 400")
    parser.add_argument("--repeats", type=int, default=5, help="calls of each form")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    block = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["detectors"]["inp_former"]
    settings = InpFormerSettings.model_validate(block | (PAPER if arguments.paper else {}))
    row = measure(settings, arguments.tiles, arguments.steps, arguments.repeats) | {"load": os.getloadavg()[0]}
    texts = {"settings": "paper" if arguments.paper else "demo"} | {name: f"{value:.3g}" for name, value in row.items()}
    print("\n".join(f"{name:20} {text}" for name, text in texts.items()))
    append(arguments.csv, [texts])


if __name__ == "__main__":
    main()
