"""Time INP-Former and the feature bank with ``reproducible: any_cpu`` beside ``this_cpu``.

Settings are those of ``config.yaml``, tiles are noise of 448 x 448 px. Each form works in processes of its own, in
turns, with the environment of Seamark's jobs: processor seconds of a training step of INP-Former without kept features,
and of scoring a tile with either detector, on one thread. Prints a row and appends it to
``history/reproducible_speed.csv``.
Run: ``python benchmarks/reproducible_speed.py``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import yaml
from history import append, history_of

from seamark.learning.batches import TileReader
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.detector import load_detector_class, use_device
from seamark.learning.loop import Training
from seamark.planning.environment import pin_loops, prepare_environment
from seamark.registry import DETECTORS

ROOT = Path(__file__).parents[1]
SIDE = 448
TILES = 8
STEPS = 6


def measured() -> dict[str, float]:
    """Return processor seconds of this process, by what was done."""
    use_device("cpu")
    blocks = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["detectors"]
    blocks["inp_former"] |= {"max_steps": STEPS, "warmup_steps": 1, "feature_cache_mb": 0, "augmentation": {}}
    blocks["feature_bank"] |= {"bank_size": 2000}
    tiles = np.random.default_rng(0).normal(128, 30, (TILES, SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    found = {}
    for name in ("inp_former", "feature_bank"):
        kind = load_detector_class(DETECTORS[name].target)
        settings = kind.Settings.model_validate(blocks[name])
        detector = kind(settings, (SIDE, SIDE), 1)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder) / "checkpoint", {})
            start = time.process_time()
            Training(
                detector,
                settings,
                train=tiles,
                validation=tiles[:1],
                checkpoint=checkpoint,
                device="cpu",
                workers=0,
                track=lambda items, _what: items,
            ).run()
        if name == "inp_former":
            found["training step of inp_former"] = (time.process_time() - start) / STEPS
        reader = TileReader(tiles, detector.backbone.normalise, "cpu", 0)
        detector.eval()
        detector.score(reader.images([reader.pixels(0)]))
        start = time.process_time()
        for tile in range(TILES):
            detector.score(reader.images([reader.pixels(tile)]))
        found[f"tile scored by {name}"] = (time.process_time() - start) / TILES
    return found


def in_process(reproducible: str) -> dict[str, float]:
    """Return what a process with the environment of jobs measures."""
    kept = dict(os.environ)
    prepare_environment(ROOT)
    pin_loops(reproducible)
    made = subprocess.run([sys.executable, __file__, "--measure"], capture_output=True, text=True, check=True)
    os.environ.clear()
    os.environ.update(kept)
    found: dict[str, float] = json.loads(made.stdout)
    return found


def main() -> None:
    """Measure both forms in turns, print medians and ratios, keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="processes of each form")
    parser.add_argument("--measure", action="store_true", help="measure in this process, as it is, and print JSON")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured()))
        return
    turns = [(in_process("this_cpu"), in_process("any_cpu")) for _ in range(options.repeats)]
    row: dict[str, object] = {"repeats": options.repeats}
    for name in turns[0][0]:
        free, pinned = (median(turn[form][name] for turn in turns) for form in (0, 1))
        ratios = sorted(turn[1][name] / turn[0][name] for turn in turns)
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"{name}: {free:.3f} s, any_cpu {pinned:.3f} s, ratio {pinned / free:.2f} ({spread})")
        row |= {f"{name}, s": round(free, 4), f"{name}, any_cpu, s": round(pinned, 4)}
        row[f"{name}, ratio"] = round(pinned / free, 3)
    append(history_of(__file__), [row])


if __name__ == "__main__":
    main()
