"""Scoring the tiles of a split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from seamark.errors import DataError
from seamark.files.atomic import reserve
from seamark.files.images import Float32Array, UInt8Array
from seamark.learning.batches import TileReader, ahead
from seamark.learning.detector import ComponentDetector, Detector, arithmetic, use_device
from seamark.learning.phases import Track
from seamark.settings.training import GPU_BATCH


class Scored(NamedTuple):
    """Scores of some tiles."""

    rows: range
    scores: Float32Array
    """Shape (n, h, w), higher is more anomalous."""
    components: Float32Array | None
    """The two maps (n, 2, h, w) whose mean they are, of a detector that has such."""


def scored_batches(
    detector: Detector,
    tiles: UInt8Array,
    device: str = "cpu",
    track: Track = lambda items, _: items,
    *,
    autocast: str = "none",
    rows: range | None = None,
) -> Iterator[Scored]:
    """Score tiles batch by batch, on the CPU one by one; what a tile gets depends on no other one.

    Parameters are those of :func:`score_tiles`, as are the errors.
    """
    use_device(device)
    detector.to(device).eval()
    reader = TileReader(tiles, detector.backbone.normalise, device, detector.seed)
    size, workers = (1, 0) if reader.device.type == "cpu" else (GPU_BATCH, 1)
    rows = range(len(reader)) if rows is None else rows
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    read = ahead(lambda batch: reader.stacked([reader.pixels(row) for row in batch]), batches, workers)
    for batch, stacked in zip(track(batches, "batches of tiles"), read, strict=True):
        both = None
        with torch.inference_mode(), arithmetic(reader.device, autocast):
            images = reader.uploaded(stacked)
            if isinstance(detector, ComponentDetector):
                both = detector.component_scores(images).float().cpu().numpy()
                scores = np.float32(0.5) * (both[:, 0] + both[:, 1])
            else:
                scores = detector.score(images).float().cpu().numpy()
        bad = [row for row, finite in zip(batch, np.isfinite(scores).all(axis=(1, 2)), strict=True) if not finite]
        if bad:
            raise DataError(f"tile {bad[0]}: scores are not finite; the model is damaged, train it again")
        yield Scored(batch, scores, both)


def score_tiles(
    detector: Detector,
    tiles: UInt8Array,
    target: Path,
    device: str = "cpu",
    track: Track = lambda items, _: items,
    *,
    autocast: str = "none",
    components: Path | None = None,
    rows: range | None = None,
) -> tuple[float, float]:
    """Score tiles and write the maps to a .npy file as they come.

    Parameters
    ----------
    detector : Detector
        Trained; it is moved to the device.
    tiles : ndarray of uint8, shape (T, H, W, C)
        Tiles, each read when it is wanted.
    target : Path
        File to write: float32 (T, h, w), raw scores, higher is more anomalous.
    device : str
        ``cpu`` or ``cuda:<index>``.
    track : callable
        Reports progress.
    autocast : str
        Arithmetic on a GPU, ``none`` for float32 or ``bfloat16``; on the CPU it is always float32.
    components : Path, optional
        Another file to write for a detector with two maps per tile: float32 (T, 2, h, w).
    rows : range, optional
        Which tiles; all without it. The first ones start the files, the others go into them.

    Returns
    -------
    tuple of float
        Smallest and largest score.

    Raises
    ------
    DataError
        If a score is not finite.
    ConfigError
        If the GPU has no such arithmetic.
    """
    first = 0 if rows is None else rows.start
    mode: Literal["r+", "w+"] = "r+" if first else "w+"
    shape = (len(tiles), *detector.map_shape)
    maps = np.lib.format.open_memmap(target, mode=mode, dtype=np.float32, shape=shape)
    parts = None
    if components is not None:
        parts = np.lib.format.open_memmap(
            components, mode=mode, dtype=np.float32, shape=(shape[0], 2, *detector.map_shape)
        )
    for path in (target, components):
        if path is not None:
            reserve(path, path.stat().st_size)
    lowest, highest = np.inf, -np.inf
    for scored in scored_batches(detector, tiles, device, track, autocast=autocast, rows=rows):
        place = slice(scored.rows.start, scored.rows.stop)
        maps[place] = scored.scores
        if parts is not None:
            parts[place] = scored.components
        lowest, highest = min(lowest, float(scored.scores.min())), max(highest, float(scored.scores.max()))
    maps.flush()
    if parts is not None:
        parts.flush()
    return lowest, highest
