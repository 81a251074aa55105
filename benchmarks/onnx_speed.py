"""Time the graph of every detector in onnxruntime beside the detector in torch, on one core.

Prints one row per detector and appends them to ``history/onnx_speed.csv``: processor seconds per tile of both, their
ratio (torch's by onnxruntime's), the largest difference of a score cell over the range of torch's cells, seconds of
writing the graph and MB of its file. Settings and sizes of tiles are those of the small presets, pretrained weights
those of EfficientNet-Lite0, tiles are drawn (blurred noise). Nothing is trained: networks have their initial weights,
EfficientAD's teacher random ones, and banks hold features of drawn tiles, as many as the preset says. Both run in
turns, and the least of a few calls counts. Run: ``python benchmarks/onnx_speed.py``.
"""

import argparse
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
import yaml
from history import append, history_of

from seamark.detectors.feature_bank import FeatureBank
from seamark.detectors.superadd.detector import SuperAdd
from seamark.export.onnx_scorer import OnnxScorer
from seamark.export.onnx_writing import write_onnx
from seamark.files.images import UInt8Array
from seamark.learning.batches import TileReader, TrainingTiles
from seamark.learning.detector import Detector, load_detector_class, use_device
from seamark.learning.phases import ComputedPhase
from seamark.registry import DETECTORS
from seamark.settings.config import deep_merge

PRESETS = Path(__file__).parents[1] / "presets"
SMALL = {
    "inp_former": ("seamark_small", "inp_former_small_backbone"),
    "feature_bank": ("seamark_small",),
    "superadd": ("superadd", "superadd_small_backbone"),
    "urd": ("urd", "urd_small_backbone"),
    "aurd": ("aurd", "aurd_small_backbone"),
    "aand": ("aand", "aand_small_backbone"),
    "pfadseg": ("pfadseg", "pfadseg_small_backbone"),
    "efficientad": ("efficientad_cdo", "efficientad_cdo_small_backbone"),
}
"""Presets of each detector, laid over each other."""
TILES = 4


def drawn_tiles(number: int, side: int, seed: int) -> UInt8Array:
    """Return blurred noise, uint8 (number, side, side, 3)."""
    noise = np.random.default_rng(seed).normal(size=(number, side, side, 3))
    tiles = [cv2.GaussianBlur(tile, (0, 0), 2.0) + 0.1 * tile for tile in noise]
    return np.asarray((128 + 250 * np.stack(tiles)).clip(0, 255), np.uint8)


def fitted(name: str) -> Detector:
    """Return a detector as its small preset has it, with what is computed of tiles and not learned."""
    files = [yaml.safe_load((PRESETS / f"{preset}.yaml").read_text(encoding="utf-8")) for preset in SMALL[name]]
    raw = reduce(deep_merge, files)
    blocks = [block for key, block in raw["detectors"].items() if block.get("type", key) == name]
    block = {key: value for key, value in blocks[0].items() if key != "type"}
    side = raw["grids"][block["grid"]]["input_px"]
    kind = load_detector_class(DETECTORS[name].target)
    given = block | ({"teacher": "random"} if name == "efficientad" else {})
    detector = kind(kind.Settings.model_validate(given), (side, side), seed=0).eval()
    reader = TileReader(drawn_tiles(TILES, side, seed=0), detector.backbone.normalise, "cpu", 0)
    if isinstance(detector, FeatureBank | SuperAdd):
        fill(detector, reader, int(block["bank_size"]))
        return detector
    for phase in detector.phases(TrainingTiles(reader, reader)):
        if isinstance(phase, ComputedPhase):
            phase.run(TrainingTiles(reader, reader), lambda items, _: items)
    return detector


def fill(detector: FeatureBank | SuperAdd, reader: TileReader, size: int) -> None:
    """Put features of drawn tiles into the banks without choosing among them, which would take long."""
    images = reader.images([reader.pixels(tile) for tile in range(len(reader))])
    with torch.inference_mode():
        if isinstance(detector, FeatureBank):
            banks = {"bank": detector.vectors(images).flatten(0, 1)}
        else:
            levels = detector.backbone.pyramid(images)
            banks = {f"bank_{layer}": level.permute(0, 2, 3, 1).flatten(0, 2) for layer, level in enumerate(levels)}
    generator = torch.Generator().manual_seed(0)
    for bank, vectors in banks.items():
        chosen = torch.randint(len(vectors), (size,), generator=generator)
        jitter = torch.randn(size, vectors.shape[1], generator=generator)
        setattr(detector, bank, vectors[chosen] + 0.1 * vectors.std() * jitter)


def least_seconds(forms: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the least processor seconds of a call of each, in turns, after one that does not count."""
    spent: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(repeats + 1):
        for form, work in forms.items():
            start = time.process_time()
            work()
            spent[form].append(time.process_time() - start)
    return {form: min(times[1:]) for form, times in spent.items()}


def measure(name: str, graph: Path, repeats: int) -> dict[str, str]:
    """Return the row of a detector."""
    detector = fitted(name)
    start = time.process_time()
    write_onnx(graph, detector)
    writing_s = time.process_time() - start
    scorer, side = OnnxScorer(graph), detector.tile_shape[0]
    tiles = drawn_tiles(TILES, side, seed=1)

    def in_torch(number: int) -> np.ndarray:
        with torch.inference_mode():
            return detector.score(detector.backbone.normalise(torch.from_numpy(tiles[number : number + 1]))).numpy()

    expected = np.concatenate([in_torch(number) for number in range(TILES)])
    parity = np.abs(scorer(tiles)[0] - expected).max() / np.ptp(expected)
    seconds = least_seconds({"torch": lambda: in_torch(0), "onnxruntime": lambda: scorer(tiles[:1])}, repeats)
    return {
        "detector": name,
        "tile_px": str(side),
        "torch_s": f"{seconds['torch']:.4f}",
        "onnxruntime_s": f"{seconds['onnxruntime']:.4f}",
        "ratio": f"{seconds['torch'] / seconds['onnxruntime']:.2f}",
        "difference": f"{parity:.1e}",
        "writing_s": f"{writing_s:.1f}",
        "file_mb": f"{graph.stat().st_size / 1e6:.1f}",
    }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SMALL, default=list(SMALL), help="some of the detectors")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    use_device("cpu")
    table = []
    with TemporaryDirectory() as folder:
        for name in arguments.only:
            table.append(measure(name, Path(folder) / "graph.onnx", arguments.repeats))
            print("  ".join(table[-1].values()), flush=True)
    append(history_of(__file__), table)


if __name__ == "__main__":
    main()
