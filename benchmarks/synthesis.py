"""Time what a synthetic anomaly on a tile of 256 x 256 px costs, part by part, on one core.

Prints the parts and appends one row to ``history/synthesis.csv``: milliseconds of processor time per sample for the
generator, the mask, the drawn texture, a photographed texture that is in memory, the blending, the cascade of masks,
the target of a segmentation network, the whole sample (its cascade and target besides) with drawn and with photographed
textures, noise patches; milliseconds per tile for foregrounds, which are found once. The reference is the smallest part
of a training step that every detector with such samples has: EfficientNet-Lite0 up to stride 16, forward and backward,
on a sample and its clean twin. Run: ``python benchmarks/synthesis.py``.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from history import append, history_of
from PIL import Image

from seamark.backbones.registry import load_pyramid
from seamark.files.images import UInt8Array
from seamark.learning.batches import counted_random
from seamark.settings.synthesis import ForegroundSettings, NoisePatchSettings, SynthesisSettings
from seamark.synthesis.anomalies import blend, synthesise
from seamark.synthesis.drawn_textures import draw_texture
from seamark.synthesis.foreground import foreground_mask
from seamark.synthesis.noise_patches import inject_noise_patches
from seamark.synthesis.perlin import perlin_mask
from seamark.synthesis.pyramids import cascaded_masks, quarter_mask
from seamark.synthesis.textures import TextureSource, texture_source

SHAPE = (256, 256)
LEVELS = [(64, 64), (32, 32), (16, 16)]
PHOTOGRAPHS = 20
PAIRS = 4
SHARES = ("sample_drawn_ms", "sample_photographed_ms")
"""These are also given as a share of the reference."""


def milliseconds(work: Callable[[np.random.Generator], object], repeats: int) -> float:
    """Return processor time per call, the making of its generator left out."""
    generators = [counted_random(0, "benchmark", number) for number in range(repeats)]
    work(generators[0])
    start = time.process_time()
    for generator in generators:
        work(generator)
    return 1000.0 * (time.process_time() - start) / repeats


def product() -> UInt8Array:
    """Draw a dark disc on a bright ground, both noisy."""
    inside = np.hypot(*(np.indices(SHAPE) - 127.5)) <= 70
    grey = np.where(inside, 60, 190) + np.random.default_rng(0).normal(0, 8, SHAPE)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def photographs(folder: Path) -> TextureSource:
    """Write photographs of 500 x 500 px and return a source that has read all of them."""
    for number in range(PHOTOGRAPHS):
        pixels = draw_texture((500, 500), counted_random(0, "photograph", number))
        Image.fromarray(pixels).save(folder / f"{number:02d}.jpg")
    source = texture_source(SynthesisSettings(texture_folder=str(folder)))
    for number in range(20 * PHOTOGRAPHS):
        source(SHAPE, counted_random(0, "warm", number))
    return source


def _found(tile: UInt8Array, settings: ForegroundSettings, _: np.random.Generator) -> object:
    return foreground_mask(tile, settings)


def training_pass(tile: UInt8Array) -> Callable[[np.random.Generator], object]:
    """Return a pass, forward and backward, over some pairs of tiles."""
    expert, trained = load_pyramid("efficientnet_lite0", "random")
    batch = expert.normalise(torch.from_numpy(tile).expand(PAIRS, *tile.shape))

    def work(_: np.random.Generator) -> object:
        for twin in (batch, 0.9 * batch):
            torch.stack([level.square().mean() for level in trained(twin)]).sum().backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        return None

    return work


def measure(repeats: int, folder: Path) -> dict[str, float]:
    """Time every part."""
    tile, settings, patches = product(), SynthesisSettings(), NoisePatchSettings(probability=1.0)
    photographed = photographs(folder)
    mask, texture = perlin_mask(SHAPE, counted_random(0, 1)), draw_texture(SHAPE, counted_random(0, 2))

    def whole(textures: TextureSource) -> Callable[[np.random.Generator], object]:
        def sample(random: np.random.Generator) -> object:
            made = synthesise(tile, None, textures, settings, random)
            return cascaded_masks(made.mask, LEVELS), quarter_mask(made.mask)

        return sample

    quick: dict[str, Callable[[np.random.Generator], object]] = {
        "generator_ms": lambda _: counted_random(0, "synthesis", 3, 4),
        "mask_ms": lambda random: perlin_mask(SHAPE, random),
        "drawn_texture_ms": lambda random: draw_texture(SHAPE, random),
        "photographed_texture_ms": lambda random: photographed(SHAPE, random),
        "blending_ms": lambda _: blend(tile, texture, mask, 0.5),
        "cascade_ms": lambda _: cascaded_masks(mask, LEVELS),
        "target_ms": lambda _: quarter_mask(mask),
        "sample_drawn_ms": whole(draw_texture),
        "sample_photographed_ms": whole(photographed),
        "noise_patches_ms": lambda random: inject_noise_patches(tile, None, patches, random),
    }
    found = {
        f"foreground_{method}_ms": ForegroundSettings.model_validate({"method": method})
        for method in ("otsu_dark", "otsu_border", "grabcut")
    }
    row = {name: milliseconds(work, repeats) for name, work in quick.items()}
    for name, foreground in found.items():
        row[name] = milliseconds(partial(_found, tile, foreground), 3)
    row["training_ms"] = milliseconds(training_pass(tile), 5) / PAIRS
    return row | {name.replace("_ms", "_share"): row[name] / row["training_ms"] for name in SHARES}


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    parser.add_argument("--repeats", type=int, default=1000, help="samples per part")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with TemporaryDirectory() as folder:
        row = measure(arguments.repeats, Path(folder)) | {"load": os.getloadavg()[0]}
    texts = {name: f"{value:.3g}" for name, value in row.items()}
    print("\n".join(f"{name:26} {text}" for name, text in texts.items()))
    append(arguments.csv, [texts])


if __name__ == "__main__":
    main()
