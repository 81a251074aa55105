"""Time one training step and one scored batch of INP-Former on DINOv2-R ViT-B/14 with random weights.

Settings are those of ``presets/inp_former.yaml``, tiles are noise of 518 x 518 px. Random weights cost what trained
ones cost. Prints and appends to ``history/vit_speed.csv``: processor seconds per training step and per scored tile,
TFLOP/s reached, seconds per image of 2448 x 2048 px (nine tiles of 1024 px, from the scored batch), largest memory.
Run: ``python benchmarks/vit_speed.py``; a GPU has ``gpu.py``.
"""

import argparse
import resource
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import numpy as np
import torch
import yaml
from history import append, history_of

from seamark.detectors.inp_former.detector import InpFormer
from seamark.learning.batches import Batch, TileReader, TrainingTiles
from seamark.learning.detector import use_device
from seamark.learning.phases import GradientPhase
from seamark.settings.inp_former import InpFormerSettings

PRESET = Path(__file__).parents[1] / "presets" / "inp_former.yaml"
SIDE = 518
TILES_PER_IMAGE = 9
TRAINING_TFLOP, SCORING_TFLOP = 0.69, 0.40
"""Per tile, docs/methods/robis.md#tile-scores."""


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call, after one that does not count."""
    spent = []
    for _ in range(repeats + 1):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return float(np.median(spent[1:]))


def measure(batch: int, repeats: int) -> dict[str, float]:
    """Train and score."""
    block = yaml.safe_load(PRESET.read_text(encoding="utf-8"))["detectors"]["inp_former"]
    settings = InpFormerSettings.model_validate(block | {"weights": "random", "batch_size": batch})
    detector = InpFormer(settings, (SIDE, SIDE), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, SIDE, SIDE, 3), dtype=np.uint8)
    reader = TileReader(pixels, detector.backbone.normalise, "cpu", 0)
    phase = cast("GradientPhase", detector.phases(TrainingTiles(reader, reader))[0])
    drawn = Batch(reader, phase.name, settings.warmup_steps, range(batch), phase.augmentation)

    def score() -> None:
        with torch.inference_mode():
            detector.score(reader.images(list(pixels)))

    step_s = seconds(lambda: phase.step(drawn, nullcontext), repeats)
    detector.eval()
    batch_s = seconds(score, repeats)
    return {
        "step_s": step_s,
        "step_tflop_per_s": TRAINING_TFLOP * batch / step_s,
        "tile_s": batch_s / batch,
        "score_tflop_per_s": SCORING_TFLOP * batch / batch_s,
        "image_s": TILES_PER_IMAGE * batch_s / batch,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--batch", type=int, default=1, help="tiles per step and per scored batch; the preset has 16")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    use_device("cpu")
    row = measure(arguments.batch, arguments.repeats)
    texts = {"batch": str(arguments.batch)} | {name: f"{value:.3g}" for name, value in row.items()}
    print("\n".join(f"{name:20} {text}" for name, text in texts.items()))
    append(arguments.csv, [texts])


if __name__ == "__main__":
    main()
