"""Time one training step and one scored batch of INP-Former on DINOv2-R ViT-B/14 with random weights.

Settings are those of ``presets/inp_former.yaml``, tiles are noise of 518 x 518 px. Random weights cost what trained
ones cost. Prints and appends to ``history/vit_speed.csv``: seconds per training step and per scored tile (processor
seconds on the CPU, wall seconds on a GPU), TFLOP/s reached, seconds per image of 2448 x 2048 px (nine tiles of 1024 px,
from the scored batch), largest memory. On a GPU also the TFLOP/s of large bfloat16 matrix products in the same run, and
the share of them that is reached. Run: ``python benchmarks/vit_speed.py``; ``--device cuda --autocast bfloat16 --batch
16 --repeats 10`` on a GPU.
"""

import argparse
import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

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
PRODUCT = 8192
"""Side of the matrices whose product is the ceiling."""


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the median time of a call, after one that does not count."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    spent = []
    for _ in range(repeats + 1):
        start = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent.append(clock() - start)
    return float(np.median(spent[1:]))


def ceiling(device: torch.device, repeats: int) -> float:
    """Return the TFLOP/s of bfloat16 matrix products."""
    one, two = (torch.randn(PRODUCT, PRODUCT, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2e-12 * PRODUCT**3 / seconds(lambda: one @ two, device, repeats)


def measure(device: torch.device, autocast: str, batch: int, repeats: int) -> dict[str, float]:
    """Train and score."""
    block = yaml.safe_load(PRESET.read_text(encoding="utf-8"))["detectors"]["inp_former"]
    settings = InpFormerSettings.model_validate(block | {"weights": "random", "batch_size": batch})
    detector = InpFormer(settings, (SIDE, SIDE), seed=0).to(device)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, SIDE, SIDE, 3), dtype=np.uint8)
    reader = TileReader(pixels, detector.backbone.normalise, str(device), 0)
    phase = cast("GradientPhase", detector.phases(TrainingTiles(reader, reader))[0])
    drawn = Batch(reader, phase.name, settings.warmup_steps, range(batch), phase.augmentation)

    def arithmetic() -> AbstractContextManager[Any]:
        return nullcontext() if autocast == "none" else torch.autocast(device.type, getattr(torch, autocast))

    def score() -> None:
        with torch.inference_mode(), arithmetic():
            detector.score(reader.images(pixels))

    step_s = seconds(lambda: phase.step(drawn, arithmetic), device, repeats)
    detector.eval()
    batch_s = seconds(score, device, repeats)
    row = {
        "step_s": step_s,
        "step_tflop_per_s": TRAINING_TFLOP * batch / step_s,
        "tile_s": batch_s / batch,
        "score_tflop_per_s": SCORING_TFLOP * batch / batch_s,
        "image_s": TILES_PER_IMAGE * batch_s / batch,
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    if device.type == "cuda":
        row["gpu_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
        row["ceiling_tflop_per_s"] = ceiling(device, repeats)
        row["step_share"] = row["step_tflop_per_s"] / row["ceiling_tflop_per_s"]
        row["score_share"] = row["score_tflop_per_s"] / row["ceiling_tflop_per_s"]
    return row


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--autocast", choices=("none", "bfloat16"), default="none")
    parser.add_argument("--batch", type=int, default=1, help="tiles per step and per scored batch; the preset has 16")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    use_device(arguments.device)
    row = measure(torch.device(arguments.device), arguments.autocast, arguments.batch, arguments.repeats)
    known = {"device": arguments.device, "autocast": arguments.autocast, "batch": str(arguments.batch)}
    texts = known | {name: f"{value:.3g}" for name, value in row.items()}
    print("\n".join(f"{name:20} {text}" for name, text in texts.items()))
    append(arguments.csv, [texts])


if __name__ == "__main__":
    main()
