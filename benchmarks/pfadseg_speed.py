"""Time PFADSeg's exact speed-ups against what they replace, on one core, as ratios of processor time in one run.

Parts: the parallel recalibrated convolutions with merged kernels against three convolutions, at the sizes of the
paper's networks; the attention along rows and columns from sums of rows and columns; whole training steps of both
phases against a loop in the manner of DeSTSeg that runs every network in both phases and propagates gradients into
the student in the second, without and with every part as it is written down. Before a part is timed, its results must
agree. Both forms run in turn; the smallest time of each counts. Prints the table and appends it to
``history/pfadseg_speed.csv``. Run: ``python benchmarks/pfadseg_speed.py``.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from history import append, history_of
from torch import Tensor

from seamark.backbones.registry import Backbone, load_pyramid
from seamark.detectors.pfadseg.attention import BRANCHES, ParallelRecalibration, RectangularAttention
from seamark.detectors.pfadseg.detector import denoising_loss
from seamark.detectors.pfadseg.networks import DenoisingStudent, GuidedSegmentation
from seamark.networks.segmentation_network import absolute_loss, focal_loss, level_products
from seamark.settings.pfadseg import AttentionSettings

CHANNELS = (64, 128, 256)
"""Of ResNet18, the paper's teacher."""
RECALIBRATED = ((64, 64, 1), (64, 64, 4), (256, 64, 1), (128, 32, 1), (128, 32, 4), (256, 16, 1), (512, 8, 1))
"""Channels, side and batch of the convolutions that are timed; the last one is not merged in use."""
Pass = Callable[[], Tensor]
Row = dict[str, str | float]


def literal_recalibration(module: ParallelRecalibration, features: Tensor) -> Tensor:
    """Run three convolutions, pool each of them twice, weigh and sum them."""
    branches = [F.conv2d(features, kernel, padding=1) for kernel in module.kernels.chunk(BRANCHES)]
    means = torch.stack([F.adaptive_avg_pool2d(branch, 1).flatten(1) for branch in branches], dim=1)
    quadrants = torch.stack([F.adaptive_avg_pool2d(branch, 2).flatten(2) for branch in branches], dim=1)
    weights = module._weights(means, quadrants)
    return torch.stack([branches[k] * weights[:, k, :, None, None] for k in range(BRANCHES)]).sum(dim=0)


def literal_attention(module: RectangularAttention, features: Tensor) -> Tensor:
    """Run both strip convolutions on the whole map."""
    pooled = features.mean(dim=3, keepdim=True) + features.mean(dim=2, keepdim=True)
    out: Tensor = module.along_column(module.norm(module.along_row(pooled))).sigmoid()
    return out


@contextmanager
def as_written_down() -> Iterator[None]:
    """Replace the fast forms by the plain ones."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(ParallelRecalibration, "forward", literal_recalibration))
        stack.enter_context(patch.object(RectangularAttention, "attention", literal_attention))
        yield


def seconds(work: Pass) -> float:
    """Return the processor time of this process that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(part: str, plain: Pass, ours: Pass, repeats: int, tolerance: float = 1e-3) -> Row:
    """Time both in turn; what they return must agree."""
    expected, found = plain(), ours()
    if not torch.allclose(expected, found, rtol=tolerance, atol=1e-4):
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


def trained(module: torch.nn.Module, form: Callable[..., Tensor], features: Tensor) -> Pass:
    """Return a pass, forward and backward, that gives the gradient of the input."""

    def work() -> Tensor:
        module.zero_grad()
        given = features.clone().requires_grad_()
        form(given).square().mean().backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        return torch.zeros(0) if given.grad is None else given.grad

    return work


def recalibrations(repeats: int) -> Iterator[Row]:
    """Compare merged kernels with three convolutions."""
    for channels, side, batch in RECALIBRATED:
        module, features = ParallelRecalibration(channels), torch.randn(batch, channels, side, side)

        def plain(given: Tensor, module: ParallelRecalibration = module) -> Tensor:
            return literal_recalibration(module, given)

        name = f"pcar {batch} x {channels} @ {side} x {side}"
        with torch.no_grad():
            forward = compare(
                f"{name}, forward",
                lambda plain=plain, features=features: plain(features),
                lambda module=module, features=features: module.merged(features),
                repeats,
            )
        yield forward
        yield compare(
            f"{name}, training", trained(module, plain, features), trained(module, module.merged, features), repeats
        )


def attentions(repeats: int) -> Iterator[Row]:
    """Compare the attention along rows and columns."""
    attention, features = RectangularAttention(256), torch.randn(2, 256, 64, 64)
    yield compare(
        "rca attention 2 x 256 @ 64 x 64, training",
        trained(attention, lambda given: literal_attention(attention, given), features),
        trained(attention, attention.attention, features),
        repeats,
    )


class Steps:
    """Training steps of both phases without the update, at the sizes of the paper.

    Parameters
    ----------
    side, batch : int
        Tiles.
    """

    def __init__(self, side: int, batch: int) -> None:
        self.teacher: Backbone = load_pyramid("resnet18", "random")[0]
        self.student = DenoisingStudent(CHANNELS, AttentionSettings())
        self.segmentation = GuidedSegmentation(CHANNELS, 256, AttentionSettings())
        coarse = torch.randn(2 * batch, 3, side // 32, side // 32)
        smooth = F.interpolate(coarse, (side, side), mode="bicubic")
        self.clean, self.anomalous = smooth.split(batch)
        self.target = (torch.rand(batch, side // 4, side // 4) < 0.05).float()

    def _loss(self, logits: Tensor) -> Tensor:
        return focal_loss(logits, self.target, 4.0) + absolute_loss(logits, self.target)

    def _backward(self, loss: Tensor) -> Tensor:
        self.student.zero_grad()
        self.segmentation.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        return loss.detach()

    def joint(self, phase: str) -> Tensor:
        """Run every network, and propagate gradients into the student in either phase."""
        student_learns = phase == "student"
        clean, anomalous = self.teacher.pyramid(self.clean), self.teacher.pyramid(self.anomalous)
        levels = self.student.train(student_learns)(self.anomalous)
        distillation = denoising_loss(level_products(clean, levels))
        logits = self.segmentation.train(not student_learns)(level_products(anomalous, levels))
        return self._backward(distillation if student_learns else self._loss(logits))

    def ours(self, phase: str) -> Tensor:
        """Run what the phase needs."""
        if phase == "student":
            levels = self.student.train()(self.anomalous)
            return self._backward(denoising_loss(level_products(self.teacher.pyramid(self.clean), levels)))
        with torch.no_grad():
            products = level_products(self.teacher.pyramid(self.anomalous), self.student.eval()(self.anomalous))
        return self._backward(self._loss(self.segmentation.train()(products)))


def steps(side: int, batch: int, repeats: int) -> Iterator[Row]:
    """Compare whole training steps."""
    made = Steps(side, batch)
    for phase in ("student", "segmentation"):

        def plain(phase: str = phase) -> Tensor:
            with as_written_down():
                return made.joint(phase)

        name = f"step of {phase}, {batch} tiles of {side} x {side} px"
        yield compare(
            f"{name}, idle networks skipped",
            lambda phase=phase: made.joint(phase),
            lambda phase=phase: made.ours(phase),
            repeats,
        )
        # Batch norms behind a global pooling see two numbers here, and magnify their rounding.
        yield compare(f"{name}, everything", plain, lambda phase=phase: made.ours(phase), repeats, tolerance=1e-2)


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--side", type=int, default=256, help="sides of the tiles in px, a multiple of 32")
    parser.add_argument("--batch", type=int, default=2, help="tiles per step, at least 2")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each form")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for row in chain(
        recalibrations(arguments.repeats),
        attentions(arguments.repeats),
        steps(arguments.side, arguments.batch, arguments.repeats),
    ):
        rows.append(row)
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    append(arguments.csv, rows)


if __name__ == "__main__":
    main()
