"""Time INP-Former with EfficientNet-Lite0 on 448 px tiles beside its literal form.

Literal is ``literal/inp_former.py``: plain PyTorch, batch norms where they are, features computed anew in every step,
one tile at a time when scoring. Settings are those of ``config.yaml``, the demo's (``--paper`` for INP-Former's own);
both forms start from the same weights and see the same pixels and the same random choices. First their scores and three
training steps must agree. Then, in turns, each form in processes of its own with memory of its own, Seamark's with the
environment of its jobs: processor seconds per tile of scoring and per training step on one thread. A step costs less
when its features are kept, so it is timed with all and with none of them kept, and the mean step of a training follows
from how many of its tiles are not yet kept when they come (``--tiles``, ``--steps``). On two cores: wall seconds per
tile of scoring literally with two threads, literally in two processes side by side with one thread each, and as
Seamark's jobs run, two side by side with one thread each. Prints a row and appends it to
``history/inp_former_speed.csv``. Run: ``python benchmarks/inp_former_speed.py``.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
import yaml
from history import append, history_of
from literal import inp_former as literal
from torch import Tensor, nn

from seamark.backbones.table import BACKBONES
from seamark.detectors.inp_former.detector import InpFormer, with_outliers
from seamark.learning.batches import Batch, FeatureCache, Key, TileReader, TrainingTiles, batch_tiles
from seamark.learning.phases import GradientPhase
from seamark.networks.efficientnet_lite import build_efficientnet_lite0, published_names
from seamark.planning.environment import prepare_environment
from seamark.settings.inp_former import InpFormerSettings
from seamark.weights.finding import find_weights
from seamark.weights.reading import load_strictly

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
    path = find_weights(BACKBONES["efficientnet_lite0"].weights, "pretrained")
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
        heads = settings.head_count(self.encoder.dim)
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


class Works:
    """What is timed in a process of its own."""

    def __init__(self, settings: InpFormerSettings) -> None:
        torch.set_num_threads(1)
        self.forms = Forms(settings)

    @cached_property
    def fresh(self) -> Forms:
        """Forms that keep no features."""
        return Forms(self.forms.settings.model_copy(update={"feature_cache_mb": 0}))

    def score_literal(self, tile: int) -> object:
        """Score literally."""
        return self.forms.literal_score(tile)

    def score(self, tile: int) -> object:
        """Score as the infer stage does."""
        self.forms.detector.eval()
        return self.forms.score(tile)

    def step_literal(self, _: int) -> object:
        """Make a literal training step."""
        return self.forms.literal_step(self.forms.batch(FIRST_STEP))

    def step_all_kept(self, _: int) -> object:
        """Make a training step whose features are kept."""
        self.forms.detector.train()
        return self.forms.step(self.forms.batch(FIRST_STEP))

    def step_none_kept(self, _: int) -> object:
        """Make a training step with features that are computed anew."""
        return self.fresh.step(self.fresh.batch(FIRST_STEP))


_works: list[Works] = []
"""Those of this process."""


def begin(settings: InpFormerSettings) -> None:
    """Make the works of a process."""
    _works.append(Works(settings))


def timed(name: str, calls: int, threads: int = 1) -> tuple[float, float]:
    """Return processor and wall seconds per call of a work, behind one call that does not count."""
    torch.set_num_threads(threads)
    work = getattr(_works[0], name)
    with torch.inference_mode(name.startswith("score")):
        work(0)
        start, begun = time.process_time(), time.perf_counter()
        for call in range(calls):
            work(call)
        return (time.process_time() - start) / calls, (time.perf_counter() - begun) / calls


class Processes:
    """Two processes that work literally and two that work as jobs of Seamark, each with memory of its own."""

    def __init__(self, settings: InpFormerSettings) -> None:
        context = multiprocessing.get_context("spawn")

        def process() -> ProcessPoolExecutor:
            pool = ProcessPoolExecutor(1, context, begin, (settings,))
            pool.submit(os.getpid).result()  # starts it, with the environment of this moment
            return pool

        self.literal = [process(), process()]
        prepare_environment(ROOT)
        self.jobs = [process(), process()]

    def turns(self, works: dict[str, int], repeats: int) -> dict[str, list[float]]:
        """Time works in turns, each so many calls a turn, on one thread: processor seconds of a call."""
        spent: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(repeats):
            for name, calls in works.items():
                process = (self.literal if name.endswith("literal") else self.jobs)[0]
                spent[name].append(process.submit(timed, name, calls).result()[0])
        return spent

    def scoring(self, repeats: int, tiles: int = 4) -> dict[str, float]:
        """Time both forms of scoring on one thread; the median turn counts."""
        spent = self.turns({"score_literal": tiles, "score": tiles}, repeats)
        return {f"{name}_s": float(np.median(times)) for name, times in spent.items()} | {
            "score_ratio": float(np.median(np.divide(spent["score_literal"], spent["score"])))
        }

    def training(self, repeats: int) -> dict[str, float]:
        """Time both forms of a training step on one thread, with all features kept and with none."""
        spent = self.turns(dict.fromkeys(("step_literal", "step_all_kept", "step_none_kept"), 1), repeats)
        return {f"{name}_s": float(np.median(times)) for name, times in spent.items()}

    def on_two_cores(self, repeats: int, tiles: int = 8) -> dict[str, float]:
        """Score in turns: literally with two threads and in two processes, in two jobs; wall seconds per tile."""
        spent: dict[str, list[float]] = {"literal": [], "literal_pair": [], "jobs": []}
        for _ in range(repeats):
            spent["literal"].append(self.literal[0].submit(timed, "score_literal", tiles, 2).result()[1])
            for name, pair, work in (("literal_pair", self.literal, "score_literal"), ("jobs", self.jobs, "score")):
                both = [process.submit(timed, work, tiles) for process in pair]
                spent[name].append(max(each.result()[1] for each in both) / 2)
        return {
            "two_cores_literal_s": float(np.median(spent["literal"])),
            "two_cores_literal_pair_s": float(np.median(spent["literal_pair"])),
            "two_cores_s": float(np.median(spent["jobs"])),
            "two_cores_ratio": float(np.median(np.divide(spent["literal"], spent["jobs"]))),
            "two_cores_pair_ratio": float(np.median(np.divide(spent["literal_pair"], spent["jobs"]))),
        }


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


def measure(settings: InpFormerSettings, tiles: int, steps: int, repeats: int) -> dict[str, float]:
    """Compare and time everything."""
    forms = Forms(settings)
    row, processes = agreement(forms), Processes(settings)
    # Scoring first, in processes that have done nothing else, as a job of the infer stage has not.
    row |= processes.scoring(repeats) | processes.on_two_cores(repeats) | processes.training(repeats)
    share = row["kept_share"] = kept_share(forms, tiles, steps)
    row["step_s"] = share * row["step_all_kept_s"] + (1.0 - share) * row["step_none_kept_s"]
    row["step_ratio"] = row["step_literal_s"] / row["step_s"]
    return row


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
    print("\n".join(f"{name:24} {text}" for name, text in texts.items()))
    append(arguments.csv, [texts])


if __name__ == "__main__":
    main()
