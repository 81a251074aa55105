"""Time AAND's exact speed-ups against what they replace, on one core, as ratios of processor time in one run.

Parts, on levels with the channels of WideResNet50-2: the residual of chosen cells against that of all; one matrix
product against two cosines in the amplification loss; both distillation losses from the same sums against cosines of
their own; one map from small matrices against levels that are interpolated and smoothed one by one. Whole training
steps on EfficientNet-Lite0 at 256 x 256 px: amplification against a loop that runs the backbone twice, for the teacher
and for the amplified teacher, and the residual on all cells; distillation with features kept against without. Before a
part is timed, its results must agree. Both forms run in turn; the smallest time of each counts. Prints the table and
appends it to ``history/aand_speed.csv``. Run: ``python benchmarks/aand_speed.py``.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from history import append, history_of
from scipy.ndimage import gaussian_filter
from torch import Tensor

from seamark.detectors.aand.detector import Aand, AmplificationPhase, HardDistillationPhase
from seamark.detectors.aand.losses import ChosenCells, amplification_loss, choose_cells, distillation_losses
from seamark.detectors.aand.residual_amplification import AttributeScaling, LevelAmplification
from seamark.detectors.feature_distances import DistanceMap
from seamark.detectors.urd.losses import image_distances
from seamark.learning.anomalous_pairs import PairBatch
from seamark.learning.batches import Batch, TileReader, TrainingTiles
from seamark.settings.aand import AandSettings

LEVELS = ((256, 64), (512, 32), (1024, 16))
"""Channels and side of WideResNet50-2 at 256 x 256 px."""
MARGIN = 0.3
Pass = Callable[[], Tensor]
Row = dict[str, str | float]


def seconds(work: Pass) -> float:
    """Return the processor time of this process that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(part: str, plain: Pass, ours: Pass, repeats: int) -> Row:
    """Time both in turn; what they return must agree."""
    expected, found = plain(), ours()
    if not torch.allclose(expected, found, rtol=1e-3, atol=1e-5):
        raise SystemExit(f"{part}: results differ by {(expected - found).abs().max():g}")
    pairs = [(seconds(plain), seconds(ours)) for _ in range(repeats)]
    plain_s, ours_s = (min(times) for times in zip(*pairs, strict=True))
    return {
        "part": part,
        "plain_s": f"{plain_s:.4f}",
        "ours_s": f"{ours_s:.4f}",
        "ratio": f"{plain_s / ours_s:.2f}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def graded(parameter: Tensor, loss: Callable[..., Tensor], *given: object) -> Pass:
    """Return a pass, forward and backward, that gives the gradient of a loss of what is given."""
    return lambda: torch.autograd.grad(loss(*given), parameter)[0]


def two_cosines(before: Tensor, after: Tensor, normal: Tensor) -> Tensor:
    """Return the amplification loss of cells (a, C) before and after and normal cells (n, C), as it is written."""
    cosines = (F.normalize(cells, dim=1) @ F.normalize(normal, dim=1).T for cells in (after, before))
    return F.relu(next(cosines) - next(cosines) + MARGIN).mean()


def whole_residual(cells: Tensor, residual: AttributeScaling, chosen: ChosenCells) -> Tensor:
    """Return the amplification loss with the residual of every cell."""
    after = (cells + residual(cells))[chosen.anomalous]
    return two_cosines(cells[chosen.anomalous], after, cells[chosen.normal])


def amplification_parts(batch: int, repeats: int) -> Iterator[Row]:
    """Compare the amplification loss and its parts, level by level."""
    for channels, side in LEVELS:
        cells, residual = torch.rand(batch * side * side, channels), AttributeScaling(channels)
        anomalous = np.zeros((batch, side, side), np.bool_)
        anomalous[:, : side // 4, : side // 4] = True
        chosen = choose_cells(anomalous, np.ones_like(anomalous), (1000, 5000), np.random.default_rng(0))
        first = cast("Tensor", residual.scale[0].weight)
        yield compare(
            f"amplification loss, {batch} x {channels} @ {side} x {side}",
            graded(first, whole_residual, cells, residual, chosen),
            graded(first, amplification_loss, cells, residual, chosen, MARGIN),
            repeats,
        )
        before, after, normal = cells[chosen.anomalous], cells[chosen.anomalous].square(), cells[chosen.normal]
        after.requires_grad_()
        yield compare(
            f"one product for two cosines, {channels} channels",
            graded(after, two_cosines, before, after, normal),
            graded(after, _one_product, before, after, normal),
            repeats,
        )


def _one_product(before: Tensor, after: Tensor, normal: Tensor) -> Tensor:
    everything = torch.cat([before, normal])
    chosen = ChosenCells(torch.arange(len(before)), torch.arange(len(before), len(everything)))
    return amplification_loss(everything, lambda cells: after - cells, chosen, MARGIN)


def plain_distillation(targets: Sequence[Tensor], rebuilt: Sequence[Tensor]) -> Tensor:
    """Return the sum of both distillation losses, each from cosines of its own."""
    whole = [level.mean() for level in image_distances(targets, rebuilt)]
    cells = [1.0 - F.cosine_similarity(one, two, dim=1) for one, two in zip(targets, rebuilt, strict=True)]
    hard = [level.flatten(1).topk(10, dim=1).values.mean() for level in cells]
    return torch.stack(whole).sum() + torch.stack(hard).sum()


def other_parts(batch: int, repeats: int) -> Iterator[Row]:
    """Compare distillation losses and maps."""
    targets, rebuilt = ([torch.rand(batch, channels, side, side) for channels, side in LEVELS] for _ in range(2))
    rebuilt[0].requires_grad_()
    yield compare(
        f"distillation losses, batch of {batch}",
        graded(rebuilt[0], lambda: plain_distillation(targets, rebuilt)),
        graded(rebuilt[0], lambda: torch.stack(list(distillation_losses(targets, rebuilt, 10).values())).sum()),
        repeats,
    )
    distances, small = (
        [torch.rand(1, side, side) for _, side in LEVELS],
        DistanceMap((256, 256), 4.0, align_corners=True),
    )
    yield compare("map", lambda: plain_map(distances), lambda: cast("Tensor", small(distances)), repeats)


def plain_map(distances: Sequence[Tensor]) -> Tensor:
    """Interpolate and smooth every level at full size, sum, average over cells."""
    full = [F.interpolate(level[None], (256, 256), mode="bilinear", align_corners=True)[0, 0] for level in distances]
    smooth = torch.stack([torch.from_numpy(gaussian_filter(level.numpy(), 4.0)) for level in full]).sum(dim=0)
    return F.avg_pool2d(smooth[None], 4)


class PlainAmplification(AmplificationPhase):
    """The phase with a trunk of its own for the teacher and for the amplified teacher, and residuals of all cells."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses as they are written down."""
        pairs = cast("PairBatch", batch)
        images, (anomalous, foreground) = pairs.anomalous(), self.masks(pairs)
        teacher, amplified = self.backbone.pyramid(images), self.backbone.pyramid(images)
        total = torch.zeros(())
        for number, module in enumerate(self.amplification.levels):
            amplify = cast("LevelAmplification", module)
            chosen = choose_cells(anomalous[number], foreground[number], self.limits, batch.random("cells", number))
            cells, before = amplified[number].permute(0, 2, 3, 1), teacher[number].permute(0, 2, 3, 1).flatten(0, 2)
            after = (cells + amplify.residual(cells)).flatten(0, 2)[chosen.anomalous]
            total = total + self.gate_loss(amplify, cells, anomalous[number])
            total = total + self.settings.weight * two_cosines(before[chosen.anomalous], after, before[chosen.normal])
        return {"loss": total}


def losses_of(phase: AmplificationPhase | HardDistillationPhase, batch: Batch) -> Pass:
    """Return a pass, forward and backward, that gives the loss."""

    def work() -> Tensor:
        phase.module.zero_grad(set_to_none=True)
        loss = phase.losses(batch)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        return loss.detach()

    return work


def steps(batch: int, repeats: int) -> Iterator[Row]:
    """Compare whole steps of both phases, but for the optimiser."""
    settings = AandSettings(
        backbone="efficientnet_lite0", weights="random", student_width=2.0, batch_size=batch, feature_cache_mb=1000
    )
    detector = Aand(settings, (256, 256), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 256, 256, 3), dtype=np.uint8)
    reader = TileReader(pixels, detector.backbone.normalise, "cpu", 0)
    tiles = TrainingTiles(reader, reader)
    if detector.amplification is None or settings.amplification is None:
        raise SystemExit("the default settings have lost their amplification")
    given = (detector, detector.amplification, settings.amplification, tiles)
    plain, ours = PlainAmplification(*given), AmplificationPhase(*given)
    pairs = ours.batch(reader, 0, range(batch)).prepare()
    yield compare(f"step of amplification, batch of {batch}", losses_of(plain, pairs), losses_of(ours, pairs), repeats)
    kept, fresh = HardDistillationPhase(detector, tiles), HardDistillationPhase(detector, tiles)
    fresh.features.room = 0
    detector.train()
    tile_batch = kept.batch(reader, 0, range(batch))
    yield compare(
        f"step of distillation, batch of {batch}", losses_of(fresh, tile_batch), losses_of(kept, tile_batch), repeats
    )


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--repeats", type=int, default=5, help="times that each form runs")
    parser.add_argument("--batch", type=int, default=4, help="tiles at once; 16 in the paper")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for make in (amplification_parts, other_parts, steps):
        for row in make(arguments.batch, arguments.repeats):
            print("  ".join(f"{value:>10}" if name != "part" else f"{value:48}" for name, value in row.items()))
            append(arguments.csv, [row])


if __name__ == "__main__":
    main()
