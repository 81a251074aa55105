"""A few real training steps and scores of each detector on random tiles, and what they make of a run: a rough figure.

Of several measurements the smallest counts: it is the one that other processes disturbed least. Weights that are
missing are replaced by random ones, which take the same time. A step is one on tiles that were seen before: what it
costs to see a tile for the first time, early stopping and the start of a job are left out.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from seamark.errors import WeightsError
from seamark.files.images import UInt8Array
from seamark.forecast.memory import batch_size, wanted_features_mb
from seamark.forecast.work import Work
from seamark.learning.batches import TileReader, TrainingTiles, batch_tiles
from seamark.learning.detector import Detector, load_detector_class, use_device
from seamark.learning.phases import ComputedPhase, SteppedPhase
from seamark.registry import DETECTORS
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.teacher import DISTILLED, RANDOM
from seamark.settings.training import GPU_BATCH, DetectorSettings

STEPS = 14
"""Steps on few tiles, so that the last ones find the features of all of them kept."""
LAST = 4
SCORED = 3
ITEMS = 24
"""Tiles or vectors that a phase without steps gets to see."""
PHASE_S = 8.0
"""Seconds of one measurement after which it makes do with fewer steps."""


def measured_seconds(works: Sequence[Work], device: str) -> list[float | None]:
    """Measure every detector once per settings and tile size.

    Parameters
    ----------
    works : sequence of Work
        Jobs of any stage.
    device : str
        ``cpu`` or ``cuda:<index>``.

    Returns
    -------
    list of float or None
        Seconds of each job of ``train`` and ``infer``, of CPU time or of wall time on a GPU; None for other stages.
    """
    use_device(device)
    seconds: list[float | None] = [None] * len(works)
    alike: dict[tuple[str, str, tuple[int, int]], list[int]] = {}
    for place, work in enumerate(works):
        if work.stage in ("train", "infer"):
            key = work.detector_type, _measured_block(work).model_dump_json(), work.grid.input_shape
            alike.setdefault(key, []).append(place)
    for places in alike.values():
        measured = _MeasuredDetector(works[places[0]], device)
        for place in places:
            seconds[place] = measured.seconds(works[place])
    return seconds


def _measured_block(work: Work) -> DetectorSettings:
    """Return settings that take as long as those of a job: without kept features where not all would be kept."""
    block = work.block
    if isinstance(block, EfficientAdSettings) and block.teacher == DISTILLED:
        block = block.model_copy(update={"teacher": RANDOM})  # the teacher is not there yet
    if wanted_features_mb(work) > block.feature_cache_mb:
        block = block.model_copy(update={"feature_cache_mb": 0})
    return block


class _MeasuredDetector:
    """A detector with the seconds of its phases and of a score."""

    def __init__(self, work: Work, device: str) -> None:
        self.device, block = device, _measured_block(work)
        self.detector = _built(load_detector_class(DETECTORS[work.detector_type].target), block, work.grid.input_shape)
        self.detector.to(device)
        self.few = max(4, batch_size(block))
        self.step_s: dict[str, float] = {}
        self.computed_s = 0.0
        """Of phases without steps, besides their loops."""
        self.loops: list[tuple[int, float]] = []
        """Number and seconds of the items of their loops."""
        tiles = self._tiles(self.few, self.few + 1)
        for phase in self.detector.phases(tiles):
            self.detector.train(isinstance(phase, SteppedPhase))
            if isinstance(phase, SteppedPhase):
                self.step_s[phase.name] = self._shortest_step(phase, tiles.train)
            else:
                self._compute(phase, tiles)
        self.score_s = self._shortest_score(tiles.train)

    def seconds(self, work: Work) -> float:
        """Return the seconds of a job of ``train`` or ``infer``."""
        if work.stage == "infer":
            return self.score_s * work.photographs.tiles(work.grid)
        train = work.training.tiles(work.grid)
        validation = work.photographs.tiles(work.grid) - train
        phases = self.detector.phases(self._tiles(train, validation))
        steps = sum(phase.steps * self.step_s[phase.name] for phase in phases if isinstance(phase, SteppedPhase))
        # Loops over few tiles stand for loops over as many as there will be.
        real = {self.few: train, self.few + 1: validation}
        return steps + self.computed_s + sum(real.get(count, count) * item_s for count, item_s in self.loops)

    def _tiles(self, train: int, validation: int) -> TrainingTiles:
        """Any number of tiles that share the memory of one."""
        shape = *self.detector.tile_shape, 3
        tile = np.random.default_rng(0).normal(128.0, 25.0, shape).clip(0, 255).astype(np.uint8)

        def reader(count: int) -> TileReader:
            pixels: UInt8Array = np.broadcast_to(tile, (count, *shape))
            return TileReader(pixels, self.detector.backbone.normalise, self.device, self.detector.seed)

        return TrainingTiles(reader(train), reader(validation))

    def _now(self) -> float:
        """CPU seconds of this process, or wall seconds of a GPU that has finished its work."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def _shortest_step(self, phase: SteppedPhase, reader: TileReader) -> float:
        found: list[float] = []
        for step in range(min(STEPS, phase.steps)):
            chosen = batch_tiles(reader.seed, phase.name, step, len(reader), phase.batch_size)
            start = self._now()
            phase.step(phase.batch(reader, step, chosen), nullcontext)
            found.append(self._now() - start)
            if sum(found) > PHASE_S and len(found) > 1:
                break
        return min(found[-LAST:])

    def _compute(self, phase: ComputedPhase, tiles: TrainingTiles) -> None:
        """Time the items of a phase without steps, of each loop no more than some."""
        watched_s = 0.0

        def track(items: Iterable[Any], _what: str) -> Iterator[Any]:
            nonlocal watched_s
            listed = list(items)
            start, taken = self._now(), listed[:ITEMS]
            yield from taken
            loop_s = self._now() - start
            watched_s += loop_s
            self.loops.append((len(listed), loop_s / max(1, len(taken))))

        start = self._now()
        with torch.no_grad():
            phase.run(tiles, track)
        self.computed_s += self._now() - start - watched_s

    def _shortest_score(self, reader: TileReader) -> float:
        self.detector.eval()
        batch, shortest = 1 if self.device == "cpu" else GPU_BATCH, math.inf
        with torch.inference_mode():
            for _ in range(SCORED):
                start = self._now()
                self.detector.score(reader.images([reader.pixels(0)] * batch)).float().cpu().numpy()
                shortest = min(shortest, (self._now() - start) / batch)
        return shortest


def _built(kind: type[Detector], settings: DetectorSettings, shape: tuple[int, int]) -> Detector:
    try:
        return kind(settings, shape, 0)
    except WeightsError:
        replaced = {"weights": RANDOM} | ({"teacher": RANDOM} if "teacher" in type(settings).model_fields else {})
        return kind(settings.model_copy(update=replaced), shape, 0)
