"""The works of ``gpu.py``: parts of Seamark that a GPU is for, with settings of its presets and random weights.

Photographs are noise of 2448 x 2048 px. All of it goes through the project's own code.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import yaml
from torch import nn

from seamark.detectors.feature_bank import FeatureBank
from seamark.detectors.inp_former.detector import InpFormer
from seamark.detectors.superadd.detector import SuperAdd
from seamark.files.images import Float32Array, UInt8Array
from seamark.flow import STAGES
from seamark.learning.batches import TileReader
from seamark.learning.checkpoints import Checkpoint
from seamark.learning.detector import Detector, arithmetic
from seamark.learning.loop import Training
from seamark.learning.scoring import score_tiles
from seamark.masks.sam import SamSegmenter, load_sam
from seamark.settings.grid import GridSettings
from seamark.settings.refine import SamSettings
from seamark.settings.training import GPU_BATCH
from seamark.tiles.cutting import cut_cells, cut_tiles
from seamark.tiles.geometry import tile_boxes

PRESETS = Path(__file__).parents[1] / "presets"
HEIGHT, WIDTH = 2048, 2448
PASSES, ENOUGH_S = 4, 2.0
"""Timed calls, of which the quickest counts, and the seconds after which fewer will do."""
CHECKED_STEPS = 2
"""Steps, of one tile each, whose losses are compared: the second one follows an update."""
UNTIMED_STEPS = 2
THREADS = torch.get_num_threads()
"""Those of the comparison on the CPU; a job would have one."""
FLOAT32, BFLOAT16 = "none", "bfloat16"
"""As the setting ``autocast`` has them."""
DIFFERENCES = {FLOAT32: 1e-3, BFLOAT16: 5e-2}


def now(device: str) -> float:
    """Return the time in seconds at which a device has done all that it was asked for."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def quickest(work: Callable[[], object], device: str) -> float:
    """Return the least time of a call."""
    spent: list[float] = []
    while len(spent) < PASSES and sum(spent) < ENOUGH_S:
        start = now(device)
        work()
        spent.append(now(device) - start)
    return min(spent)


class Network(NamedTuple):
    """A backbone and the side of its tiles in px."""

    backbone: str
    side: int


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    name: str
    vit_b: Network
    vit_l: Network
    superadd_layers: tuple[int, ...]
    superadd_px: int
    bank: int
    """Vectors."""
    photographs: int
    batch: int
    """Tiles of a training step."""
    steps: int
    product: int
    """Side of the matrices whose product is the ceiling."""
    sam: tuple[str, ...]
    sam_blocks: int | None
    """How many blocks of its encoder are kept; None for all."""
    compiler: str
    """Backend of ``torch.compile``."""
    limit_s: float
    """Seconds until the last process is ended."""


SIZES = {
    "full": Size(
        name="full",
        vit_b=Network("dinov2_vitb14_reg", 518),
        vit_l=Network("timm:vit_large_patch16_dinov3", 512),
        superadd_layers=(5, 11, 17, 23),
        superadd_px=640,
        bank=100_000,
        photographs=16,
        batch=16,
        steps=6,
        product=8192,
        sam=("vit_b", "vit_h"),
        sam_blocks=None,
        compiler="inductor",
        limit_s=470.0,  # the rest of the eight minutes is for starting and ending
    ),
    "toy": Size(
        name="toy",
        vit_b=Network("dinov2_vits14_reg", 56),
        vit_l=Network("timm:vit_tiny_patch16_dinov3_qkvb", 64),
        superadd_layers=(2, 5, 8, 11),
        superadd_px=64,
        bank=500,
        photographs=1,
        batch=2,
        steps=3,
        product=256,
        sam=("vit_b",),
        sam_blocks=3,
        compiler="eager",
        limit_s=3600.0,
    ),
}


class Work(ABC):
    """What is measured, on any device and in any arithmetic."""

    unit = "photograph"
    checks = 1.0
    """How often the work of :meth:`check` goes into that of a unit."""
    blocks: Sequence[nn.Module] = ()
    """What is compiled."""

    @abstractmethod
    def check(self, device: str, autocast: str) -> Float32Array:
        """Return the result of a small part of the work."""

    @abstractmethod
    def run(self, device: str, autocast: str) -> tuple[float, Float32Array]:
        """Return the seconds that a unit takes, and the result."""


class Scoring(Work):
    """Scores of the stored tiles of photographs, in any detector."""

    def __init__(self, detector: Detector, grid: GridSettings, size: Size, folder: Path) -> None:
        tiles = photograph_tiles(grid)
        self.detector = detector.requires_grad_(False)
        self.maps, self.photographs = folder / "maps.npy", size.photographs
        self.tiles = np.tile(tiles, (size.photographs, 1, 1, 1))
        self.checks = float(len(tiles))
        if isinstance(detector, InpFormer):
            self.blocks = backbone_blocks(detector)

    def check(self, device: str, autocast: str) -> Float32Array:
        """Score a tile."""
        reader = TileReader(self.tiles[:1], self.detector.backbone.normalise, device, 0)
        self.detector.to(device).eval()
        with torch.inference_mode(), arithmetic(reader.device, autocast):
            scores = self.detector.score(reader.images([reader.pixels(0)]))
        return np.asarray(scores.float().cpu().numpy())

    def run(self, device: str, autocast: str) -> tuple[float, Float32Array]:
        """Score all tiles, behind a batch that does not count."""
        score = partial(score_tiles, self.detector, self.tiles, self.maps, device, autocast=autocast)
        score(rows=range(min(GPU_BATCH, len(self.tiles))))
        return quickest(score, device) / self.photographs, np.load(self.maps)


class TrainingSteps(Work):
    """Training steps of INP-Former, in the loop that all detectors share."""

    unit = "step"

    def __init__(self, detector: InpFormer, grid: GridSettings, size: Size, folder: Path) -> None:
        self.detector, self.batch, self.steps = detector, size.batch, size.steps
        self.tiles = np.tile(photograph_tiles(grid), (size.photographs, 1, 1, 1))
        self.checkpoint = Checkpoint(folder / "checkpoint", {})
        self.initial = {name: tensor.clone() for name, tensor in detector.state().items()}
        self.checks = size.batch / CHECKED_STEPS
        network = detector.network
        self.blocks = [*backbone_blocks(detector), network.extractor, *network.decoder]

    def check(self, device: str, autocast: str) -> Float32Array:
        """Return the losses of steps of one tile."""
        return self._trained(device, autocast, 1, CHECKED_STEPS)[1]

    def run(self, device: str, autocast: str) -> tuple[float, Float32Array]:
        """Return the median time of steps behind the first ones, and the losses of all."""
        spent, losses = self._trained(device, autocast, self.batch, self.steps)
        return float(np.median(spent[UNTIMED_STEPS:])), losses

    def _trained(self, device: str, autocast: str, batch: int, steps: int) -> tuple[list[float], Float32Array]:
        """Return the seconds and the loss of each step."""
        changed = {"autocast": autocast, "batch_size": batch, "max_steps": steps}
        self.detector.settings = self.detector.settings.model_copy(update=changed)
        self.detector.load(self.initial)
        moments: list[float] = []

        def clock(items: Iterable[Any], _what: str) -> Iterator[Any]:
            for item in items:
                moments.append(now(device))
                yield item
            moments.append(now(device))

        training = Training(
            self.detector,
            self.detector.settings,
            train=self.tiles,
            validation=self.tiles[:1],
            checkpoint=self.checkpoint,
            device=device,
            workers=STAGES["train"].gpu_threads,
            track=clock,
        )
        torch.set_num_threads(THREADS)
        (record,) = training.run()
        self.checkpoint.remove()
        return np.diff(moments).tolist(), np.asarray(record.losses["loss"], np.float32)


class Embedding(Work):
    """Segment Anything's features of a photograph, which is in memory."""

    def __init__(self, model: str, blocks: int | None, _folder: Path) -> None:
        self.settings = SamSettings.model_validate({"model": model, "weights": "random"})
        self.network, self.pixels = load_sam(self.settings), photograph()
        encoder = self.network.image_encoder
        encoder.blocks = encoder.blocks[:blocks]

    def check(self, device: str, autocast: str) -> Float32Array:  # noqa: ARG002  (it has one arithmetic)
        """Embed the photograph."""
        segmenter = SamSegmenter(self.network, self.settings, device)
        torch.set_num_threads(THREADS)
        return np.asarray(segmenter.embed(self.pixels).features.cpu().numpy())

    def run(self, device: str, autocast: str) -> tuple[float, Float32Array]:
        """Embed it several times."""
        results: list[Float32Array] = []
        seconds = quickest(lambda: results.append(self.check(device, autocast)), device)
        return seconds, results[-1]


def backbone_blocks(detector: Detector) -> list[nn.Module]:
    """Return the blocks of the transformer that a detector sees through."""
    return list(cast("Any", detector.backbone).network.blocks)


def photograph() -> UInt8Array:
    """Return noise as a photograph, (H, W, 3)."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def photograph_tiles(grid: GridSettings) -> UInt8Array:
    """Return the tiles (T, h, w, 3) of a photograph."""
    if grid.layout == "cells":
        return cut_cells(photograph(), grid)
    return cut_tiles(photograph(), tile_boxes(WIDTH, HEIGHT, grid), grid.input_shape)


def preset(name: str, detector: str, network: Network, **settings: object) -> tuple[dict[str, Any], GridSettings]:
    """Return a detector's block in a preset and its grid, on another backbone with random weights."""
    known = yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
    block = known["detectors"][detector] | {"backbone": network.backbone, "weights": "random", "layers": None}
    block.pop("type", None)
    return block | settings, GridSettings.model_validate(known["grids"]["tile"] | {"input_px": network.side})


def inp_former(
    network: Network, size: Size, folder: Path, work: Callable[[InpFormer, GridSettings, Size, Path], Work]
) -> Work:
    """Return scoring or training of INP-Former."""
    block, grid = preset("inp_former", "inp_former", network, warmup_steps=0, checkpoint_every_s=1e6)
    detector = InpFormer(InpFormer.Settings.model_validate(block), grid.input_shape, seed=0)
    return work(detector, grid, size, folder)


def feature_bank(size: Size, folder: Path) -> Work:
    """Return scoring by a bank of random vectors."""
    block, grid = preset("seamark", "bank_tile", size.vit_b, bank_size=size.bank)
    detector = FeatureBank(FeatureBank.Settings.model_validate(block), grid.input_shape, seed=0)
    width = detector.backbone.embed_dim * detector.backbone.layers
    generator = torch.Generator().manual_seed(0)
    detector.load({"bank": torch.randn(size.bank, width, generator=generator) / width**0.5})
    return Scoring(detector, grid, size, folder)


def superadd(size: Size, folder: Path) -> Work:
    """Return scoring by a bank of random vectors for each of four layers."""
    network = Network(size.vit_l.backbone, size.superadd_px)
    block, grid = preset("superadd", "superadd", network, layers=size.superadd_layers, bank_size=size.bank)
    detector = SuperAdd(SuperAdd.Settings.model_validate(block), grid.input_shape, seed=0)
    generator = torch.Generator().manual_seed(0)
    shape = size.bank, detector.backbone.embed_dim
    banks = {f"bank_{layer}": torch.randn(shape, generator=generator) for layer in range(detector.backbone.layers)}
    detector.load(banks)
    return Scoring(detector, grid, size, folder)


class Part(NamedTuple):
    """What one process measures."""

    name: str
    network: str
    differences: Mapping[str, float]
    """How far results may be from those that they are compared with, by arithmetic."""
    make: Callable[[Path], Work]
    """Makes the work, given a folder for its files."""
    compiled: bool = False


def parts_of(size: Size) -> list[Part]:
    """Return all parts; those that are compiled come last, as they take longest."""
    alone = {FLOAT32: DIFFERENCES[FLOAT32]}
    by_former = [
        Part(f"inp_former {kind}", network.backbone, DIFFERENCES, partial(inp_former, network, size, work=work))
        for kind, work in (("scoring", Scoring), ("training step", TrainingSteps))
        for network in (size.vit_b, size.vit_l)
    ]
    return [
        *by_former,
        Part("feature_bank scoring", size.vit_b.backbone, DIFFERENCES, partial(feature_bank, size)),
        Part("superadd scoring", size.vit_l.backbone, alone, partial(superadd, size)),
        *(Part("sam embedding", model, alone, partial(Embedding, model, size.sam_blocks)) for model in size.sam),
        *(part._replace(compiled=True) for part in by_former),
    ]
