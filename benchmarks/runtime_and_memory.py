"""Runtime and memory of finished runs' detectors, as the protocol of MVTec AD 2 measures them.

The protocol: one image at a time, random images of 256 x 256, 512 x 512 and 1024 x 1224 px (height x width), 1000 calls
to warm up and 1000 that are timed, from the image in memory to the anomaly map in memory; on a GPU, memory is the peak
of what PyTorch's allocator has reserved, in MiB (docs/methods/mvtec_ad2.md#runtime-and-memory). Here an image is what
Seamark calls one: 8-bit pixels that are cut by the run's grid, scored and merged to a map of the image's size;
``forward`` is the part from the tiles to the scores, with both copies, which is all that the protocol's own script has.
Beside wall seconds stand those of the processor, which other work on the machine changes less.

Every model runs in a process of its own with the environment of a job, on one thread where there is no GPU. Memory on
the CPU is the largest resident size of that process, and beside it what the process had before the model was loaded:
interpreter, PyTorch and the rest. Prints a row per model and size and appends it to
``history/runtime_and_memory.csv``. Run, in the folder that holds ``out``; fewer calls than 1000 are no longer the
protocol's, and are written beside the numbers:

    python benchmarks/runtime_and_memory.py --category washers out/aand out/demo
    python benchmarks/runtime_and_memory.py --category washers --warm-up 1 --calls 3 out/aand out/demo
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from history import append, history_of
from inference_speed import SPLIT, load, model_files
from safetensors import safe_open

from seamark.files.images import Float32Array, UInt8Array
from seamark.learning.batches import TileReader
from seamark.learning.detector import Detector, use_device
from seamark.maps.merging import merge_tiles
from seamark.planning.environment import prepare_environment
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.settings.training import GPU_BATCH
from seamark.tiles.cutting import cut_tiles
from seamark.tiles.geometry import Box, tile_boxes
from seamark.weights.reading import HEADER

SIZES = (256, 256), (512, 512), (1024, 1224)
"""Heights and widths of the protocol, in px."""
MIB = 2.0**20
Row = dict[str, str | float]


@dataclass(frozen=True)
class Method:
    """A detector with the grid and the merge of its run."""

    detector: Detector
    grid: GridSettings
    merge: MergeSettings
    device: torch.device

    @classmethod
    def of(cls, run: Path, model: Path, device: str) -> "Method":
        """Load a model of a run and read from the provenance of its maps how its images are cut and merged."""
        name, category = model.parent.parent.name, model.parent.name
        with safe_open(model, framework="pt") as stream:
            grid_name = json.loads(stream.metadata()[HEADER])["settings"]["grid"]
        grid = GridSettings.model_validate(_settings(run / "10_tiles" / grid_name / category))
        merge = MergeSettings.model_validate(_settings(run / "40_maps" / name / category))
        if merge.method != "exact":
            raise SystemExit(f"{run}: merge.method {merge.method} needs all images of a split; only exact is measured")
        use_device(device)
        detector = load(model, grid.input_shape[0]).to(device)
        return cls(detector, grid, merge, torch.device(device))

    def boxes(self, size: tuple[int, int]) -> list[Box]:
        """Return the tiles' windows in an image of this height and width."""
        return tile_boxes(size[1], size[0], self.grid)

    def forward(self, tiles: UInt8Array) -> Float32Array:
        """Score tiles (T, H, W, 3) as the infer stage does; the scores (T, h, w) are in the host's memory."""
        reader = TileReader(tiles, self.detector.backbone.normalise, str(self.device), self.detector.seed)
        step = GPU_BATCH if self.device.type == "cuda" else 1
        scores = [
            self.detector.score(reader.images([reader.pixels(tile) for tile in range(start, min(start + step, count))]))
            for count in (len(reader),)
            for start in range(0, count, step)
        ]
        return np.asarray(torch.cat(scores).float().cpu().numpy())

    def map_of(self, pixels: UInt8Array) -> Float32Array:
        """Return the anomaly map (H, W) of an image (H, W, 3)."""
        size = pixels.shape[0], pixels.shape[1]
        boxes = self.boxes(size)
        scores = self.forward(cut_tiles(pixels, boxes, self.grid.input_shape))
        return merge_tiles(
            scores, boxes, self.detector.cells, self.grid.input_shape, image_shape=size, settings=self.merge
        )


def _settings(folder: Path) -> object:
    return json.loads((folder / f"{SPLIT}.prov.json").read_bytes())["params"]["settings"]


def timed(work: Callable[[], object], warm_up: int, calls: int) -> tuple[float, float]:
    """Return the mean milliseconds of a call by the clock and of the processor."""
    for _ in range(warm_up):
        work()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(calls):
        work()
    return 1e3 * (time.perf_counter() - wall) / calls, 1e3 * (time.process_time() - processor) / calls


def resident_mib(field: str) -> float:
    """Return the resident memory of this process; the field is VmRSS for now, VmHWM for the largest so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def peak_mib(device: torch.device) -> float:
    """Return the peak of the GPU's allocator, or of the process's resident memory."""
    if device.type == "cuda":
        return float(torch.cuda.memory_stats(device)["reserved_bytes.all.peak"] / MIB)
    return resident_mib("VmHWM")


@torch.inference_mode()
def measure(run: Path, model: Path, device: str, warm_up: int, calls: int) -> list[Row]:
    """Measure a model at all sizes, small to large, so that the peak of the process is that of the size."""
    before = resident_mib("VmRSS")
    method = Method.of(run, model, device)
    return [measure_size(method, size, warm_up, calls) | {"before_model_mib": round(before)} for size in SIZES]


def measure_size(method: Method, size: tuple[int, int], warm_up: int, calls: int) -> Row:
    """Measure one size."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    tiles = cut_tiles(pixels, method.boxes(size), method.grid.input_shape)
    if method.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(method.device)
    image_ms, image_processor_ms = timed(lambda: method.map_of(pixels), warm_up, calls)
    forward_ms, forward_processor_ms = timed(lambda: method.forward(tiles), 0, calls)
    return {
        "backbone": method.detector.backbone.name,
        "height": size[0],
        "width": size[1],
        "tiles": len(tiles),
        "tile_px": method.grid.input_shape[0],
        "image_ms": round(image_ms, 1),
        "image_processor_ms": round(image_processor_ms, 1),
        "forward_ms": round(forward_ms, 1),
        "forward_processor_ms": round(forward_processor_ms, 1),
        "images_per_second": round(1e3 / image_ms, 2),
        "images_per_processor_second": round(1e3 / image_processor_ms, 2),
        "peak_mib": round(peak_mib(method.device)),
    }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, as out/demo")
    parser.add_argument("--category", required=True)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--warm-up", type=int, default=1000, help="calls before the timed ones")
    parser.add_argument("--calls", type=int, default=1000, help="timed calls")
    options = parser.parse_args()
    given = {"device": options.device, "warm_up": options.warm_up, "calls": options.calls}
    prepare_environment(Path(__file__).parents[1])
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for run in options.runs:
            for model in model_files(run, options.category):
                job = pool.submit(measure, run, model, options.device, options.warm_up, options.calls)
                names = {"run": run.name, "detector": model.parent.parent.name}
                rows = [names | row | given for row in job.result()]
                append(history_of(__file__), rows)
                for row in rows:
                    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
