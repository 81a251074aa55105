"""A line-scan web, 20,000 x 3,000 px per photograph, through the whole default: seconds and memory of every stage.

Draws a category of coloured cloth into a folder: four photographs to learn from, two for thresholds and one with
defects. A photograph is one piece of the demo's cloth, mirrored along the web so that it has no seams, with defects
on two of the pieces. Then runs the default (``config.yaml`` with ``data.demo: false``) up to the report and the
bundle, inspects the photograph with defects with that bundle, and prints, for each stage, jobs, seconds by the clock
and of the processor, and the largest resident memory of a job in MB; also appends the rows to
``history/line_scan.csv``. A run that was stopped goes on.

    python benchmarks/line_scan.py --folder /somewhere/line
    python benchmarks/line_scan.py --folder /somewhere/small --length 4000 --width 600 --portrait
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from history import append, history_of
from PIL import Image
from stage_costs import StageCost, run_default, stage_costs

from seamark.demo.categories import CATEGORIES, add_defects
from seamark.demo.lights import LIGHTS, photograph
from seamark.demo.scene import generator
from seamark.files.images import BoolArray, UInt8Array, write_mask

CATEGORY = "web"
PIECES = 8
DEFECTS = {2: 0, 5: 4}
"""Kind of the main defect by the piece of the web that has it."""
TINT = 1.0, 0.94, 0.86
COUNTS = {"train/good": 4, "validation/good": 2, "test_public/bad": 1}


def draw_piece(number: int, shape: tuple[int, int], kind: int | None) -> tuple[UInt8Array, BoolArray]:
    """Photograph a piece of cloth, uint8 (H, W, 3), and its truth (H, W); the same cloth with and without a defect."""
    category, rng = CATEGORIES["woven"], generator(0, CATEGORY, number)
    scene = category.draw(rng, shape, 1.0)
    if kind is not None:
        add_defects(category, scene, generator(0, CATEGORY, number, kind), kind)
    grey = photograph(scene, LIGHTS["regular"], generator(0, CATEGORY, number, "light"))
    return (grey * np.array(TINT)).astype(np.uint8), scene.mask


def draw_web(number: int, length: int, width: int, *, bad: bool) -> tuple[UInt8Array, BoolArray]:
    """Draw a web that runs from left to right: uint8 (width, length, 3), and its truth (width, length)."""
    shape = width, -(-length // PIECES)
    good = draw_piece(number, shape, None)
    pieces = [draw_piece(number, shape, DEFECTS[at]) if bad and at in DEFECTS else good for at in range(PIECES)]
    turned = [[part[:, :: 1 - 2 * (at % 2)] for part in piece] for at, piece in enumerate(pieces)]
    pixels, mask = (np.concatenate(parts, axis=1)[:, :length] for parts in zip(*turned, strict=True))
    return pixels, mask


def draw(root: Path, counts: Mapping[str, int], draw_one: Callable[[int, bool], tuple[UInt8Array, BoolArray]]) -> None:
    """Write so many photographs of each folder of the category, unless an earlier call did.

    ``draw_one`` gives photograph and mask by the number of the photograph and whether it has defects.
    """
    if root.is_dir():
        return
    draft, number = root.with_name("draft"), 0
    for folder, count in counts.items():
        (draft / CATEGORY / folder).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            pixels, mask = draw_one(number, folder.endswith("bad"))
            Image.fromarray(pixels).save(draft / CATEGORY / folder / f"{number:03d}.png", compress_level=1)
            if mask.any():
                truth = draft / CATEGORY / "test_public/ground_truth/bad"
                truth.mkdir(parents=True, exist_ok=True)
                write_mask(truth / f"{number:03d}_mask.png", mask)
            number += 1
    draft.rename(root)


def inspect(folder: Path) -> StageCost:
    """Inspect the photograph with defects with the bundle of the run; say what it took."""
    command = [sys.executable, "-m", "seamark.command", "inspect", f"out/line/85_bundles/{CATEGORY}.seamark"]
    command += [f"data/{CATEGORY}/test_public/bad", "--out", "inspected"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return StageCost(1, time.monotonic() - start, cpu_s, after.ru_maxrss * 1024 / 1e6)


def main() -> None:
    """Draw, run, inspect, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where photographs and run lie")
    parser.add_argument("--length", type=int, default=20_000, help="px along the web")
    parser.add_argument("--width", type=int, default=3_000, help="px across it")
    parser.add_argument("--portrait", action="store_true", help="the web runs from top to bottom")
    options = parser.parse_args()
    folder = options.folder.resolve()

    def draw_one(number: int, bad: bool) -> tuple[UInt8Array, BoolArray]:
        pixels, mask = draw_web(number, options.length, options.width, bad=bad)
        return (pixels.swapaxes(0, 1), mask.swapaxes(0, 1)) if options.portrait else (pixels, mask)

    draw(folder / "data", COUNTS, draw_one)
    run_default(folder, "line", ["report_page", "bundle"])
    costs = stage_costs(folder / "out" / "line")
    rows = [
        {"stage": stage, "length_px": options.length, "width_px": options.width} | cost._asdict()
        for stage, cost in (costs | {"inspect": inspect(folder)}).items()
    ]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    append(history_of(__file__), rows)


if __name__ == "__main__":
    main()
