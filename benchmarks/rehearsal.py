"""Rehearse the full challenge: eight categories under official names and counts, from photographs to the archive.

The photographs are noise textures that are drawn on the fly, by default at a quarter of the official width and height;
a few distinct frames per category are hard-linked under all names, so they take next to no disk. The constant detector
stands in for a trained one: everything around it does its full work. The command is the plain one, ``snakemake
submission``, in a folder of its own. Afterwards a table tells jobs, seconds, peak memory and disk of every stage, and
what seconds and disk become at the official size; it is also written to ``rehearsal.csv`` in that folder. A rehearsal
that was stopped goes on when it is started again.

    python benchmarks/rehearsal.py --folder /somewhere/rehearsal --cores 2

``--scale 1 --share 0.01 --categories can rice sheet_metal vial`` measures memory at the official size on a few images.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from history import append, history_of

from seamark.data.layout import OFFICIAL_COUNTS
from seamark.flow import STAGES
from seamark.submission.expected import OFFICIAL_LIGHTS, OFFICIAL_SIZES, scaled_size

PROJECT = Path(__file__).parents[1]
RUN = "rehearsal"
GREY = ("sheet_metal", "vial", "wallplugs")
PUBLIC_GOOD = dict(zip(OFFICIAL_COUNTS, (72, 66, 20, 42, 24, 35, 60, 60), strict=True))
"""Defect-free images of test_public; the others show a defect and have a mask."""
LIGHTS = ("regular", "overexposed", "underexposed", "shift_1", "shift_2", "shift_3")
FRAMES = 4
"""Distinct photographs per category."""
STAGE_FOLDERS = {
    "index": "00_index",
    **{name: stage.folder for name, stage in STAGES.items() if stage.varies and not stage.script},
    "report": "report",
}
PIXEL_STAGES = {"crop", "infer", "merge", "binarize", "refine", "verdict", "package"}
"""Stages whose files grow with the number of pixels; those of the others keep their size."""

UInt8Array = npt.NDArray[np.uint8]


def draw_frame(shape: tuple[int, int], channels: int, seed: int) -> UInt8Array:
    """Draw a cloudy texture with fine noise, so that its PNG is about as large as that of a photograph."""
    rng = np.random.default_rng(seed)
    height, width = shape
    clouds = rng.uniform(60.0, 190.0, (height // 32 + 2, width // 32 + 2, channels)).astype(np.float32)
    texture = cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    noisy = texture + rng.normal(0.0, 4.0, (height, width, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def draw_defect(frame: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Return the frame with a dark spot, and the mask of the spot."""
    height, width = frame.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 3, height // 2), (width // 40, height // 20), 30.0, 0.0, 360.0, 255, -1)
    return np.where(mask[:, :, np.newaxis] > 0, frame // 3, frame).astype(np.uint8), mask


def image_names(category: str, share: float) -> Iterator[tuple[str, bool]]:
    """Yield the path of every image below the category's folder, and whether it shows a defect."""
    counts = {split: max(2, round(count * share)) for split, count in OFFICIAL_COUNTS[category].items()}
    for folder, total in (("train/good", counts["train"]), ("validation/good", counts["validation"])):
        for number in range(total):
            yield f"{folder}/{number:03d}_regular.png", False
    good = min(counts["test_public"] - 1, max(1, round(PUBLIC_GOOD[category] * share)))
    for label, total in (("good", good), ("bad", counts["test_public"] - good)):
        for number in range(total):
            scene, condition = divmod(number, len(LIGHTS))
            yield f"test_public/{label}/{scene:03d}_{LIGHTS[condition]}.png", label == "bad"
    for split, light in OFFICIAL_LIGHTS.items():
        for number in range(counts[split]):
            yield f"{split}/{number:03d}_{light}.png", number % 2 == 1


def draw_category(root: Path, category: str, scale: float, share: float) -> int:
    """Draw the frames of a category, link them under all its names and return the number of images."""
    width, height = scaled_size(*OFFICIAL_SIZES[category], scale)
    store = root.with_name("frames") / category
    store.mkdir(parents=True)
    channels = 1 if category in GREY else 3
    for number in range(FRAMES):
        frame = draw_frame((height, width), channels, number)
        bad, mask = draw_defect(frame)
        for name, pixels in ((f"good{number}", frame), (f"bad{number}", bad), ("mask", mask)):
            cv2.imwrite(str(store / f"{name}.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    names = list(image_names(category, share))
    for number, (name, shows_defect) in enumerate(names):
        target = root / category / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(store / f"{'bad' if shows_defect else 'good'}{number % FRAMES}.png", target)
        if name.startswith("test_public/bad"):
            truth = root / category / "test_public" / "ground_truth" / "bad" / f"{target.stem}_mask.png"
            truth.parent.mkdir(parents=True, exist_ok=True)
            os.link(store / "mask.png", truth)
    return len(names)


def draw_all(folder: Path, categories: Sequence[str], scale: float, share: float) -> None:
    """Draw all categories, unless an earlier rehearsal in the same folder did."""
    if (folder / "data").is_dir():
        print("going on with an earlier rehearsal in this folder; job seconds, memory and disk cover both")
        return
    start, draft = time.monotonic(), folder / "data.draft"
    draft.mkdir(parents=True)
    images = sum(draw_category(draft, name, scale, share) for name in categories)
    draft.rename(folder / "data")
    print(
        f"drew {images} images of {len(categories)} categories at {scale:g} of the official width and height, {FRAMES} "
        f"distinct good and bad frames each, in {time.monotonic() - start:.0f} s ({_size_mb(folder / 'frames'):.0f} MB)"
    )


def settings(root: Path, scale: float, mebin: str) -> dict[str, object]:
    """Return the configuration: the tiling and thresholds of RoBiS on maps of native size, shrunk with the images."""
    return {
        "run": RUN,
        "data": {"root": str(root), "truth_root": None, "demo": False},
        "grids": {
            "tile": {
                "layout": "padded",
                "window_px": round(1024 * scale),
                "overlap": 0.1,
                "input_px": 8 * round(518 * scale / 8),
            }
        },
        "detectors": {"constant": {"grid": "tile", "bump": 1.0, "brightness": 0.5}},
        "fuse": {"members": ["constant"]},
        "merge": {"scale": 1.0, "blend": "hann", "smooth_sigma_px": 16.0 * scale},
        "binarize": {"mean_std": {"k": 3.0}},
        "refine": {"method": "grabcut", "top_n": 3},
        "package": {"image_scale": scale},
        "overrides": {"woven": None, mebin: {"binarize": {"mebin": {"enabled": True}}}},
    }


@dataclass
class StageCost:
    """What the jobs of one stage took together."""

    jobs: int = 0
    seconds: float = 0.0
    work_seconds: float = 0.0
    peak_mb: float = 0.0
    disk_mb: float = 0.0
    slowest: float = field(default=0.0)

    def row(self, stage: str, growth: float) -> dict[str, str]:
        """Return the line of the table; start-up stays, the work grows with the pixels."""
        grown = growth if stage in PIXEL_STAGES else 1.0
        return {
            "stage": stage,
            "jobs": str(self.jobs),
            "job seconds": f"{self.seconds:.0f}",
            "slowest job s": f"{self.slowest:.1f}",
            "peak MB": f"{self.peak_mb:.0f}",
            "disk MB": f"{self.disk_mb:.1f}",
            "full-size job seconds, at most": f"{self.seconds + (growth - 1.0) * self.work_seconds:.0f}",
            "full-size disk MB": f"{self.disk_mb * grown:.0f}",
        }


def _size_mb(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def stage_costs(folder: Path) -> dict[str, StageCost]:
    """Gather seconds from Snakemake's benchmarks, work and memory from the provenance, and disk from the folders."""
    out = folder / "out" / RUN
    costs: dict[str, StageCost] = defaultdict(StageCost)
    for path in sorted((out / "benchmarks").rglob("*.tsv")):
        stage = path.relative_to(out / "benchmarks").parts[0].removesuffix(".tsv")
        with path.open(encoding="utf-8") as stream:
            seconds = float(next(csv.DictReader(stream, delimiter="\t"))["s"])
        cost = costs[stage]
        cost.jobs, cost.seconds, cost.slowest = cost.jobs + 1, cost.seconds + seconds, max(cost.slowest, seconds)
    for path in sorted(out.rglob("*.prov.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        cost = costs[facts["rule"]]
        cost.work_seconds += facts["wall_s"]
        cost.peak_mb = max(cost.peak_mb, facts["peak_memory_mb"])
    for stage, name in STAGE_FOLDERS.items():
        if (out / name).is_dir():
            costs[stage].disk_mb = _size_mb(out / name)
    if (folder / "submissions").is_dir():
        costs["package"].disk_mb = _size_mb(folder / "submissions")
    return costs


def table(costs: Mapping[str, StageCost], growth: float) -> list[dict[str, str]]:
    """Return a line per stage and one for all of them; the photographs themselves are not in it."""
    rows = [cost.row(stage, growth) for stage, cost in costs.items()]
    summed = ("jobs", "job seconds", "disk MB", "full-size job seconds, at most", "full-size disk MB")
    total = {name: f"{sum(float(row[name]) for row in rows):.0f}" for name in summed}
    largest = {name: f"{max(float(row[name]) for row in rows):.0f}" for name in ("slowest job s", "peak MB")}
    return [*rows, {"stage": "all"} | total | largest]


def verdict(folder: Path) -> str:
    """Return what the checker said, with the size of the archive, or that there is no archive."""
    check = folder / "submissions" / f"{RUN}.check.json"
    if not check.is_file():
        return "no archive"
    report = json.loads(check.read_text(encoding="utf-8"))
    files = sum(entry["maps"] + entry["masks"] for entry in report["folders"])
    return f"{report['verdict']}: {files} files, archive {report['archive_bytes'] / 1e6:.0f} MB"


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows as an aligned table."""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in ({name: name for name in rows[0]}, *rows):
        print("  ".join(row[name].rjust(width) for name, width in widths.items()))


def rehearse(folder: Path, scale: float, cores: int, limit_s: float, categories: Sequence[str]) -> float:
    """Run ``snakemake submission`` on what was drawn, no longer than the limit, and return the wall seconds."""
    config = folder / "rehearsal.yaml"
    mebin = "rice" if "rice" in categories else categories[0]
    config.write_text(yaml.safe_dump(settings(folder / "data", scale, mebin)), encoding="utf-8")
    shutil.copy(PROJECT / "config.yaml", folder / "config.yaml")
    snakefile, target = str(PROJECT / "Snakefile"), "submission"
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", str(folder)]
    command += ["--configfile", str(config), "--cores", str(cores), "--resources", "gpu=0", "--", target]
    start = time.monotonic()
    with (folder / "snakemake.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = process.wait(limit_s)
            print(f"snakemake ended with status {status}; its log: {log.name}")
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            print(f"stopped after {limit_s:.0f} s; the table covers the jobs that were done by then")
    return time.monotonic() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="folder for everything; one of an earlier rehearsal is gone on with"
    )
    parser.add_argument("--cores", type=int, default=2, help="cores for Snakemake")
    parser.add_argument("--scale", type=float, default=0.25, help="size of the frames relative to the official one")
    parser.add_argument("--share", type=float, default=1.0, help="share of the official counts")
    parser.add_argument("--categories", nargs="+", choices=OFFICIAL_COUNTS, default=list(OFFICIAL_COUNTS))
    parser.add_argument("--limit-s", type=float, default=86_400.0, help="stop Snakemake after this many seconds")
    options = parser.parse_args()
    if options.share < 1.0 and len(options.categories) == len(OFFICIAL_COUNTS):
        parser.error("all eight categories are held to the official counts; name fewer with --categories")
    return options


def main() -> None:
    """Draw, rehearse, report."""
    options = _arguments()
    folder = options.folder.resolve()
    draw_all(folder, options.categories, options.scale, options.share)
    load_before = os.getloadavg()[0]
    wall_s = rehearse(folder, options.scale, options.cores, options.limit_s, options.categories)
    print(
        f"wall {wall_s:.0f} s on {options.cores} cores; load average {load_before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after; submission {verdict(folder)}"
    )
    growth = 1.0 / options.scale**2
    rows = table(stage_costs(folder), growth)
    print_table(rows)
    append(history_of(__file__), rows)
    with (folder / "rehearsal.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
