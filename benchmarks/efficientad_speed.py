"""Time EfficientAD on tiles of 256 x 256 px beside a literal form of it, on one core.

Prints one row and appends it to ``history/efficientad_speed.csv``: processor seconds per tile of scoring and per
training step, ratios to the literal form, and how far the scores of both are apart. Literal means: teacher and student
are two networks that run one after the other in torch's default layout with both halves of the student's head; the
teacher's features are normalised behind it and computed anew in every step; each of the three forms of a tile (as it
is, in another light, with noise patches) passes on its own and whole; hard features are found by ``torch.quantile``.
Both forms run in turns, so other work on the machine disturbs both alike. Weights are random. Run:
``python benchmarks/efficientad_speed.py``; ``--network medium`` for the larger networks.
"""

import argparse
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from history import append, history_of
from torch import Tensor
from torch.nn import functional

from seamark.detectors.efficientad.batches import ViewBatch
from seamark.detectors.efficientad.detector import EfficientAd
from seamark.detectors.efficientad.discrepancy import collaborative_loss, direction_distances
from seamark.detectors.efficientad.training import LearningPhase, StatisticsPhase
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.settings.efficientad import EfficientAdSettings

SIDE = 256
TILES = 4


def build(network: str) -> tuple[EfficientAd, LearningPhase, TileReader]:
    """Return a detector with random weights, its training and drawn tiles."""
    settings = EfficientAdSettings.model_validate(
        {"teacher": "random", "network": network, "feature_cache_mb": 100, "steps": 1000}
    )
    detector = EfficientAd(settings, (SIDE, SIDE), seed=0)
    noise = np.random.default_rng(0).normal(128, 30, (TILES, SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    reader = TileReader(noise, detector.backbone.normalise, "cpu", 0)
    tiles = TrainingTiles(reader, reader)
    StatisticsPhase(detector).run(tiles, lambda items, _: items)
    return detector, LearningPhase(detector, tiles), reader


def plain(detector: EfficientAd, image: Tensor) -> Tensor:
    """Return normalised features of the teacher, written down plainly."""
    features = detector.backbone.network(image)
    return (features - detector.teacher_mean.view(1, -1, 1, 1)) / detector.teacher_std.view(1, -1, 1, 1)


def literal_score(detector: EfficientAd, image: Tensor) -> Tensor:
    """Return the map of a tile as the paper writes it."""
    channels = detector.settings.channels
    teacher, student = plain(detector, image), detector.student(image)
    rebuilt = detector.autoencoder(image, detector.grid)
    maps = [
        (teacher - student[:, :channels]).square().mean(dim=1),
        (rebuilt - student[:, channels:]).square().mean(dim=1),
    ]
    scaled = [0.1 * (part - lower) / span for part, (lower, span) in zip(maps, detector.map_quantiles, strict=True)]
    return functional.pad(0.5 * scaled[0] + 0.5 * scaled[1], (detector.margin,) * 4)


def literal_step(detector: EfficientAd, phase: LearningPhase, batch: ViewBatch) -> None:
    """Make a training step as the thesis writes it."""
    channels, student = detector.settings.channels, detector.student
    clean, jittered, views = batch.images().contiguous(), batch.jittered().contiguous(), batch.views[0]
    with torch.no_grad():
        teacher, teacher_jittered = plain(detector, clean), plain(detector, jittered)
    differences = (teacher - student(clean)[:, :channels]).square()
    bound = torch.quantile(differences.detach().flatten(), detector.settings.hard_share)
    losses = [differences[differences >= bound].mean()]
    patched = clean if views.patched is None else batch.reader.images([views.patched]).contiguous()
    with torch.no_grad():
        teacher_patched = plain(detector, patched)
    distances = direction_distances(teacher_patched, student(patched)[:, :channels])
    losses.append(collaborative_loss(distances, batch.labels(detector.grid), detector.settings.cdo_gamma))
    rebuilt, predicted = detector.autoencoder(jittered, detector.grid), student(jittered)[:, channels:]
    losses += [functional.mse_loss(rebuilt, teacher_jittered), functional.mse_loss(predicted, rebuilt)]
    phase.optimiser.zero_grad(set_to_none=True)
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
    phase.optimiser.step()


def seconds(works: list[Callable[[int], object]], repeats: int) -> list[float]:
    """Return the mean processor time of each work, all of them in turns, after one call of each."""
    total = [0.0] * len(works)
    for repeat in range(repeats + 1):
        for number, work in enumerate(works):
            start = time.process_time()
            work(repeat)
            if repeat:
                total[number] += time.process_time() - start
    return [spent / repeats for spent in total]


def measure(network: str, repeats: int) -> dict[str, float]:
    """Time scoring and training in both forms."""
    detector, phase, reader = build(network)
    image = reader.images([reader.pixels(0)])
    detector.eval()
    with torch.inference_mode():
        plain_image = image.contiguous()
        expected, found = literal_score(detector, plain_image), detector.score(image)
        scoring = seconds([lambda _: literal_score(detector, plain_image), lambda _: detector.score(image)], repeats)
    detector.train()

    def batch(step: int) -> ViewBatch:
        return ViewBatch(phase.make, phase.name, step, [step % TILES])

    for tile in range(TILES):
        phase.cache(batch(tile))
    training = seconds(
        [
            lambda step: literal_step(detector, phase, batch(step)),
            lambda step: phase.step(batch(step), nullcontext),
        ],
        repeats,
    )
    return {
        "score_literal_s": scoring[0],
        "score_s": scoring[1],
        "score_ratio": scoring[0] / scoring[1],
        "score_difference": float((found - expected).abs().max() / expected.abs().max()),
        "step_literal_s": training[0],
        "step_s": training[1],
        "step_ratio": training[0] / training[1],
    }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--network", choices=("small", "medium"), default="small")
    parser.add_argument("--repeats", type=int, default=5, help="calls of each form")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    row = measure(arguments.network, arguments.repeats) | {"load": os.getloadavg()[0]}
    texts = {"network": arguments.network} | {name: f"{value:.3g}" for name, value in row.items()}
    print("\n".join(f"{name:18} {text}" for name, text in texts.items()))
    append(arguments.csv, [texts])


if __name__ == "__main__":
    main()
