"""superadd: the distance of a cell's features to the nearest of a bank, layer by layer, averaged over the layers.

Paper: SuperADD, winner of VAND 4.0's industrial track, arXiv 2605.14808.
Equations: thinning by local density, distance to the nearest vector over the width of the layer, mean over the layers.
Reference: the released code at 44cf251 (CC BY-NC 4.0); written from docs/methods/superadd.md, nothing of it is copied.

parity: vectors are neither brought to length 1 nor averaged over their neighbourhood.
parity: thinning keeps vectors at random, as the released code does; the paper keeps those with the fewest neighbours.
parity: layers on grids of their own are brought to the finest of them in each tile, which leaves those of a vision
transformer as they are; the released code brings each layer to the map.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from seamark.detectors.superadd.search import nearest_distances
from seamark.detectors.superadd.thinning import Held, LayerChoice, Places, draw
from seamark.errors import ManifestError
from seamark.learning.batches import TileReader, TrainingTiles, counted_random
from seamark.learning.detector import Detector
from seamark.learning.phases import ComputedPhase, Phase, Track
from seamark.settings.superadd import SuperAddSettings
from seamark.settings.training import GPU_BATCH

LOG = logging.getLogger(__name__)


class SuperAdd(Detector):
    """Nearest-neighbour distances to a bank per layer of frozen features."""

    Settings = SuperAddSettings

    def __init__(self, settings: SuperAddSettings, tile_shape: tuple[int, int], seed: int) -> None:
        super().__init__(settings, tile_shape, seed)
        self.settings = settings
        for layer in range(self.backbone.layers):
            self.register_buffer(f"bank_{layer}", torch.empty(0, 0))

    def phases(self, tiles: TrainingTiles) -> Sequence[Phase]:  # noqa: D102, ARG002
        return [BanksPhase(self)]

    @torch.no_grad()
    def score(self, batch: Tensor) -> Tensor:  # noqa: D102
        with torch.autocast(batch.device.type, enabled=False):
            return self._scores(batch)

    def _scores(self, batch: Tensor) -> Tensor:
        maps = []
        for layer, level in enumerate(self.backbone.pyramid(batch)):
            bank = self.get_buffer(f"bank_{layer}")
            if not len(bank):
                raise ManifestError("the banks of superadd are empty; train it first")
            vectors = level.permute(0, 2, 3, 1).flatten(1, 2)
            distances = nearest_distances(vectors, bank, half=vectors.device.type == "cuda") / level.shape[1]
            own = distances.view(-1, 1, *level.shape[2:])
            maps.append(own if own.shape[2:] == self.map_shape else F.interpolate(own, self.map_shape, mode="bilinear"))
        return torch.cat(maps, dim=1).mean(dim=1)

    def load(self, state: Mapping[str, Tensor]) -> None:  # noqa: D102
        for layer in range(self.backbone.layers):
            name = f"bank_{layer}"
            if name in state and state[name].ndim == 2:
                setattr(self, name, torch.empty_like(state[name], device=self.get_buffer(name).device))
        super().load(state)


class BanksPhase(ComputedPhase):
    """Draws vectors of all layers, round by round, and thins them; the tiles are read as often as memory asks for."""

    name = "banks"

    def __init__(self, detector: SuperAdd) -> None:
        self.detector = detector
        self.settings = detector.settings

    def run(self, tiles: TrainingTiles, track: Track) -> None:  # noqa: D102
        reader, detector, settings = tiles.train, self.detector, self.settings
        levels = detector.backbone.pyramid(reader.images([reader.pixels(0)]))
        widths = [level.shape[1] for level in levels]
        counts = [sum(_own_count(reader, tile, level) for tile in range(len(reader))) for level in levels]
        layers = [
            LayerChoice(count, settings, draw(count, settings, counted_random(reader.seed, "draws", layer)))
            for layer, count in enumerate(counts)
        ]
        held = None
        if _megabytes(counts, widths) <= settings.memory_limit_mb:
            held = self._collected(reader, [np.arange(count) for count in counts], widths, track)
        for rounds in [range(settings.rounds)] if held else self._passes(layers, widths):
            wanted = [layer.wanted(rounds) for layer in layers]
            _thin(
                layers, held or self._collected(reader, wanted, widths, track), track(rounds, "rounds thinned"), reader
            )
        held = held or self._collected(reader, [layer.fill() for layer in layers], widths, track)
        for number, (layer, own) in enumerate(zip(layers, held, strict=True)):
            setattr(detector, f"bank_{number}", layer.bank(own).to(reader.device))

    def _passes(self, layers: Sequence[LayerChoice], widths: Sequence[int]) -> list[range]:
        """Return rounds whose vectors are collected together, at least one at a time."""
        passes: list[range] = []
        start, needed = 0, 0.0
        rounds = max(len(layer.drawn.rounds) for layer in layers)
        for number in range(rounds):
            own = _megabytes([len(layer.candidates(number)) for layer in layers], widths)
            if number > start and needed + own > self.settings.memory_limit_mb:
                passes.append(range(start, number))
                start, needed = number, 0.0
            needed += own
        if rounds:
            passes.append(range(start, rounds))
        LOG.info("%d rounds in %d passes over the tiles", rounds, len(passes))
        return passes

    def _collected(
        self, reader: TileReader, wanted: Sequence[Places], widths: Sequence[int], track: Track
    ) -> list[Held]:
        """Read all tiles and return the vectors of each layer that are wanted, given by ascending places."""
        held = [Held(own, torch.empty(len(own), width)) for own, width in zip(wanted, widths, strict=True)]
        seen = [0 for _ in wanted]
        size = 1 if reader.device.type == "cpu" else GPU_BATCH
        batches = [range(start, min(start + size, len(reader))) for start in range(0, len(reader), size)]
        for batch in track(batches, "tiles read"):
            levels = self.detector.backbone.pyramid(reader.images([reader.pixels(tile) for tile in batch]))
            for layer, level in enumerate(levels):
                for tile, cells in zip(batch, level, strict=True):
                    rows, columns = _own_cells(reader, tile, level)
                    vectors = cells[:, rows, columns].flatten(1).T
                    held[layer].take(vectors, seen[layer])
                    seen[layer] += len(vectors)
        return held


def _thin(layers: Sequence[LayerChoice], held: Sequence[Held], rounds: Iterable[int], reader: TileReader) -> None:
    for number in rounds:
        for layer, own in zip(layers, held, strict=True):
            layer.thin(number, own, reader.device)


def _own_cells(reader: TileReader, tile: int, level: Tensor) -> tuple[slice, slice]:
    """Return rows and columns of a level (B, C, h, w) whose centres lie in what is no other tile's."""
    x0, y0, x1, y1 = reader.own(tile)
    down, across = (px / cells for px, cells in zip(reader.tiles.shape[1:3], level.shape[2:], strict=True))
    return (
        slice(math.ceil(y0 / down - 0.5), math.ceil(y1 / down - 0.5)),
        slice(math.ceil(x0 / across - 0.5), math.ceil(x1 / across - 0.5)),
    )


def _own_count(reader: TileReader, tile: int, level: Tensor) -> int:
    rows, columns = _own_cells(reader, tile, level)
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _megabytes(counts: Sequence[int], widths: Sequence[int]) -> float:
    return 4e-6 * sum(count * width for count, width in zip(counts, widths, strict=True))
