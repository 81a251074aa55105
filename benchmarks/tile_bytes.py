"""Bytes of the stored tiles of finished runs: beside their photographs, and what lossless codecs would make of them.

For each category and grid, the photographs' files, their pixels in memory and the tiles on disk in MB, with the copies
under another light that some splits have. Then, for a sample of tiles of every split, one by one as they are read: how
many times smaller each codec makes them, and what decoding takes in MB/s of pixels and as a share of scoring a tile
(0.25 s, or ``--score-s``), in processor seconds on one thread. Codecs whose package is missing are left out; none but
zlib, PNG and WebP comes with Seamark. Appends to ``history/tile_bytes.csv``. In the folder that holds ``out``:

    pip install --target codecs blosc2 zstandard imagecodecs
    PYTHONPATH=src:codecs python benchmarks/tile_bytes.py out/demo
"""

import argparse
import importlib
import json
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from history import append, history_of

from seamark.files.images import UInt8Array
from seamark.manifests.base import read_manifest
from seamark.manifests.index import IndexManifest
from seamark.manifests.tiles import TilesManifest
from seamark.tiles.stored import open_tiles

UP_FILTER = cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP
PAETH_FILTER = cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH
FAST, LOSSLESS = (cv2.IMWRITE_PNG_COMPRESSION, 1), (cv2.IMWRITE_WEBP_QUALITY, 101)


class Codec(NamedTuple):
    """How a tile is packed and unpacked."""

    pack: Callable[[UInt8Array], bytes]
    unpack: Callable[[bytes], object]


def _by_opencv(suffix: str, *options: tuple[int, int]) -> Codec:
    flat = [number for pair in options for number in pair]
    return Codec(
        lambda tile: cv2.imencode(suffix, tile, flat)[1].tobytes(),
        lambda packed: cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED),
    )


def codecs() -> Iterator[tuple[str, Codec]]:
    """Yield what can be tried here."""
    yield "zlib 1", Codec(lambda tile: zlib.compress(tile.tobytes(), 1), zlib.decompress)
    yield "PNG, up, 1", _by_opencv(".png", UP_FILTER, FAST)
    yield "PNG, Paeth, 1", _by_opencv(".png", PAETH_FILTER, FAST)
    yield "WebP, lossless", _by_opencv(".webp", LOSSLESS)
    if zstd := _package("zstandard"):
        yield (
            "Zstandard 1",
            Codec(lambda tile: zstd.ZstdCompressor(1).compress(tile.tobytes()), zstd.ZstdDecompressor().decompress),
        )
    if blosc := _package("blosc2"):
        blosc.set_nthreads(1)
        for name, filters in (("shuffled bits", blosc.Filter.BITSHUFFLE), ("deltas", blosc.Filter.DELTA)):
            settings = blosc.CParams(codec=blosc.Codec.ZSTD, clevel=1, typesize=1, filters=[filters], nthreads=1)
            yield (
                f"Blosc2, {name}",
                Codec(
                    lambda tile, settings=settings: blosc.compress2(tile.tobytes(), cparams=settings), blosc.decompress2
                ),
            )
    if images := _package("imagecodecs"):
        yield "JPEG-LS", Codec(images.jpegls_encode, images.jpegls_decode)
        yield (
            "JPEG XL, lossless, 1",
            Codec(
                lambda tile: images.jpegxl_encode(tile, lossless=True, effort=1, numthreads=1),
                lambda packed: images.jpegxl_decode(packed, numthreads=1),
            ),
        )


def _package(name: str):  # type: ignore[no-untyped-def]  # a module of whatever package is there
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def sizes(run: Path, manifests: list[tuple[Path, TilesManifest]]) -> Iterator[dict[str, object]]:
    """Yield what photographs and tiles of each category and grid take, in MB."""
    recorded = manifests[0][0].with_suffix(".prov.json").read_text(encoding="utf-8")
    data = Path(json.loads(recorded)["params"]["root"])
    for category in sorted({tiles.category for _, tiles in manifests}):
        indexes = [
            read_manifest(path, IndexManifest)
            for path in (run / "00_index" / category).glob("*[a-z].json")
            if not path.name.endswith((".truth.json", ".prov.json"))
        ]
        images = [image for index in indexes for image in index.images]
        row: dict[str, object] = {"category": category, "photographs": len(images)}
        row["files_mb"] = sum((data / image.file).stat().st_size for image in images) / 1e6
        row["pixels_mb"] = sum(image.width * image.height * image.channels for image in images) / 1e6
        for path, tiles in manifests:
            if tiles.category == category:
                key = f"{path.parent.parent.name}_mb"
                row[key] = float(row.get(key, 0.0)) + (path.parent / tiles.file).stat().st_size / 1e6  # type: ignore[arg-type]
        yield row


def tried(path: Path, tiles: TilesManifest, sample: int, score_s: float) -> Iterator[dict[str, object]]:
    """Yield what each codec does to some tiles of a split."""
    pixels = open_tiles(path.parent / tiles.file, tiles)
    chosen = [np.array(pixels[place]) for place in np.linspace(0, len(pixels) - 1, sample).astype(int)]
    size = sum(tile.nbytes for tile in chosen)
    for name, codec in codecs():
        start = time.process_time()
        packed = [codec.pack(tile) for tile in chosen]
        middle = time.process_time()
        for one in packed:
            codec.unpack(one)
        spent = time.process_time() - middle
        yield {
            "category": tiles.category,
            "grid": path.parent.parent.name,
            "split": tiles.split,
            "codec": name,
            "times_smaller": round(size / sum(map(len, packed)), 2),
            "written_mb_per_s": round(size / 1e6 / (middle - start)),
            "read_mb_per_s": round(size / 1e6 / spent),
            "share_of_scoring": round(spent / sample / score_s, 4),
        }


def main() -> None:
    """Measure, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs that kept their tiles, as out/demo")
    parser.add_argument("--categories", nargs="+", help="some of its categories; all without it")
    parser.add_argument("--sample", type=int, default=24, help="tiles of a split")
    parser.add_argument("--score-s", type=float, default=0.25, help="processor seconds of scoring a tile")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows: list[dict[str, object]] = []
    for run in options.runs:
        files = [path for path in sorted(run.glob("10_tiles/*/*/*.json")) if not path.name.endswith(".prov.json")]
        manifests = [
            (path, read_manifest(path, TilesManifest))
            for path in files
            if not options.categories or path.parent.name in options.categories
        ]
        rows += sizes(run, manifests)
        for path, tiles in manifests:
            if path.parent.parent.name == "tile" and tiles.split in ("train", "validation", "validation_variants"):
                rows += tried(path, tiles, options.sample, options.score_s)
    for row in rows:
        print("  ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    append(history_of(__file__), rows)


if __name__ == "__main__":
    main()
