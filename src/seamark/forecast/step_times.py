"""Measures real training steps and scores of a detector on random tiles: ``python -m seamark.forecast.step_times``.

It runs in a process of its own, because it imports torch and its peak memory is part of what it tells. Of several
measurements the smallest counts: it is the one that other processes disturbed least. The request comes as JSON on the
standard input, the answer goes as JSON to the standard output. Weights that are missing are replaced by random ones,
which take the same time.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seamark.errors import WeightsError
from seamark.files.images import UInt8Array
from seamark.learning.batches import TileReader, TrainingTiles, batch_tiles
from seamark.learning.detector import Detector, load_detector_class, use_device
from seamark.learning.phases import SteppedPhase
from seamark.settings.training import GPU_BATCH, DetectorSettings

FIRST_STEPS = 4
"""Steps on new tiles, the first of which does not count."""
AGAIN_STEPS = 14
"""Steps on few tiles, so that the last four find the features of all of them kept."""
LAST = 4
SCORED = 3
ITEMS = 24
"""Tiles or vectors that a phase without steps gets to see."""
PHASE_S = 8.0
"""Seconds of one measurement after which it makes do with fewer steps."""


def measure_steps(request: Mapping[str, Any]) -> dict[str, Any]:
    """Build a detector and time it.

    Parameters
    ----------
    request : mapping
        ``detector``: ``module:Class``; ``settings``: its block; ``tile_shape``: height and width in px; ``tiles``:
        numbers of training and validation tiles of each category; ``device``.

    Returns
    -------
    dict
        Fields of :class:`seamark.forecast.seconds.StepTimes`.
    """
    device = request["device"]
    use_device(device)
    kind = load_detector_class(request["detector"])
    settings = kind.Settings.model_validate(request["settings"])
    detector = _built(kind, settings, tuple(request["tile_shape"])).to(device)
    clock = _Clock(device)
    start_s, counts = time.process_time(), [(int(train), int(validation)) for train, validation in request["tiles"]]
    few = max(4, int(getattr(settings, "batch_size", 1)))
    again, computed = _few_tiles(detector, _tiles(detector, few, few + 1, device), clock, counts, few)
    most_train, most_validation = max(counts)
    first = _many_tiles(detector, _tiles(detector, most_train, most_validation, device), clock)
    steps = {train: _steps(detector, _tiles(detector, train, validation, device)) for train, validation in counts}
    return {
        "start_s": start_s,
        "first_s": first,
        "again_s": again,
        "computed_s": computed,
        "steps": steps,
        "score_s": _score_s(detector, _tiles(detector, few, few, device).train, clock),
        "peak_mb": peak_mb(),
        "gpu_mb": torch.cuda.max_memory_allocated() / 1e6 if device != "cpu" else 0.0,
    }


def _built(kind: type[Detector], settings: DetectorSettings, shape: tuple[int, ...]) -> Detector:
    height, width = shape
    try:
        return kind(settings, (height, width), 0)
    except WeightsError:
        replaced = {"weights": "random"} | ({"teacher": "random"} if "teacher" in type(settings).model_fields else {})
        return kind(settings.model_copy(update=replaced), (height, width), 0)


class _Clock:
    """CPU seconds of this process, or wall seconds of a GPU that has finished its work."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __call__(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def _tiles(detector: Detector, train: int, validation: int, device: str) -> TrainingTiles:
    """Any number of tiles that share the memory of one."""
    tile = np.random.default_rng(0).normal(128.0, 25.0, (*detector.tile_shape, 3)).clip(0, 255).astype(np.uint8)

    def reader(count: int) -> TileReader:
        pixels: UInt8Array = np.broadcast_to(tile, (count, *tile.shape))
        return TileReader(pixels, detector.backbone.normalise, device, detector.seed)

    return TrainingTiles(reader(train), reader(validation))


def _step_times(phase: SteppedPhase, reader: TileReader, clock: _Clock, count: int) -> list[float]:
    """Seconds of some first steps of a phase."""
    found: list[float] = []
    for step in range(min(count, phase.steps)):
        chosen = batch_tiles(reader.seed, phase.name, step, len(reader), phase.batch_size)
        start = clock()
        phase.step(phase.batch(reader, step, chosen), nullcontext)
        found.append(clock() - start)
        if sum(found) > PHASE_S and len(found) > 1:
            break
    return found


def _few_tiles(
    detector: Detector, tiles: TrainingTiles, clock: _Clock, counts: list[tuple[int, int]], few: int
) -> tuple[dict[str, float], dict[int, float]]:
    """Seconds of a step whose tiles were seen before, and of all phases without steps by number of tiles."""
    again, computed = {}, dict.fromkeys((train for train, _ in counts), 0.0)
    for phase in detector.phases(tiles):
        detector.train(isinstance(phase, SteppedPhase))
        if isinstance(phase, SteppedPhase):
            again[phase.name] = min(_step_times(phase, tiles.train, clock, AGAIN_STEPS)[-LAST:])
            continue
        watch = _Watch(clock)
        start = clock()
        with torch.no_grad():
            phase.run(tiles, watch.track)
        unwatched = clock() - start - watch.spent
        for train, validation in counts:
            computed[train] += unwatched + watch.extrapolated({few: train, few + 1: validation})
    return again, computed


def _many_tiles(detector: Detector, tiles: TrainingTiles, clock: _Clock) -> dict[str, float]:
    """Seconds of a step whose tiles are new."""
    found = {}
    for phase in detector.phases(tiles):
        if isinstance(phase, SteppedPhase):
            detector.train()
            times = _step_times(phase, tiles.train, clock, FIRST_STEPS)
            found[phase.name] = min(times[1:] or times)
    return found


def _steps(detector: Detector, tiles: TrainingTiles) -> dict[str, int]:
    return {phase.name: phase.steps for phase in detector.phases(tiles) if isinstance(phase, SteppedPhase)}


class _Watch:
    """Times the items of a phase without steps and stops it after some of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.spent = clock, 0.0
        self.seen: list[tuple[int, float]] = []

    def track(self, items: Iterable[Any], _what: str) -> Iterator[Any]:
        """Yield the first items."""
        listed = list(items)
        start, taken = self.clock(), listed[:ITEMS]
        yield from taken
        seconds = self.clock() - start
        self.spent += seconds
        self.seen.append((len(listed), seconds / max(1, len(taken))))

    def extrapolated(self, counts: Mapping[int, int]) -> float:
        """Return the seconds of all items, where loops over few tiles stand for loops over as many as there will be."""
        return sum(counts.get(length, length) * seconds for length, seconds in self.seen)


def _score_s(detector: Detector, reader: TileReader, clock: _Clock) -> float:
    detector.eval()
    batch = 1 if reader.device.type == "cpu" else GPU_BATCH
    found = []
    with torch.inference_mode():
        for _ in range(SCORED):
            start = clock()
            images = reader.images([reader.pixels(0)] * batch)
            detector.score(images).float().cpu().numpy()
            found.append((clock() - start) / batch)
    return min(found)


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_steps(json.load(sys.stdin))))
