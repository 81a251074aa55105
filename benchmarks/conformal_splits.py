"""Whether a conformal threshold keeps its promise: 200 random splits of normal images into validation and one to judge.

Draws a run of the demo with many validation photographs (``--images``) at a small scale, takes their maps and
statistics with the feature bank through Snakemake, and then, for each number of validation images and each alpha,
draws 200 times so many of the photographs and one more, of which the threshold promises that it is flagged with a
probability of at most alpha. Given the photographs, splits are independent of each other, so the number of flagged
ones is binomial; it must not exceed what 1 of 1000 such runs would at a rate of alpha. Prints a line per category,
alpha and number of validation images and appends it to ``history/conformal_splits.csv``; exits with 1 if a promise is
broken. Run: ``python benchmarks/conformal_splits.py``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from history import append, history_of
from scipy.stats import binom

from seamark.manifests.base import read_manifest
from seamark.manifests.calibration import CalibrationManifest, SplitStatistics
from seamark.masks.thresholds import conformal_threshold
from seamark.settings.binarize import ConformalSettings

ROOT = Path(__file__).parents[1]
SPLITS = 200
BOUND = 0.999
"""Share of runs that a promise which is just kept would pass."""
CASES = ((0.05, 19), (0.05, 40), (0.2, 4), (0.2, 9), (0.2, 30))
"""Alpha and number of validation images; 19 and 4 are the fewest that are allowed."""


def settings(folder: Path, images: int, scale: float, seed: int) -> dict[str, object]:
    """Return what is laid over ``config.yaml``."""
    demo = {"seed": seed, "train": 8, "validation": images, "scale": scale}
    demo |= dict.fromkeys(("public_good", "public_bad", "private_good", "private_bad"), 1)
    return {
        "run": "conformal_splits",
        "data": {
            "root": str(folder / "demo"),
            "truth_root": str(folder / "truth"),
            "demo": True,
            "splits": ["validation"],
        },
        "demo": demo,
        "grids": {"tile": {"layout": "even", "window_px": 256, "overlap": 0.1, "input_px": 256}},
        "detectors": {"feature_bank": {"backbone": "efficientnet_lite0", "layers": [2, 3], "bank_size": 2000}},
        "fuse": {"members": ["feature_bank"]},
    }


def calibrations(folder: Path, overlay: dict[str, object], cores: int) -> Iterator[CalibrationManifest]:
    """Take the statistics of all normal photographs through Snakemake."""
    preset = folder / "conformal_splits.yaml"
    preset.write_text(yaml.safe_dump(overlay), encoding="utf-8")
    targets = [f"out/conformal_splits/50_calibration/{category}/validation.json" for category in ("washers", "woven")]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(cores), "--configfile", str(ROOT / "config.yaml"), str(preset), "--", *targets]
    subprocess.run(command, check=True)
    for target in targets:
        yield read_manifest(folder / target, CalibrationManifest)


def flagged(pool: SplitStatistics, alpha: float, count: int, random: np.random.Generator) -> int:
    """Return how many of the judged photographs lie above the threshold of their split."""
    hits = 0
    for _ in range(SPLITS):
        *chosen, judged = random.permutation(len(pool.images))[: count + 1]
        peaks = [pool.images[place].maximum for place in chosen]
        threshold = conformal_threshold(peaks, ConformalSettings(alpha=alpha)).value
        hits += threshold is not None and pool.images[judged].maximum > threshold
    return hits


def main() -> int:
    """Draw, split, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=120, help="normal photographs per category")
    parser.add_argument("--scale", type=float, default=0.3, help="size of the photographs relative to the demo's")
    parser.add_argument("--seed", type=int, default=11, help="seed of the photographs and of the splits")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        overlay = settings(Path(name), arguments.images, arguments.scale, arguments.seed)
        for calibration in calibrations(Path(name), overlay, arguments.cores):
            pool = calibration.statistics
            for alpha, count in CASES:
                found = flagged(pool, alpha, count, np.random.default_rng((arguments.seed, count)))
                bound = int(binom.ppf(BOUND, SPLITS, alpha))
                rows.append({"category": calibration.category, "photographs": len(pool.images), "alpha": alpha})
                rows[-1] |= {"validation": count, "splits": SPLITS, "flagged": found, "bound": bound}
                print(json.dumps(rows[-1]))
    append(arguments.csv, rows)
    return int(any(int(row["flagged"]) > int(row["bound"]) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
