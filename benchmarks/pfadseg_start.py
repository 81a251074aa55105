"""Show what the first steps of PFADSeg's student do to its weights, for both starts of its attentional fusion.

The teacher is a ResNet18 with random weights, so that no file of weights is needed. Prints the loss per tile, the
largest weight and the largest running variance of the student after some steps. Run, with the tiles that any run over a
grid with ``layout: whole`` leaves:
``python benchmarks/pfadseg_start.py out/pfadseg_small_backbone/10_tiles/whole/woven/train.npy``.
"""

import argparse
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seamark.detectors.pfadseg.detector import Pfadseg
from seamark.files.images import UInt8Array
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.settings.pfadseg import PfadsegSettings

REPORTED = (1, 3, 5, 10, 25)
"""Steps after which a line is printed."""


def resized(tiles: UInt8Array, side: int) -> UInt8Array:
    """Shrink tiles, uint8 (T, H, W, C), to squares."""
    pictures = (Image.fromarray(tile[:, :, 0] if tile.shape[2] == 1 else tile) for tile in tiles)
    shrunken = [np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)) for picture in pictures]
    return np.stack(shrunken).reshape(len(tiles), side, side, -1)


def run(tiles: UInt8Array, settings: PfadsegSettings, seed: int) -> None:
    """Make steps on tiles, uint8 (T, H, W, C), and print what they do."""
    detector = Pfadseg(settings, (tiles.shape[1], tiles.shape[2]), seed)
    reader = TileReader(tiles, detector.backbone.normalise, "cpu", seed)
    phase = detector.phases(TrainingTiles(reader, reader))[0]
    random = np.random.default_rng(seed)
    for step in range(max(REPORTED)):
        chosen = random.choice(len(tiles), settings.batch_size, replace=False).tolist()
        loss = phase.step(phase.batch(reader, step, chosen), nullcontext)["cosine"].item()
        if step + 1 in REPORTED:
            weight = max(parameter.detach().abs().max().item() for parameter in detector.student.parameters())
            norms = [part for part in detector.student.modules() if isinstance(part, torch.nn.BatchNorm2d)]
            variance = max(float(norm.running_var.max()) for norm in norms if norm.running_var is not None)
            print(
                f"even start {settings.attention.aff_starts_even}, batch {settings.batch_size}, step {step + 1}: "
                f"loss {loss / settings.batch_size:.3f} weight {weight:.3g} variance {variance:.3g}",
                flush=True,
            )


def main() -> None:
    """Run both starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path, help="a stored array of tiles")
    parser.add_argument("--side", type=int, default=128, help="side in px to which tiles are shrunk")
    parser.add_argument("--batch", type=int, default=4, help="tiles per step")
    parser.add_argument("--seed", type=int, default=1, help="of weights and batches")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tiles = resized(np.load(given.tiles), given.side)
    for even in (False, True):
        attention = {"aff_starts_even": even}
        run(tiles, PfadsegSettings(weights="random", batch_size=given.batch, attention=attention), given.seed)


if __name__ == "__main__":
    main()
