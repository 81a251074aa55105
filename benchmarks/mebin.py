"""Time MEBin and the whole binarization of a map on one core against docs/methods/robis.md#binarisation, literally.

The reference thresholds, erodes, labels and counts once per level, and takes mean and std anew for every map; ours
reads the latter from the statistics of the split. Both run in turn in this process, a pair at a time; seconds are CPU
seconds of the thread, the least of the repeats, so that what else the machine does counts as little as can be. Extra
bytes are the peak of allocated memory beside the map. Prints a line per case and appends it to
``history/mebin.csv``. Run: ``python benchmarks/mebin.py``; with ``--maps`` and the folder of the maps of a split it
compares the thresholds of these instead.
"""

import argparse
import itertools
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from history import append, history_of

from seamark.files.images import read_map
from seamark.manifests.calibration import SplitStatistics
from seamark.maps.calibration import image_statistics, pooled_moments
from seamark.maps.float16_scores import score_histogram
from seamark.masks.binarize import ImageContext, binarize_map
from seamark.masks.components import erode_scores
from seamark.masks.mebin import PeakScale, choose_interval, mebin_threshold
from seamark.settings.binarize import BinarizeSettings

Map = npt.NDArray[np.float32]
SETTINGS = BinarizeSettings.model_validate(
    {"at": "map", "erode_px": 6, "mean_std": {"scope": "split"}, "mebin": {"enabled": True, "scores": "robis"}}
)
SQUARE = np.ones((6, 6), np.uint8)
SIZES = ((2048, 2448), (512, 612))
GRAINS_PX = (80, 24)
"""About the distance between two bumps of the drawn maps at full size; at quarter size a quarter of it."""
SHARES = (0.05, 0.1, 1.0)


def draw(shape: tuple[int, int], grain_px: float, share: float) -> tuple[Map, SplitStatistics]:
    """Draw a map of smooth noise on 0..255 and a split whose weakest peak leaves a share of its eroded pixels."""
    grain_px *= shape[0] / SIZES[0][0]
    noise = np.random.default_rng(0).random(shape, np.float32)
    scores = cv2.GaussianBlur(noise, (0, 0), grain_px / 4)
    scores = (scores - scores.min()) / np.ptp(scores) * np.float32(255)
    weakest = float(np.quantile(erode_scores(scores, 6), 1 - share))
    return scores, split_of([scores, np.full((1, 1), weakest, np.float32)])


def split_of(maps: list[Map]) -> SplitStatistics:
    """Pool the statistics of the maps of a split."""
    images = tuple(image_statistics(str(number), one, score_histogram(one)) for number, one in enumerate(maps))
    mean, std = pooled_moments(images)
    return SplitStatistics(
        split="test_public",
        pixels=sum(image.pixels for image in images),
        minimum=min(image.minimum for image in images),
        maximum=max(image.maximum for image in images),
        mean=mean,
        std=std,
        quantiles={},
        images=images,
    )


def literal_counts(scores: Map, weakest: float, strongest: float) -> list[int]:
    """Count the components of each of the 64 masks by itself."""
    levels = np.where(scores < weakest, 0.0, (scores.astype(np.float64) - weakest) / (strongest - weakest) * 255.0)
    counts = []
    for threshold in range(255, 0, -4):
        mask = cv2.erode((levels > threshold).astype(np.uint8), SQUARE)
        counts.append(cv2.connectedComponents(mask, connectivity=8)[0] - 1)
    return counts


def literal_threshold(scores: Map, split: SplitStatistics) -> float | None:
    """Take the threshold at the end of the longest run of a map on 0..255."""
    peaks = [image.maximum for image in split.images]
    weakest, strongest = min(peaks), max(peaks)
    interval = choose_interval(literal_counts(scores, weakest, strongest), 4) if strongest > weakest else None
    return None if interval is None else float(int((255 - 4 * interval.end) * (strongest - weakest) / 255 + weakest))


def literal_mask(scores: Map, split: SplitStatistics, mean: float, std: float) -> npt.NDArray[np.bool_]:
    """Unite the eroded masks of both rules; mean and std are those of the split, taken anew only for their cost."""
    np.mean(scores / 255), np.std(scores / 255)
    mask = cv2.erode((scores > mean + 3 * std).astype(np.uint8), SQUARE)
    threshold = literal_threshold(scores, split)
    if threshold is not None:
        mask = np.bitwise_or(mask, cv2.erode((scores > threshold).astype(np.uint8), SQUARE))
    return np.asarray(mask > 0, dtype=np.bool_)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the CPU seconds of this thread that it took."""
    start = time.thread_time()
    result = function()
    return result, time.thread_time() - start


def extra_bytes(function: Callable[[], Any]) -> int:
    """Return the peak of the memory allocated by a call."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def compare(what: str, scores: Map, split: SplitStatistics, repeats: int) -> dict[str, str | float]:
    """Time both on one map, in turn; their results must be equal."""
    context = ImageContext(split, split, split.images[0], split.mean, {})
    functions: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "mebin": (
            lambda: literal_threshold(scores, split),
            lambda: mebin_threshold(scores, split, SETTINGS.mebin),
        ),
        "binarize": (
            lambda: literal_mask(scores, split, split.mean, split.std),
            lambda: binarize_map(scores, scores.shape, context, SETTINGS)[0],
        ),
    }
    reference, ours = functions[what]
    seconds = []
    for _ in range(repeats):
        expected, reference_s = timed(reference)
        found, ours_s = timed(ours)
        if not np.array_equal(expected, found):
            raise SystemExit(f"{what} of {scores.shape}: {found} instead of {expected}")
        seconds.append((reference_s, ours_s, timed(ours)[1]))
    reference_s, *both = np.min(seconds, axis=0)
    ours_s = min(both)
    scale = PeakScale.of(split, SETTINGS.mebin)
    share = (scale.levels_of(erode_scores(scores, 6)) > 3).mean()
    return {
        "what": what,
        "size": f"{scores.shape[1]}x{scores.shape[0]}",
        "candidates_share": f"{share:.3f}",
        "reference_s": f"{reference_s:.4f}",
        "ours_s": f"{ours_s:.5f}",
        "ratio": f"{reference_s / ours_s:.1f}",
        "extra_bytes_per_px": f"{extra_bytes(ours) / scores.size:.2f}",
    }


def on_maps(folder: Path) -> dict[str, str | float]:
    """Compare thresholds on all maps of a split, brought to 0..255 by their range."""
    maps = [read_map(path) for path in sorted(folder.rglob("*.tiff"))]
    if len(maps) < 2:
        raise SystemExit(f"{folder}: expected at least two anomaly maps (.tiff) below it, found {len(maps)}")
    low, high = min(one.min() for one in maps), max(one.max() for one in maps)
    maps = [(one - low) / (high - low) * np.float32(255) for one in maps]
    split = split_of(maps)
    mebin_threshold(maps[0], split, SETTINGS.mebin)
    expected = [timed(partial(literal_threshold, one, split)) for one in maps]
    found = [timed(partial(mebin_threshold, one, split, SETTINGS.mebin)) for one in maps]
    reference_s, ours_s = (sum(seconds for _, seconds in results) for results in (expected, found))
    return {
        "maps": len(maps),
        "equal": sum(one == other for (one, _), (other, _) in zip(expected, found, strict=True)),
        "with_threshold": sum(threshold is not None for threshold, _ in expected),
        "size": f"{maps[0].shape[1]}x{maps[0].shape[0]}",
        "reference_s": f"{reference_s:.4f}",
        "ours_s": f"{ours_s:.5f}",
        "ratio": f"{reference_s / ours_s:.1f}",
    }


def cases(repeats: int) -> Iterator[dict[str, str | float]]:
    """Measure all sizes, grains and shares."""
    for shape, grain_px, share in itertools.product(SIZES, GRAINS_PX, SHARES):
        scores, split = draw(shape, grain_px, share)
        for what in ("mebin", "binarize"):
            yield compare(what, scores, split, repeats) | {"grain_px": grain_px, "load": f"{os.getloadavg()[0]:.1f}"}


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--maps", type=Path, action="append", help="folder of the maps of a split to compare on")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs per case")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.maps:
        for folder in arguments.maps:
            print(folder, on_maps(folder))
        return
    small, split = draw((64, 64), 800, 0.5)
    start = time.perf_counter()
    mebin_threshold(small, split, SETTINGS.mebin)
    print(f"first call, which loads or compiles the loops: {time.perf_counter() - start:.2f} s")
    for row in cases(arguments.repeats):
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        append(arguments.csv, [row])


if __name__ == "__main__":
    main()
