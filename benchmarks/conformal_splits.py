"""Conformal thresholds and verdicts held against their promise: 200 random splits of normal images.

Draws a run of the demo with many normal photographs (``--images``) at a small scale, under the usual light and under
others, takes their maps and statistics with the feature bank through Snakemake, and then, for each rate and number of
validation photographs, draws 200 times so many of them and one more photograph, which is judged: another one of
validation (``same`` light), or a good one of ``test_private_mixed`` (``other`` light), with and without the variants of
the drawn ones. Given the photographs, splits are independent of each other, so the number of flagged ones is binomial;
under the same light it must not exceed what 1 of 1000 such runs would at the promised rate. Under another light images
are not exchangeable and nothing is promised: that is only told. Prints a line per category, rule, light, rate and
number of photographs, appends it to ``history/conformal_splits.csv`` and exits with 1 if a promise is broken.
Run: ``python benchmarks/conformal_splits.py``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from history import append, history_of
from scipy.stats import binom

from seamark.manifests.base import read_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.index import TruthManifest
from seamark.maps.normal_statistics import Photograph
from seamark.masks.thresholds import conformal_threshold
from seamark.masks.verdict import NormalScores
from seamark.settings.binarize import ConformalSettings
from seamark.tiles.light_variants import photograph_id

ROOT = Path(__file__).parents[1]
RUN = "out/conformal_splits"
CATEGORIES = ("washers", "woven")
SPLITS = 200
BOUND = 0.999
"""Share of runs that a promise which is just kept would pass."""
CASES = ((0.05, 19), (0.05, 40), (0.1, 9), (0.1, 30), (0.2, 4), (0.2, 9), (0.2, 30))
"""Rate and number of validation photographs; 19, 9 and 4 are the fewest that can tell it."""


def settings(folder: Path, images: int, scale: float, seed: int) -> dict[str, object]:
    """Return what is laid over ``config.yaml``."""
    demo = {"seed": seed, "train": 8, "validation": images, "scale": scale, "private_good": images // 2}
    demo |= dict.fromkeys(("public_good", "public_bad", "private_bad"), 1)
    return {
        "run": "conformal_splits",
        "data": {
            "root": str(folder / "demo"),
            "truth_root": str(folder / "truth"),
            "demo": True,
            "splits": ["validation", "test_private_mixed"],
        },
        "demo": demo,
        "grids": {"tile": {"layout": "even", "window_px": 256, "overlap": 0.1, "input_px": 256}},
        "detectors": {"feature_bank": {"backbone": "efficientnet_lite0", "layers": [2, 3], "bank_size": 2000}},
        "fuse": {"members": ["feature_bank"]},
    }


class Pool:
    """Highest scores of the normal images of a category.

    Attributes
    ----------
    validation : mapping of str to float
        Of each photograph under the usual light.
    variants : mapping of str to list of float
        Of its variants.
    other : list of float
        Of good photographs under other lights.
    """

    def __init__(self, folder: Path, category: str) -> None:
        def peaks(split: str) -> dict[str, float]:
            path = folder / RUN / "50_calibration" / category / f"{split}.json"
            return {image.id: image.maximum for image in read_manifest(path, CalibrationManifest).statistics.images}

        truth = read_manifest(folder / RUN / "00_index" / category / "test_private_mixed.truth.json", TruthManifest)
        self.validation = peaks("validation")
        self.variants: dict[str, list[float]] = {name: [] for name in self.validation}
        for name, peak in peaks("validation_variants").items():
            self.variants[photograph_id(name)].append(peak)
        self.other = [peak for name, peak in peaks("test_private_mixed").items() if not truth.by_id[name].bad]

    def flagged(self, rule: str, light: str, alpha: float, count: int, random: np.random.Generator) -> int:
        """Return how many of the judged photographs are called bad by the photographs drawn beside them."""
        hits = 0
        for _ in range(SPLITS):
            *chosen, judged = random.permutation(list(self.validation))[: count + 1].tolist()
            score = self.validation[judged] if light == "same" else float(random.choice(self.other))
            hits += self._calls_bad(rule, alpha, chosen, score)
        return hits

    def _calls_bad(self, rule: str, alpha: float, chosen: Sequence[str], score: float) -> bool:
        peaks = [(Photograph("validation", name), self.validation[name]) for name in chosen]
        if rule == "conformal":
            threshold = conformal_threshold([peak for _, peak in peaks], ConformalSettings(alpha=alpha)).value
            return threshold is not None and score > threshold
        if rule == "verdict with variants":
            peaks += [(Photograph("validation", name), peak) for name in chosen for peak in self.variants[name]]
        return NormalScores(peaks).p(score) <= alpha


def build(folder: Path, overlay: dict[str, object], cores: int) -> None:
    """Take the statistics of all normal photographs through Snakemake."""
    preset = folder / "conformal_splits.yaml"
    preset.write_text(yaml.safe_dump(overlay), encoding="utf-8")
    calibrated = [
        f"50_calibration/{{}}/{split}.json" for split in ("validation", "validation_variants", "test_private_mixed")
    ]
    wanted = [*calibrated, "00_index/{}/test_private_mixed.truth.json"]
    targets = [f"{RUN}/{name.format(category)}" for category in CATEGORIES for name in wanted]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(cores), "--configfile", str(ROOT / "config.yaml"), str(preset), "--", *targets]
    subprocess.run(command, check=True)


def main() -> int:
    """Draw, split, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=120, help="normal photographs per category")
    parser.add_argument("--scale", type=float, default=0.3, help="size of the photographs relative to the demo's")
    parser.add_argument("--seed", type=int, default=11, help="seed of the photographs and of the splits")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    arguments = parser.parse_args()
    rows, kept = [], True
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), settings(Path(name), arguments.images, arguments.scale, arguments.seed), arguments.cores)
        pools = {category: Pool(Path(name), category) for category in CATEGORIES}
    for category, pool in pools.items():
        for light in ("same", "other"):
            for rule in ("conformal", "verdict", "verdict with variants"):
                for alpha, count in CASES:
                    random = np.random.default_rng((arguments.seed, count))
                    found, bound = pool.flagged(rule, light, alpha, count, random), int(binom.ppf(BOUND, SPLITS, alpha))
                    rows.append({"category": category, "photographs": len(pool.validation), "rule": rule})
                    rows[-1] |= {"light": light, "alpha": alpha, "validation": count, "splits": SPLITS}
                    rows[-1] |= {"flagged": found, "bound": bound if light == "same" else ""}
                    kept &= light == "other" or found <= bound
                    print(json.dumps(rows[-1]))
    append(arguments.csv, rows)
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
