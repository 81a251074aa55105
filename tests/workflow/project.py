"""A copy of the project with a tiny data set, run by the real Snakemake."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from tests.workflow import forked_snakemake

ROOT = Path(__file__).parents[2]
CATEGORIES = ("bolt", "cloth")
SPLITS = ("validation", "test_public", "test_private", "test_private_mixed")
OWN_WORDS = ("--workflow-profile", "profiles/verbose")
"""Options with which Snakemake names every job that it runs."""
CONFIG = {
    "run": "tiny",
    "data": {"root": "photographs", "truth_root": "truth", "demo": False},
    "grids": {"tile": {"layout": "even", "window_px": 64, "overlap": 0.25, "input_px": 64}},
    "detectors": {
        "inp_former": {
            "grid": "tile",
            "backbone": "efficientnet_lite0",
            "layers": None,
            "groups": None,
            "decoder_blocks": 2,
            "max_steps": 4,
            "batch_size": 2,
            "warmup_steps": 1,
            "heads": 8,
            "token_share": 0.1,
            "outlier_share": 0.3,
            "learning_rate": 0.002,
            "gradient_clip": 1.0,
            "feature_cache_mb": 500,
            "augmentation": {"frozen_variants": 1},
            "checkpoint_every_s": 0.0,
        },
    },
    "merge": {"smooth_sigma_px": 2.0},
    "light_variants": {"train_variants": 0, "validation_variants": 0},
    "binarize": {
        "normal": "validation",
        "mean_std": {"enabled": True, "k": 3.0},
        "peaks": {"enabled": False},
        "extent": {"enabled": False},
        "evidence_alpha": None,
    },
    "fuse": {"members": ["inp_former"], "level_borders": False},
}

BANK = {"type": "feature_bank", "backbone": "efficientnet_lite0", "layers": [2], "bank_size": 20, "variants": 0}
BUNDLED = {
    "data": {"categories": ["bolt"], "orientation": "exif"},
    "grids": {
        "tile": {"layout": "even", "window_px": 64, "overlap": 0.25, "input_px": 64},
        "picture": {"layout": "even", "window_px": 16384, "input_px": 64},
    },
    "detectors": {"near": BANK | {"grid": "tile"}, "far": BANK | {"grid": "picture"}},
    "merge": {"smooth_sigma_px": None},
    "light_variants": {"train_variants": 0, "validation_variants": 2},
    "fuse": {"members": ["near", "far"], "how": "max", "normalise": "validation_tails", "level_borders": True},
    "binarize": {
        "normal": "validation_and_variants",
        "mean_std": {"enabled": False},
        "peaks": {"enabled": True, "k": 0.5},
        "extent": {"enabled": True},
        "evidence_alpha": 0.1,
    },
    "verdict": {"alpha": 0.15, "benchmark_alpha": 0.9, "gate": True},
}
"""Two blocks of one detector on grids of their own, both fused."""


def draw(path, seed, defect):
    """A speckled grey image of 96 x 64 px, with or without a dark square."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 12, (64, 96)).clip(0, 255).astype(np.uint8)
    if defect:
        pixels[20:36, 30:46] = 15
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def draw_mask(path, defect):
    mask = np.zeros((64, 96), np.uint8)
    if defect:
        mask[20:36, 30:46] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def draw_data(folder):
    for base, category in enumerate(CATEGORIES):
        root, truth = folder / "photographs" / category, folder / "truth" / category
        for number in range(3):
            draw(root / "train/good" / f"{number:03d}_regular.png", 1000 * base + number, defect=False)
        for number in range(2):
            draw(root / "validation/good" / f"{number:03d}_regular.png", 1000 * base + 100 + number, defect=False)
            for split, light in (("test_private", "regular"), ("test_private_mixed", "mixed")):
                draw(root / split / f"{number:03d}_{light}.png", 1000 * base + 200 + number, defect=number == 1)
                draw_mask(truth / split / f"{number:03d}_mask.png", defect=number == 1)
        draw(root / "test_public/good/000_regular.png", 1000 * base + 300, defect=False)
        draw(root / "test_public/bad/000_regular.png", 1000 * base + 301, defect=True)
        draw_mask(root / "test_public/ground_truth/bad/000_regular_mask.png", defect=True)


class Project:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.out = folder / "out" / "tiny"

    @classmethod
    def fresh(cls, folder, draw_into=draw_data):
        for name in ("src", "rules", "captions", "stages", "profiles"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        shutil.copy(ROOT / "Snakefile", folder)
        shutil.copy(ROOT / "config.yaml", folder)
        draw_into(folder)
        (folder / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
        return cls(folder)

    def copy(self, folder):
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, symlinks=True)
        return Project(folder)

    def configure(self, overlay):
        """Lay settings over the tiny configuration."""
        config = yaml.safe_load((self.folder / "tiny.yaml").read_text())
        for section, block in overlay.items():
            config[section] = {**config.get(section, {}), **block} if isinstance(block, dict) else block
        (self.folder / "tiny.yaml").write_text(yaml.safe_dump(config))

    def command(self, *arguments, cores=2):
        return [sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", "tiny.yaml", "--", *arguments]

    def environment(self, extra):
        return os.environ | {"SEAMARK_GPUS": ""} | extra

    def snakemake(self, *arguments, cores=2, options=(), check=True, **environment):
        command = self.command(*arguments, cores=cores)
        command[5:5] = options
        result = forked_snakemake.snakemake(command[3:], self.folder, self.environment(environment))
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def planned(self, target="submission"):
        """Jobs that would run: Counter of (rule, category, split), each once however many files it writes."""
        table = self.snakemake(target, options=("--summary",)).stdout
        jobs = set()
        for row in csv.DictReader(table.splitlines(), delimiter="\t"):
            if row["plan"] != "no update":
                category = re.search("|".join(CATEGORIES), row["output_file"])
                split = re.search(rf"/({'|'.join(('train', *SPLITS))})[./]", row["output_file"])
                jobs.add((row["rule"], category and category[0], split and split[1]))
        return Counter(jobs)

    def killed_at(self, place, target="submission", options=()):
        """Start a run and kill all its processes when a file whose path contains ``place`` is about to be renamed."""
        hook = self.folder / "hook"
        hook.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("pause_hook.py"), hook / "sitecustomize.py")
        marker = self.folder / "paused"
        marker.unlink(missing_ok=True)
        extra = {"PYTHONPATH": str(hook), "PAUSE_AT": place, "PAUSE_MARKER": str(marker)}
        command = self.command(target)
        command[5:5] = options
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(extra),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not marker.exists():
                assert process.poll() is None, "the run ended before it reached the place to be killed at"
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Path(marker.read_text())

    def results(self):
        """Bytes of every deterministic artifact by path; provenance, logs and costs are not."""
        files = {}
        for base in (self.folder / "out", self.folder / "submissions"):
            for path in sorted(base.rglob("*")) if base.exists() else ():
                name = str(path.relative_to(self.folder))
                if path.is_file() and not re.search(r"\.prov\.json|/logs/|/benchmarks/|/report/|\.running", name):
                    files[name] = path.read_bytes()
        return files
