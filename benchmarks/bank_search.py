"""Time the search of the feature banks of finished runs against the machine's own matrix product.

In turns, on one thread: the product of two float32 matrices of 2048 x 2048 (the ceiling), a plain search of all
products in float32, and the detector's own search with rough products in float32 and in bfloat16. The share is what the
plain count of operations, 2 x vectors x bank x length, makes of the ceiling per second: a search that does less can
pass 1.
Medians over the tiles; printed and appended to ``history/bank_search.csv``.

    python benchmarks/bank_search.py out/demo
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from history import append, history_of
from safetensors.torch import load_file

from seamark.detectors.feature_bank import FeatureBank
from seamark.detectors.nearest_vectors import NearestVectors
from seamark.learning.batches import TileReader
from seamark.manifests.base import read_manifest
from seamark.manifests.tiles import TilesManifest
from seamark.networks.plain_form import plain_form
from seamark.running.file_records import JobProvenance
from seamark.settings.feature_bank import FeatureBankSettings
from seamark.tiles.stored import open_tiles

SIDE = 2048
SPLIT = "test_private"


def detectors(run: Path, categories: list[str]) -> Iterator[tuple[str, FeatureBank, str]]:
    """Yield category, trained bank and grid for every feature bank of a run."""
    for provenance in sorted(run.glob("20_models/*/*/fit.prov.json")):
        category, params = provenance.parent.name, read_manifest(provenance, JobProvenance).params
        if params["detector"].endswith(":FeatureBank") and (not categories or category in categories):
            settings = FeatureBankSettings.model_validate(params["settings"])
            tiles = read_manifest(run / "10_tiles" / settings.grid / category / "train.json", TilesManifest)
            detector = FeatureBank(settings, tiles.shape[1:3], seed=0)
            detector.load(load_file(provenance.with_name("model.safetensors")))
            yield category, detector.eval(), settings.grid


def reader_of(run: Path, grid: str, category: str, split: str, detector: FeatureBank) -> TileReader:
    """Return the reader of the tiles of a split."""
    path = run / "10_tiles" / grid / category / f"{split}.json"
    pixels = open_tiles(path.with_suffix(".npy"), read_manifest(path, TilesManifest))
    return TileReader(pixels, detector.backbone.normalise, "cpu", detector.seed)


@torch.inference_mode()
def measure(detector: FeatureBank, reader: TileReader, tiles: int) -> dict[str, object]:
    """Time everything in turns on some tiles."""
    square, bank, count = torch.rand(SIDE, SIDE), detector.bank, detector.settings.neighbours
    rough = {kind: NearestVectors(bank, kind) for kind in (torch.float32, torch.bfloat16)}
    spent: dict[str, list[float]] = {}
    differences, operations = [], 0
    for row in np.linspace(0, len(reader) - 1, tiles).astype(int):
        images = reader.images([reader.pixels(int(row))])
        vectors = detector.vectors(images)[0]
        operations = 2 * len(vectors) * bank.shape[0] * bank.shape[1]
        works: Mapping[str, Callable[[], object]] = {
            "product_s": lambda: square @ square,
            "plain_s": lambda vectors=vectors: detector._plain_distances(vectors),
            "float32_s": lambda vectors=vectors: rough[torch.float32].distances(vectors, count),
            "bfloat16_s": lambda vectors=vectors: rough[torch.bfloat16].distances(vectors, count),
            "features_s": lambda images=images: detector.vectors(images),
        }
        for name, work in works.items():
            start = time.process_time()
            work()
            spent.setdefault(name, []).append(time.process_time() - start)
        with plain_form():
            differences.append(float((detector.score(images)[0].ravel() - works["bfloat16_s"]()).abs().max()))
    seconds = {name: float(np.median(times)) for name, times in spent.items()}
    ceiling = 2 * SIDE**3 / seconds["product_s"]
    shares = {
        f"{name[:-2]}_share": operations / seconds[name] / ceiling for name in ("plain_s", "float32_s", "bfloat16_s")
    }
    rates = {"ceiling_gflops": ceiling / 1e9} | shares
    return {name: f"{value:.3g}" for name, value in (seconds | rates | {"difference": max(differences)}).items()}


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--categories", nargs="*", default=[])
    parser.add_argument("--tiles", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for run in options.runs:
        for category, detector, grid in detectors(run, options.categories):
            reader = reader_of(run, grid, category, SPLIT, detector)
            row = {"run": run.name, "category": category, "grid": grid} | measure(detector, reader, options.tiles)
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
            append(history_of(__file__), [row])


if __name__ == "__main__":
    main()
