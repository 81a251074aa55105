"""Time the exact evaluation of 24 maps of 2448 x 2048 px against a literal sort-based AucPro on a smaller set.

Prints one line and appends it to ``history/auc_pro.csv``: seconds, Mpx/s of both, their ratio, peak memory of
the exact evaluation in MB, and the difference of the two results. Run: ``python benchmarks/auc_pro.py``.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from history import append, history_of
from scipy import ndimage

from seamark.evaluation.metrics import ScoreCounts

FPR_LIMIT = 0.05
FULL, SMALL = (24, (2048, 2448)), (4, (512, 612))

Scene = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]


def scenes(count: int, shape: tuple[int, int]) -> Iterator[Scene]:
    """Draw maps with smooth noise and truths with many regions; every third image is good."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        coarse = rng.normal(size=(shape[0] // 16 + 1, shape[1] // 16 + 1)).astype(np.float32)
        noise = np.kron(coarse, np.ones((16, 16), np.float32))[: shape[0], : shape[1]]
        noise = ndimage.uniform_filter(noise, 15) + rng.random(shape, np.float32) * 0.1
        truth = (noise > 0.9) if seed % 3 else np.zeros(shape, np.bool_)
        yield (noise + 0.2 * truth).astype(np.float32), truth


def literal_auc_pro(parts: list[Scene]) -> float:
    """Label, sort every pixel, accumulate, keep one point per score, integrate."""
    scores, good, weights, regions = [], [], [], 0
    for anomaly_map, truth in parts:
        labels, found = ndimage.label(truth, np.ones((3, 3)))
        sizes = np.maximum(np.bincount(labels.ravel(), minlength=found + 1), 1)
        scores.append(anomaly_map.astype(np.float16).astype(np.float32).ravel())
        good.append(~truth.ravel())
        weights.append(np.where(truth, 1 / sizes[labels], 0.0).ravel())
        regions += found
    pooled = np.concatenate(scores)
    order = np.argsort(pooled, kind="stable")[::-1]
    last = np.append(np.diff(pooled[order]) != 0, True)
    fpr = np.concatenate([[0.0], np.cumsum(np.concatenate(good)[order])[last] / np.concatenate(good).sum(), [1.0]])
    pro = np.concatenate([[0.0], np.minimum(np.cumsum(np.concatenate(weights)[order])[last] / regions, 1), [1.0]])
    keep = fpr <= FPR_LIMIT
    x = np.append(fpr[keep], FPR_LIMIT)
    y = np.append(pro[keep], np.interp(FPR_LIMIT, fpr[keep.sum() - 1 : keep.sum() + 1], pro[keep.sum() - 1 :][:2]))
    return float(np.trapezoid(y, x) / FPR_LIMIT)


def exact_auc_pro(parts: Iterator[Scene]) -> tuple[float, float]:
    """Return the value and the seconds spent, the drawing of the maps left out."""
    whole, seconds = ScoreCounts.pooled([]), 0.0
    for anomaly_map, truth in parts:
        start = time.perf_counter()
        whole += ScoreCounts.of(anomaly_map, truth)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    value, *_ = whole.auc_pro(FPR_LIMIT), whole.pixel_auroc(), whole.image_auroc()
    return float(value or 0.0), seconds + time.perf_counter() - start


def measure() -> dict[str, float]:
    """Time both and compare their values on the smaller set."""
    count, shape = FULL
    full_mpx = count * shape[0] * shape[1] / 1e6
    _, seconds = exact_auc_pro(scenes(*FULL))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    small = list(scenes(*SMALL))
    small_mpx = sum(truth.size for _, truth in small) / 1e6
    start = time.perf_counter()
    reference = literal_auc_pro(small)
    reference_seconds = time.perf_counter() - start
    ratio = (full_mpx / seconds) / (small_mpx / reference_seconds)
    return {
        "mpx": full_mpx,
        "seconds": seconds,
        "mpx_per_s": full_mpx / seconds,
        "peak_mb": peak_mb,
        "reference_mpx": small_mpx,
        "reference_mpx_per_s": small_mpx / reference_seconds,
        "ratio": ratio,
        "difference": abs(reference - exact_auc_pro(iter(small))[0]),
    }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    table = parser.parse_args().csv
    row = {name: f"{value:.4g}" for name, value in measure().items()}
    print(", ".join(f"{name} {value}" for name, value in row.items()))
    append(table, [row])


if __name__ == "__main__":
    main()
