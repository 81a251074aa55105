"""Tell what the size of a feature bank costs: AucPro, and the time of its search, for each way of choosing the vectors.

For every feature bank of finished runs whose private truth is known: candidates are drawn as the training draws them,
four for each vector of the bank, and thinned to 1,000 to 20,000 vectors by the greedy coreset, by local density as
SuperADD does; the tiles of a split are scored with each of them and merged. Features are computed once. Printed and
appended to ``history/bank_size.csv``.

    python benchmarks/bank_size.py out/real --truth-root data/truth
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from bank_search import detectors, reader_of
from history import append, history_of
from torch import Tensor

from seamark.detectors.feature_bank import BankPhase, FeatureBank, candidates_per_view, spread_choice
from seamark.detectors.nearest_vectors import NearestVectors
from seamark.detectors.superadd.thinning import thin
from seamark.evaluation.metrics import ScoreCounts
from seamark.files.images import read_mask
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.manifests.base import read_manifest
from seamark.manifests.index import TruthManifest
from seamark.manifests.tiles import TilesManifest
from seamark.maps.merge_methods import merging
from seamark.maps.tile_maps import ScoredImage
from seamark.masks.components import enlarge_map
from seamark.settings.merge import MergeSettings

SIZES = (1000, 2000, 5000, 10_000, 20_000)
FPR_LIMIT = 0.05
NEIGHBOURS = 50
ROUND = 20_000
"""Candidates among which neighbours are counted at a time."""


@dataclass
class Category:
    """Features of all tiles of a category that a bank is made from or searched for."""

    run: Path
    category: str
    detector: FeatureBank
    grid: str
    split: str
    truth_root: Path

    def candidates(self, size: int) -> Tensor:
        """Return the candidates of a bank of this size."""
        per_view = self._per_view(size)
        views = self._drawn.split(self._per_view(max(SIZES)))
        return torch.cat([view[:per_view] for view in views])

    def _per_view(self, size: int) -> int:
        settings = self.detector.settings.model_copy(update={"bank_size": size})
        return candidates_per_view(settings, len(self._train), self.detector.map_shape[0] * self.detector.map_shape[1])

    @cached_property
    def _train(self) -> TileReader:
        return reader_of(self.run, self.grid, self.category, "train", self.detector)

    @cached_property
    def _drawn(self) -> Tensor:
        """Candidates of the largest bank; a view's candidates for a smaller one are the first of them."""
        views = len(self._train) * (1 + self.detector.settings.variants)
        room = torch.empty(views * self._per_view(max(SIZES)), self.detector.bank.shape[1])
        phase = BankPhase(self.detector)
        return phase._candidates(TrainingTiles(self._train, self._train), lambda items, _: items, room)

    @cached_property
    def queries(self) -> list[Tensor]:
        """Vectors of each tile of the split."""
        reader = reader_of(self.run, self.grid, self.category, self.split, self.detector)
        images = (reader.images([reader.pixels(row)]) for row in range(len(reader)))
        return [self.detector.vectors(image)[0] for image in images]

    def auc_pro(self, bank: Tensor) -> tuple[float, float]:
        """Return AucPro of the split with a bank, and the processor seconds per tile of its search."""
        search, queries, shape = NearestVectors(bank), self.queries, self.detector.map_shape
        start = time.process_time()
        scores = [search.distances(vectors).reshape(shape).numpy() for vectors in queries]
        seconds = (time.process_time() - start) / len(scores)
        tiles = read_manifest(self.run / "10_tiles" / self.grid / self.category / f"{self.split}.json", TilesManifest)
        images, first = [], 0
        for image in tiles.images:
            own = np.stack(scores[first : first + len(image.boxes_xyxy)])
            images.append(ScoredImage(image.id, (image.height, image.width), image.boxes_xyxy, own))
            first += len(own)
        merged = merging(
            images, self.detector.cells, tiles.grid, MergeSettings(), lambda work, items, _: map(work, items)
        )
        truth = read_manifest(self.run / "00_index" / self.category / f"{self.split}.truth.json", TruthManifest).by_id
        counts = ScoreCounts.pooled([])
        for image in images:
            mask = truth[image.id].mask
            region = read_mask(self.truth_root / mask) if mask else np.zeros(image.image_shape, np.bool_)
            counts += ScoreCounts.of(enlarge_map(merged(image), image.image_shape), region)
        return counts.auc_pro(FPR_LIMIT) or 0.0, seconds


def banks(category: Category) -> Iterator[tuple[str, int, Tensor]]:
    """Yield how the vectors were chosen, how many, and the bank."""
    settings, seed = category.detector.settings, category.detector.seed
    for size in SIZES:
        candidates, random = category.candidates(size), np.random.default_rng(seed)
        yield (
            "coreset",
            size,
            candidates[spread_choice(candidates, size, settings.projection_dim, seed, lambda i, _: i)],
        )
        parts = torch.split(candidates[torch.from_numpy(random.permutation(len(candidates)))], ROUND)
        stays = [
            thin(part, random.random(len(part)), size * len(part) // len(candidates), NEIGHBOURS) for part in parts
        ]
        yield "density", size, torch.cat([part[torch.from_numpy(own)] for part, own in zip(parts, stays, strict=True)])


@torch.inference_mode()
def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run with its tiles")
    parser.add_argument("--truth-root", type=Path, required=True, help="data.truth_root of the run")
    parser.add_argument("--split", default="test_private")
    parser.add_argument("--categories", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, detector, grid in detectors(options.run, options.categories):
        category = Category(options.run, name, detector, grid, options.split, options.truth_root)
        for way, size, bank in banks(category):
            value, seconds = category.auc_pro(bank)
            row = {"category": name, "grid": grid, "split": options.split, "way": way, "size": size}
            row |= {"vectors": len(bank), "auc_pro": f"{value:.4f}", "search_s": f"{seconds:.4f}"}
            print("  ".join(f"{key} {entry}" for key, entry in row.items()), flush=True)
            append(history_of(__file__), [row])


if __name__ == "__main__":
    main()
