"""Images per second that finished runs score, detector beside detector, with two processes side by side.

Prints one row per run and appends it to ``history/inference_speed.csv``. Every model of a run's category is loaded
and scores drawn tiles of the run's size, one by one, as the infer stage does on the CPU; each of the processes keeps to
one thread. Rounds go through all runs in turns, so other work on the machine disturbs all alike; the fastest counts.
Reading, cutting, merging and all that follows is not in it. Run, in the folder that holds ``out``:
``python benchmarks/inference_speed.py --category washers out/aand out/urd``.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import torch
from history import append, history_of
from safetensors import safe_open
from safetensors.torch import load_file

from seamark.learning.batches import TileReader
from seamark.learning.detector import ComponentDetector, Detector, load_detector_class
from seamark.manifests.base import read_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.weights.reading import HEADER

SPLIT = "test_public"


def load(model: Path, side: int) -> Detector:
    """Return the detector of a model file; settings that are younger than the run have their defaults."""
    trained = json.loads(model.with_name("fit.prov.json").read_bytes())
    kind = load_detector_class(trained["params"]["detector"])
    with safe_open(model, framework="pt") as stream:
        facts = json.loads(stream.metadata()[HEADER])
    detector = kind(kind.Settings.model_validate(facts["settings"]), (side, side), facts["seed"])
    detector.load(load_file(model))
    return detector.eval()


def model_files(run: Path, category: str) -> list[Path]:
    """Return the models of a run's category, one per detector."""
    found = sorted((run / "20_models").glob(f"*/{category}/model.safetensors"))
    if not found:
        raise SystemExit(f"{run}: no model of {category}; give folders of finished runs")
    return found


def tile_side(run: Path, model: Path) -> int:
    """Return the side of a tile in px, from the provenance of the tiles that the model scored."""
    with safe_open(model, framework="pt") as stream:
        grid = json.loads(stream.metadata()[HEADER])["settings"]["grid"]
    crop = run / "10_tiles" / grid / model.parent.name / f"{SPLIT}.prov.json"
    return int(json.loads(crop.read_bytes())["params"]["settings"]["input_px"])


def score_seconds(detector: Detector, side: int, tiles: int) -> float:
    """Return the wall seconds per tile of some drawn ones."""
    pixels = np.random.default_rng(0).integers(0, 256, (tiles, side, side, 3), dtype=np.uint8)
    reader = TileReader(pixels, detector.backbone.normalise, "cpu", detector.seed)
    score = detector.component_scores if isinstance(detector, ComponentDetector) else detector.score
    start = time.perf_counter()
    with torch.inference_mode():
        for row in range(tiles):
            score(reader.images([reader.pixels(row)]))
    return (time.perf_counter() - start) / tiles


def work(arguments: argparse.Namespace, together: Barrier) -> list[tuple[str, dict[str, float]]]:
    """Score in one of the processes; all begin every measurement together."""
    torch.set_num_threads(1)
    models = {run: model_files(run, arguments.category) for run in arguments.runs}
    sides = {path: tile_side(run, path) for run in arguments.runs for path in models[run]}
    detectors = {path: load(path, side) for path, side in sides.items()}
    for path, detector in detectors.items():
        score_seconds(detector, sides[path], 1)
    measured = []
    for run in arguments.rounds * arguments.runs:
        together.wait(timeout=600)
        seconds = {str(path): score_seconds(detectors[path], sides[path], arguments.tiles) for path in models[run]}
        measured.append((run.as_posix(), seconds))
    return measured


def rows(results: Iterable[tuple[str, dict[str, float]]], category: str, processes: int) -> list[dict[str, object]]:
    """Return one row per run: of every model the fastest round."""
    fastest: dict[str, dict[str, float]] = {}
    for run, seconds in results:
        known = fastest.setdefault(run, {})
        for path, value in seconds.items():
            known[path] = min(value, known.get(path, value))
    return [row(Path(run), category, seconds, processes) for run, seconds in fastest.items()]


def row(run: Path, category: str, seconds: dict[str, float], processes: int) -> dict[str, object]:
    """Return what is written of a run."""
    per_image = 0.0
    tile_counts = []
    for path, per_tile in seconds.items():
        detector = Path(path).parent.parent.name
        scored = read_manifest(run / "30_tilemaps" / detector / category / f"{SPLIT}.json", TilemapsManifest)
        merged = read_manifest(run / "40_maps" / detector / category / f"{SPLIT}.json", MapsManifest)
        tile_counts.append(scored.shape[0] / len(merged.maps))
        per_image += per_tile * tile_counts[-1]
    fits = [read_manifest(Path(path).with_name("fit.json"), ModelManifest) for path in seconds]
    return {
        "run": run.name,
        "detectors": " ".join(fit.detector for fit in fits),
        "backbones": " ".join(dict.fromkeys(fit.backbone for fit in fits)),
        "category": category,
        "tiles_per_image": "+".join(f"{count:g}" for count in tile_counts),
        "seconds_per_tile": "+".join(f"{value:.4f}" for value in seconds.values()),
        "images_per_second": round(processes / per_image, 2),
        "processes": processes,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, as out/demo")
    parser.add_argument("--category", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiles", type=int, default=10, help="tiles per measurement")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(arguments.processes, context) as pool:
        together = manager.Barrier(arguments.processes)
        jobs = [pool.submit(work, arguments, together) for _ in range(arguments.processes)]
        measured = [measurement for job in jobs for measurement in job.result()]
    table = rows(measured, arguments.category, arguments.processes)
    append(history_of(__file__), table)
    for line in sorted(table, key=lambda line: -float(str(line["images_per_second"]))):
        print("  ".join(str(value) for value in line.values()))


if __name__ == "__main__":
    main()
