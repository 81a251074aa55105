"""Time Seamark beside anomalib's own AUPRO, INP-Former, Reverse Distillation and EfficientAD, in one process.

Both get the same sizes and batches and random weights; they run in turns on one thread, and the least processor
seconds of each count. Prints a row per comparison and appends it to ``history/beside_anomalib.csv``; docs/benchmarks.md
says what is not comparable. Anomalib is no dependency of Seamark: it stays in an environment of its own that borrows
all that both need from Seamark's,

    python -m venv anomalib_env
    .venv/bin/python benchmarks/lend_packages.py anomalib_env
    anomalib_env/bin/python -m pip install --no-deps -r benchmarks/anomalib_packages.txt
    PYTHONPATH=src anomalib_env/bin/python benchmarks/beside_anomalib.py
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anomalib_models
import numpy as np
import numpy.typing as npt
import seamark_models
import torch
from auc_pro import FPR_LIMIT, scenes
from history import append, history_of
from seamark_models import TimedModel

from seamark.evaluation.metrics import ScoreCounts

Row = dict[str, str | float]
PARTS = ("auc_pro", "patchcore", "reverse_distillation", "efficientad", "inp_former")


def least_seconds(
    anomalib: Callable[[], object], seamark: Callable[[], object], repeats: int
) -> dict[str, float | str]:
    """Return the least processor seconds of both, in turns after one call of each, and their ratio."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for work, times in zip((anomalib, seamark), spent, strict=True):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    theirs, ours = (min(times[1:]) for times in spent)
    return {"anomalib_s": f"{theirs:.4g}", "seamark_s": f"{ours:.4g}", "ratio": f"{theirs / ours:.2f}"}


def auc_pro(options: argparse.Namespace) -> Iterator[Row]:
    """Compare AUPRO of the same maps, rounded to float16 as a submission's are."""
    drawn = list(scenes(options.maps, (512, 512)))
    maps = np.stack([scores.astype(np.float16).astype(np.float32) for scores, _ in drawn])
    truths = np.stack([truth for _, truth in drawn])
    tensors = torch.from_numpy(maps), torch.from_numpy(truths)
    values: dict[str, float] = {}

    def theirs() -> None:
        values["anomalib"] = anomalib_models.aupro(*tensors, FPR_LIMIT)

    def ours() -> None:
        values["seamark"] = exact_auc_pro(maps, truths)

    times = least_seconds(theirs, ours, options.repeats)
    difference = abs(values["anomalib"] - values["seamark"])
    sizes: Row = {"part": "AUPRO", "what": "score", "side": 512, "batch": options.maps}
    yield sizes | times | {"difference": f"{difference:.1e}"}


def exact_auc_pro(maps: npt.NDArray[np.float32], truths: npt.NDArray[np.bool_]) -> float:
    """Count all maps (N, H, W) and return their AucPro."""
    counts = ScoreCounts.pooled([])
    for scores, truth in zip(maps, truths, strict=True):
        counts += ScoreCounts.of(scores, truth)
    return counts.auc_pro(FPR_LIMIT) or 0.0


def patchcore(options: argparse.Namespace) -> Iterator[Row]:
    """Compare PatchCore and the bank on a picture of 2448 x 2048 px in tiles of 448 px, 10,000 vectors to search.

    A step is a whole training on one picture: features of all tiles, and 500 vectors chosen.
    """
    bank = torch.nn.functional.normalize(torch.rand(10_000, 152), dim=1)
    given = (2048, 2448), bank, 500
    both = anomalib_models.patchcore(448, 400, *given), seamark_models.feature_bank(448, 0.1, *given)
    return models({"part": "PatchCore", "what": "", "side": 448, "batch": 1}, *both, options.repeats)


def reverse_distillation(options: argparse.Namespace) -> Iterator[Row]:
    """Compare reverse distillation."""
    given = (options.backbone, 256, options.batch)
    both = anomalib_models.reverse_distillation(*given), seamark_models.reverse_distillation(*given)
    sizes: Row = {"part": f"reverse distillation, {options.backbone}", "what": "", "side": 256, "batch": options.batch}
    return models(sizes, *both, options.repeats)


def efficientad(options: argparse.Namespace) -> Iterator[Row]:
    """Compare EfficientAD-S, which trains on single images."""
    both = anomalib_models.efficientad(256), seamark_models.efficientad(256)
    return models({"part": "EfficientAD-S", "what": "", "side": 256, "batch": 1}, *both, options.repeats)


def inp_former(options: argparse.Namespace) -> Iterator[Row]:
    """Compare INP-Former on DINOv2 ViT-S/14 with registers at 392 x 392 px."""
    both = (
        anomalib_models.inp_former("vit_small_patch14_reg4_dinov2", 392, options.batch),
        seamark_models.inp_former("dinov2_vits14_reg", 392, options.batch),
    )
    sizes: Row = {"part": "INP-Former, ViT-S/14", "what": "", "side": 392, "batch": options.batch}
    return models(sizes, *both, options.repeats)


def models(sizes: Row, anomalib: TimedModel, seamark: TimedModel, repeats: int) -> Iterator[Row]:
    """Compare scoring of one image, then a training step of a batch."""
    trained: Row = {"anomalib_trained": anomalib.trained, "seamark_trained": seamark.trained}
    yield sizes | {"what": "score", "batch": 1} | least_seconds(anomalib.score, seamark.score, repeats) | trained
    yield sizes | {"what": "step"} | least_seconds(anomalib.step, seamark.step, repeats) | trained


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--backbone", choices=("resnet18", "wide_resnet50_2"), default="wide_resnet50_2")
    parser.add_argument("--batch", type=int, default=2, help="images per training step")
    parser.add_argument("--maps", type=int, default=4, help="maps for AUPRO")
    parser.add_argument("--repeats", type=int, default=3, help="calls of each, the least counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for compare in (auc_pro, patchcore, reverse_distillation, efficientad, inp_former):
        if compare.__name__ in options.parts:
            for row in compare(options):
                append(options.csv, [{"repeats": options.repeats} | row])
                print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
