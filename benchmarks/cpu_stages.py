"""Time the CPU stages per image at the sizes of MVTec AD 2, beside literal reference code, on one core.

For every category a few photographs and tile maps are drawn at the official size. The stages run on them as in a real
run (files, digests, manifests and all), and ``benchmarks/literal`` does what docs/methods/robis.md says, step by step,
on the same files. Printed per image: CPU seconds of both and their ratio, wall seconds of both, the MB/s that our stage
leaves on disk by the wall clock, and the load of the machine. Seconds are the least of the repeats; the process keeps
to one core. The rows are appended to ``history/cpu_stages.csv``.

    python benchmarks/cpu_stages.py                       # all eight categories
    python benchmarks/cpu_stages.py --categories rice --repeat 3
"""

import argparse
import os
import runpy
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
import torch
from history import append, history_of
from literal import binarization, cropping, merging, writing
from PIL import Image

from seamark.files.atomic import file_digest
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.tilemaps import CellGeometry, TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.running.job import Job
from seamark.settings.calibrate import CalibrateSettings
from seamark.submission.expected import OFFICIAL_SIZES

PROJECT = Path(__file__).parents[1]
GREY = ("sheet_metal", "vial", "wallplugs")
IMAGES = 3
SPLIT = "test_private"
INPUT_PX, CELLS, WINDOW_PX, OVERLAP = 518, 37, 1024, 0.1
SIGMA_PX = 16.0
PANEL_PX = 480
QUARTER = {"method": "robis", "scale": 0.25}
NATIVE = {"method": "exact", "scale": 1.0, "blend": "mean", "smooth_sigma_px": SIGMA_PX}
RULES = {"mean_std": {"k": 3.0, "scope": "split"}, "mebin": {"enabled": True}, "erode_px": 6}

LINE = (
    "  {stage:27} CPU s {cpu_s}, reference {reference_cpu_s}, ratio {ratio:>5}; wall s {wall_s}, reference "
    "{reference_wall_s}; {written_mb_per_s:>4} MB/s written; load {load}"
)

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the process, which do not count what else the machine does, and wall seconds."""

    cpu: float
    wall: float

    def __truediv__(self, images: int) -> "Cost":
        return Cost(self.cpu / images, self.wall / images)


Measured = tuple[str, Cost, Cost, float]
"""Stage, cost per image of ours and of the reference, MB per image that ours leaves on disk."""


def draw_photograph(shape: tuple[int, int], channels: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draw a cloudy texture with the noise of a camera."""
    rng = np.random.default_rng(seed)
    clouds = rng.uniform(60.0, 190.0, (shape[0] // 32 + 2, shape[1] // 32 + 2, channels)).astype(np.float32)
    texture = cv2.resize(clouds, shape[::-1], interpolation=cv2.INTER_CUBIC).reshape(*shape, channels)
    return np.clip(texture + rng.normal(0.0, 4.0, texture.shape), 0, 255).astype(np.uint8)


def draw_tile_maps(tiles: int, seed: int) -> Float32Array:
    """Draw smooth tile maps with a few peaks, whose height differs from image to image."""
    rng = np.random.default_rng(seed)
    noise = rng.gamma(2.0, 0.02, (tiles, CELLS, CELLS))
    peaks = rng.random((tiles, CELLS, CELLS)) > 0.995
    maps = [cv2.GaussianBlur(tile.astype(np.float32), (0, 0), 1.2) for tile in noise + peaks * rng.uniform(0.5, 3.0)]
    return np.stack(maps).astype(np.float32)


def least(repeat: int, work: Callable[[], object]) -> Cost:
    """Return the least CPU and the least wall seconds of several runs."""
    costs = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        costs.append(Cost(time.process_time() - cpu, time.perf_counter() - wall))
    return Cost(min(cost.cpu for cost in costs), min(cost.wall for cost in costs))


def folder_mb(folder: Path) -> float:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


@dataclass
class Bench:
    """One category in a folder of its own."""

    folder: Path
    category: str
    repeat: int

    @property
    def data(self) -> Path:
        """Data root."""
        return self.folder / "data"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the photographs."""
        return OFFICIAL_SIZES[self.category][1], OFFICIAL_SIZES[self.category][0]

    def out(self, stage: str, split: str = SPLIT) -> Path:
        """Manifest of a stage."""
        return self.folder / stage / self.category / f"{split}.json"

    def stage(
        self, rule: str, inputs: Mapping[str, Any], outputs: Mapping[str, Path], split: str = SPLIT, **params: Any
    ) -> Callable[[], None]:
        """Return a call of a stage as a run would make it, on one thread."""
        main = runpy.run_path(str(PROJECT / "stages" / f"{rule}.py"))["main"]
        base = {"root": str(self.data), "truth_root": None, "layout": "mvtec_ad_2", "files": None}
        wildcards = {"category": self.category, "split": split}
        for path in outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        return lambda: main(Job.for_test(rule, inputs, outputs, base | params, wildcards))

    def draw(self) -> None:
        """Draw photographs and index them."""
        for place, count in (("train/good", 1), ("validation/good", 1), (SPLIT, IMAGES)):
            target = self.data / self.category / place
            target.mkdir(parents=True)
            for number in range(count):
                pixels = draw_photograph(self.shape, 1 if self.category in GREY else 3, number)
                Image.fromarray(pixels.squeeze()).save(target / f"{number:03d}_regular.png", compress_level=4)
        index = {"manifest": self.out("index", "all")}
        self.stage("index", {}, index)()
        self.stage("truth", {"index": index["manifest"]}, {"manifest": self.out("truth", "all")})()

    def photographs(self) -> list[Path]:
        """Photographs of the measured split."""
        return sorted((self.data / self.category / SPLIT).glob("*.png"))

    def crop(self) -> Iterator[Measured]:
        """Decode, cut, resize and store tiles; literally: write windows as PNG, read and resize them."""
        grid = {"layout": "padded", "window_px": WINDOW_PX, "overlap": OVERLAP, "input_px": INPUT_PX}
        for split in ("validation", SPLIT):
            manifest = self.out("tiles", split)
            outputs = {"manifest": manifest, "tiles": manifest.with_suffix(".npy")}
            work = self.stage("crop", {"index": self.out("index", "all")}, outputs, split, settings=grid)
            seconds = least(self.repeat if split == SPLIT else 1, work)
        scratch = self.folder / "literal_tiles"
        scratch.mkdir()

        def literally() -> None:
            for path in self.photographs():
                for tile in cropping.crop(path, scratch, WINDOW_PX, OVERLAP):
                    cropping.network_input(tile, INPUT_PX)

        reference = least(self.repeat, literally)
        megabytes = self.out("tiles").with_suffix(".npy").stat().st_size / 1e6
        yield "crop", seconds / IMAGES, reference / IMAGES, megabytes / IMAGES

    def score(self, split: str, seed: int) -> Path:
        """Write drawn tile maps in place of a detector's."""
        tiles = read_manifest(self.out("tiles", split), TilesManifest)
        path = self.out("tilemaps", split).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        per_image = tiles.shape[0] // len(tiles.images)
        scores = np.concatenate([draw_tile_maps(per_image, seed + number) for number in range(len(tiles.images))])
        np.save(path, scores)
        cell = INPUT_PX / CELLS
        manifest = TilemapsManifest(
            detector="drawn",
            category=self.category,
            split=tiles.split,
            file=path.name,
            shape=(len(scores), CELLS, CELLS),
            sha256=file_digest(path),
            tiles_sha256=tiles.sha256,
            minimum=float(scores.min()),
            maximum=float(scores.max()),
            cells=CellGeometry(stride_px=(cell, cell), offset_px=(cell / 2, cell / 2)),
        )
        write_manifest(self.out("tilemaps", split), manifest)
        return path

    def merge_stage(self, name: str, settings: Mapping[str, Any], split: str = SPLIT) -> Callable[[], None]:
        """Return a call of merge into a folder of this name."""
        tilemaps = self.out("tilemaps", split)
        inputs = {"tiles": self.out("tiles", split), "tilemaps": tilemaps, "tilemaps_npy": tilemaps.with_suffix(".npy")}
        return self.stage("merge", inputs, {"manifest": self.out(name, split)}, split, settings=settings)

    def merge(self) -> Iterator[Measured]:
        """Merge at the size of the image, and at a quarter of it as released."""
        arrays = {split: self.score(split, seed) for seed, split in ((100, "validation"), (200, SPLIT))}
        self.merge_stage("maps", NATIVE, "validation")()
        cells = np.load(arrays[SPLIT])
        groups = np.split(cells, IMAGES)
        scratch = self.folder / "literal_maps"
        scratch.mkdir()

        def natively() -> None:
            for number, group in enumerate(groups):
                merging.merge_native(group, self.shape, WINDOW_PX, SIGMA_PX, scratch / f"{number}.tiff")

        def at_a_quarter() -> None:
            maps = merging.tile_maps_256(cells, INPUT_PX)
            lowest, highest = float(maps.min()), float(maps.max())
            for number, group in enumerate(np.split(maps, IMAGES)):
                tiles = merging.write_tile_maps(group, scratch, lowest, highest)
                merging.merge_quarter(tiles, self.shape, scratch / f"quarter_{number}.tiff")

        for name, folder, settings, literally in (
            ("merge, native", "maps", NATIVE, natively),
            ("merge, quarter as released", "quarter", QUARTER, at_a_quarter),
        ):
            seconds = least(self.repeat, self.merge_stage(folder, settings))
            reference = least(self.repeat, literally)
            megabytes = folder_mb(self.out(folder).with_suffix(""))
            yield name, seconds / IMAGES, reference / IMAGES, megabytes / IMAGES

    def maps(self, folder: str = "maps") -> list[Path]:
        """Return the maps of the measured split."""
        return sorted(self.out(folder).with_suffix("").glob("*.tiff"))

    def calibrate(self) -> Iterator[Measured]:
        """Exact statistics; literally: pool and sort all pixels."""
        quantiles = CalibrateSettings().quantiles
        inputs = {"maps": [self.out("maps", split) for split in ("validation", SPLIT)]}
        target = self.out("calibration", "all")
        outputs = {"manifest": target, "histogram": target.with_suffix(".npy")}
        seconds = least(self.repeat, self.stage("calibrate", inputs, outputs, settings={"quantiles": quantiles}))
        validation = sorted(self.out("maps", "validation").with_suffix("").glob("*.tiff"))
        reference = least(
            self.repeat, lambda: [writing.statistics(paths, quantiles) for paths in (validation, self.maps())]
        )
        yield "calibrate", seconds / (IMAGES + 1), reference / (IMAGES + 1), 0.0

    def binarize(self) -> Iterator[Measured]:
        """Mean + 3 std or MEBin."""
        inputs = {"maps": self.out("maps"), "calibration": self.out("calibration", "all")}
        manifest = self.out("coarse")
        seconds = least(self.repeat, self.stage("binarize", inputs, {"manifest": manifest}, settings=RULES))
        target = self.folder / "literal"
        target.mkdir()

        def literally() -> None:
            raw = [tifffile.imread(path) for path in self.maps()]
            lowest, highest = min(one.min() for one in raw), max(one.max() for one in raw)
            maps = [binarization.stretch(one, lowest, highest) for one in raw]
            peaks = [float(one.max()) for one in maps]
            threshold = binarization.mean_std_threshold(maps)
            for path, one in zip(self.maps(), maps, strict=True):
                mask = binarization.coarse_mask(one, threshold, min(peaks), max(peaks))
                Image.fromarray(mask).save(target / f"{path.stem}.png")

        reference = least(self.repeat, literally)
        ours = [np.asarray(Image.open(path)) for path in sorted(manifest.with_suffix("").glob("*.png"))]
        theirs = [np.asarray(Image.open(path)) for path in sorted(target.glob("*.png"))]
        differing = np.mean([np.mean(one != other) for one, other in zip(ours, theirs, strict=True)])
        print(f"  masks differ in {differing:.1e} of the px (float16 there), {np.mean(ours) / 255:.1%} foreground")
        yield "binarize, both rules", seconds / IMAGES, reference / IMAGES, 0.0
        inputs = {"index": self.out("index", "all"), "masks": manifest}
        self.stage("refine", inputs, {"manifest": self.out("refined")}, settings={"method": "none"})()

    def preview(self) -> Iterator[Measured]:
        """Draw strips."""
        inputs = {
            "index": self.out("index", "all"),
            "truth": self.out("truth", "all"),
            "maps": self.out("maps"),
            "calibration": self.out("calibration", "all"),
            "coarse": self.out("coarse"),
            "refined": self.out("refined"),
        }
        work = self.stage("preview", inputs, {"manifest": self.out("preview")}, settings={"panel_px": PANEL_PX})
        seconds = least(self.repeat, work)

        def literally() -> None:
            for photograph, scores, masks in zip(self.photographs(), self.maps(), self.masks(), strict=True):
                writing.overlay(photograph, scores, masks, self.folder / "strip.jpg", PANEL_PX)

        reference = least(self.repeat, literally)
        yield "preview", seconds / IMAGES, reference / IMAGES, folder_mb(self.out("preview").parent) / IMAGES

    def masks(self) -> list[tuple[Path, Path]]:
        """Coarse and refined mask of every image of the measured split."""
        pairs = []
        for coarse, refined in zip(
            *(read_manifest(self.out(stage), MasksManifest).masks for stage in ("coarse", "refined")), strict=True
        ):
            pairs.append((self.out("coarse").parent / coarse.file, self.out("refined").parent / refined.file))
        return pairs

    def package(self) -> Iterator[Measured]:
        """Write, check and pack."""
        archive = self.folder / "submissions" / "bench.tar.gz"
        outputs = {
            "archive": archive,
            "check": archive.with_name("bench.check.json"),
            "provenance": archive.with_name("bench.provenance.json"),
        }
        inputs = {
            "index": [self.out("index", "all")],
            "maps": [self.out("maps")],
            "masks": [self.out("refined")],
        }
        work = self.stage("package", inputs, outputs, settings={"allow_partial": True}, run="bench")
        seconds = least(self.repeat, work)
        maps = {f"anomaly_images/{path.name}": path for path in self.maps()}
        masks = {f"anomaly_images_thresholded/{refined.name}": refined for _, refined in self.masks()}
        tree = self.folder / "literal_submission"

        def literally() -> None:
            shutil.rmtree(tree, ignore_errors=True)
            writing.package(maps, masks, tree, self.folder / "literal.tar.gz")

        reference = least(self.repeat, literally)
        yield "package", seconds / IMAGES, reference / IMAGES, folder_mb(archive.parent) / IMAGES

    def measure(self) -> Iterator[Measured]:
        """Run everything in order."""
        self.draw()
        for part in (self.crop, self.merge, self.calibrate, self.binarize, self.preview, self.package):
            yield from part()


def rows(categories: Sequence[str], repeat: int) -> Iterator[dict[str, str]]:
    """Measure the categories one after the other and print every line as it comes."""
    for category in categories:
        width, height = OFFICIAL_SIZES[category]
        print(f"{category}, {width} x {height} px, {'grey' if category in GREY else 'RGB'}")
        with tempfile.TemporaryDirectory() as folder:
            for stage, ours, reference, megabytes in Bench(Path(folder), category, repeat).measure():
                row = {
                    "category": category,
                    "width": str(width),
                    "height": str(height),
                    "stage": stage,
                    "cpu_s": f"{ours.cpu:.4f}",
                    "reference_cpu_s": f"{reference.cpu:.4f}",
                    "ratio": f"{reference.cpu / ours.cpu:.1f}",
                    "wall_s": f"{ours.wall:.4f}",
                    "reference_wall_s": f"{reference.wall:.4f}",
                    "written_mb_per_s": f"{megabytes / ours.wall:.0f}" if megabytes else "",
                    "load": f"{os.getloadavg()[0]:.1f}",
                }
                print(LINE.format_map(row))
                yield row


def main() -> None:
    """Keep to one core, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--categories", nargs="+", choices=OFFICIAL_SIZES, default=list(OFFICIAL_SIZES))
    parser.add_argument("--repeat", type=int, default=2, help="runs of everything, of which the quickest counts")
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_NUM_THREADS": "1"})
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    measured = list(rows(options.categories, options.repeat))
    append(options.csv, measured)


if __name__ == "__main__":
    main()
