"""A short measurement of this machine: how fast it works on images, and how fast it writes to a disk."""

import os
import tempfile
import time
import zlib
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from seamark.forecast.machine import MachineSpeed, free_mb

REFERENCE_S = 0.043
"""CPU seconds of one round on the machine where the coefficients of :mod:`seamark.forecast.seconds` were measured."""
ROUNDS = 20
WRITTEN_MB = 128.0
"""Or a quarter of what is free, if that is less."""


def measure_machine(folder: Path) -> MachineSpeed:
    """Measure for about two seconds.

    Parameters
    ----------
    folder : Path
        Where a file is written for a moment; the folder must exist.
    """
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0).normal(128.0, 12.0, (1024, 1024)).clip(0, 255).astype(np.uint8)
    seconds = min(_round(noise) for _ in range(ROUNDS))
    return MachineSpeed(seconds / REFERENCE_S, _disk_mb_s(folder))


def _round(noise: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    """CPU seconds of what most stages consist of: decode, resize, filter, sort, compress, digest."""
    start = time.process_time()
    _, encoded = cv2.imencode(".png", noise)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))
    smooth = cv2.GaussianBlur(decoded.astype(np.float32), (0, 0), 4.0)
    np.sort(smooth[::4].ravel())
    zlib.compress(smooth[::8].tobytes(), 1)
    sha256(smooth.tobytes()).digest()
    return time.process_time() - start


def _disk_mb_s(folder: Path) -> float:
    block, most = os.urandom(250_000), max(0.25, min(WRITTEN_MB, free_mb(folder) / 4))
    with tempfile.TemporaryFile(dir=folder, buffering=0) as stream:
        start = time.monotonic()
        while stream.tell() < most * 1e6 and time.monotonic() - start < 1.0:
            stream.write(block)
        os.fsync(stream.fileno())
        return stream.tell() / 1e6 / (time.monotonic() - start)
