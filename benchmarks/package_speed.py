"""Time package on full-size maps against the disk and against the plain form of the same work.

Draws smooth noise maps (2448 x 2048 px, float32) and masks into a folder, then, in turn and in one run: writes, checks
and packs them as the stage does; does the same plainly, one question per pass, as the stage once did (NumPy's rounding
and counts, zlib's run lengths, the finished archive read back); and writes the same bytes to the same disk in large
blocks. All three end with the files on disk (fsync). CPU seconds are those of all threads and of no other process.
Prints a line per form and appends it to ``history/package_speed.csv``.

    python benchmarks/package_speed.py --folder <an empty folder> --maps 6 --threads 2
"""

import argparse
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from history import append, history_of

from seamark.files.atomic import file_digest
from seamark.files.images import array_digest, read_mask, write_map, write_mask
from seamark.files.plain import read_plain_file
from seamark.manifests.maps import MapRecord
from seamark.maps.stored import load_map
from seamark.masks.stored import save_mask
from seamark.submission.archive import submission_files
from seamark.submission.expected import MAPS_FOLDER, MASKS_FOLDER, ExpectedImage, ExpectedSubmission
from seamark.submission.images import SubmittedImage
from seamark.submission.inspection import inspect_mask
from seamark.submission.members import archive_violations
from seamark.submission.writing import pack_submission, write_submission

WIDTH, HEIGHT = 2448, 2048
PLACE = Path("drawn", "test_private")
PART_BYTES = 1 << 20
DISK_BYTES = 1 << 23
TABLE = 1 << 25
FEW = 1 << 20

Form = Callable[[Path], object]


def draw_map(number: int) -> npt.NDArray[np.float32]:
    """Draw a cloudy score map with a few peaks and the fine differences of sums of float32."""
    rng = np.random.default_rng(number)
    cells = rng.gamma(2.0, 0.02, (HEIGHT // 14, WIDTH // 14)).astype(np.float32)
    cells += (rng.random(cells.shape) > 0.999) * np.float32(2.0)
    clouds = cv2.resize(cells, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(clouds, (0, 0), 16.0)


def draw(folder: Path, count: int) -> list[SubmittedImage]:
    """Write maps and the masks of their highest percent."""
    images = []
    for number in range(count):
        scores, name = draw_map(number), f"{number:03d}_regular"
        write_map(folder / f"{name}.tiff", scores)
        mask = save_mask(folder, ".", name, scores > np.quantile(scores[::8, ::8], 0.99))
        record = MapRecord(
            id=name,
            file=f"{name}.tiff",
            image_width=WIDTH,
            image_height=HEIGHT,
            map_width=WIDTH,
            map_height=HEIGHT,
            sha256=array_digest(scores),
            minimum=float(scores.min()),
            maximum=float(scores.max()),
            mean=float(scores.mean()),
        )
        place = (PLACE / name).as_posix()
        images.append(
            SubmittedImage(
                place, PLACE.parts[0], "test_private", name, WIDTH, HEIGHT, folder / "maps.json", record,
                folder / "masks.json", mask,
            )
        )  # fmt: skip
    return images


def in_threads(threads: int, function: Callable[[Any], Any], items: Sequence[Any], _: str = "") -> list[Any]:
    """Apply a function to every item."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def package(images: Sequence[SubmittedImage], threads: int, target: Path) -> None:
    """Do what the stage does."""
    listed = tuple(ExpectedImage(image.name, WIDTH, HEIGHT) for image in images)
    expected = ExpectedSubmission({PLACE.parts[0]: {"test_private": listed}}, 1.0)
    work, folder = partial(in_threads, threads), target / "run"
    written = write_submission(folder, images, expected, work)
    archive, check = target / "run.tar.gz", target / "run.check.json"
    refused = target / "run.check.failed.json"
    pack_submission(folder, expected, archive, check, work, refused=refused, known=written.facts, threads=threads)


def plain_distinct(scores: npt.NDArray[np.float32]) -> int:
    """Mark the bit patterns of four octaves after the other, sort the last ones."""
    bits = (scores.ravel() + np.float32(0.0)).view(np.uint32)
    distinct = 0
    while bits.size > FEW:
        bits = bits - bits.min()
        near = bits < TABLE
        seen = np.zeros(TABLE, dtype=np.bool_)
        seen[bits[near].astype(np.intp)] = True
        distinct += int(np.count_nonzero(seen))
        bits = bits[~near]
    return distinct + int(np.unique(bits).size)


def plainly_written(folder: Path, image: SubmittedImage) -> tuple[int, int, int, bool]:
    """Round, write, count and read again one map and its mask."""
    scores = load_map(image.maps, image.anomaly_map)
    if not np.abs(scores).max() <= 65504.0:
        raise ValueError(image.name)
    halves = scores.astype(np.float16)
    target = folder / MAPS_FOLDER / PLACE / f"{image.name}.tiff"
    tifffile.imwrite(target, halves, byteorder="<", photometric="minisblack", metadata=None)
    pixels = np.bincount(halves.view(np.uint16).ravel(), minlength=1 << 16)
    underflow = int(np.count_nonzero(scores)) - (halves.size - int(pixels[0] + pixels[0x8000]))
    mask = folder / MASKS_FOLDER / PLACE / f"{image.name}.png"
    write_mask(mask, read_mask(image.masks.parent / image.mask.file))
    inspect_mask(image.name, partial(read_plain_file, mask), [(WIDTH, HEIGHT)])
    again = np.bincount(tifffile.imread(target).view(np.uint16).ravel(), minlength=1 << 16)
    return plain_distinct(scores), int(np.count_nonzero(pixels)), underflow, bool((pixels == again).all())


class PlainGzip:
    """Run lengths and Huffman codes of zlib, part by part in threads."""

    def __init__(self, path: Path, threads: int) -> None:
        self.file, self.pool = path.open("wb"), ThreadPoolExecutor(threads)
        self.file.write(b"\x1f\x8b\x08" + bytes(5) + b"\x04\xff")
        self.check_sum, self.size, self.waiting = 0, 0, []

    def write(self, content: bytes) -> None:
        """Take a part, as tarfile gives it."""
        self.check_sum, self.size = zlib.crc32(content, self.check_sum), self.size + len(content)
        self.waiting.append(self.pool.submit(self.compressed, content))
        if len(self.waiting) > 8:
            self.file.write(self.waiting.pop(0).result())

    @staticmethod
    def compressed(content: bytes, ending: int = zlib.Z_SYNC_FLUSH) -> bytes:
        """Compress one part."""
        compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
        return compressor.compress(content) + compressor.flush(ending)

    def finish(self) -> None:
        """Write what is left."""
        self.file.writelines(part.result() for part in self.waiting)
        self.file.write(self.compressed(b"", zlib.Z_FINISH))
        self.file.write(self.check_sum.to_bytes(4, "little") + (self.size & 0xFFFFFFFF).to_bytes(4, "little"))
        self.file.close()
        self.pool.shutdown()


def package_plainly(images: Sequence[SubmittedImage], threads: int, target: Path) -> None:
    """Write, pack, read the archive back, then its digest."""
    folder, archive = target / "run", target / "run.tar.gz"
    for kind in (MAPS_FOLDER, MASKS_FOLDER):
        (folder / kind / PLACE).mkdir(parents=True)
    in_threads(threads, partial(plainly_written, folder), images)
    files, compressed = submission_files(folder), PlainGzip(archive, threads)
    with tarfile.open(fileobj=compressed, mode="w|", bufsize=PART_BYTES) as members:  # type: ignore[call-overload]
        for name, path in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                members.addfile(entry, content)
    compressed.finish()
    if list(archive_violations(archive, folder.name, files)):
        raise ValueError(archive)
    file_digest(archive)


def write_bytes(contents: Sequence[bytes], target: Path) -> None:
    """Write bytes in large blocks."""
    with (target / "bytes").open("wb", buffering=0) as stream:
        for content in contents:
            for start in range(0, len(content), DISK_BYTES):
                stream.write(content[start : start + DISK_BYTES])


def measure(form: Form, target: Path) -> tuple[float, float]:
    """Return CPU and wall seconds of a form until all its files are on disk."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    os.sync()
    wall, cpu = time.perf_counter(), time.process_time()
    form(target)
    for path in target.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return time.process_time() - cpu, time.perf_counter() - wall


def rows(folder: Path, count: int, threads: int, repeat: int) -> list[dict[str, str]]:
    """Measure the forms in turn; the least of the repeats counts."""
    drawn, ours, plain, disk = (folder / name for name in ("drawn", "ours", "plain", "disk"))
    drawn.mkdir(parents=True)
    images = draw(drawn, count)
    package(images[:1], 1, folder / "first")  # compiles what is compiled and starts what is started once
    runs: dict[str, list[tuple[float, float]]] = {"package": [], "plainly": [], "disk": []}
    for _ in range(repeat):
        runs["package"].append(measure(partial(package, images, threads), ours))
        runs["plainly"].append(measure(partial(package_plainly, images, threads), plain))
        contents = [path.read_bytes() for path in sorted(ours.rglob("*")) if path.is_file()]
        runs["disk"].append(measure(partial(write_bytes, contents), disk))
    sizes = {place: (place / "run.tar.gz").stat().st_size for place in (ours, plain)}
    written = sum(map(len, contents))
    least = {form: (min(cpu for cpu, _ in costs), min(wall for _, wall in costs)) for form, costs in runs.items()}
    return [
        {
            "form": form,
            "cpu_s_per_map": f"{cpu / count:.4f}",
            "wall_s_per_map": f"{wall / count:.4f}",
            "plain_to_this_cpu": f"{least['plainly'][0] / cpu:.1f}" if form != "disk" else "",
            "maps_in_mb_per_s": f"{count * WIDTH * HEIGHT * 4 / wall / 1e6:.0f}" if form != "disk" else "",
            "archive_out_mb_per_s": f"{sizes[place] / wall / 1e6:.0f}" if form != "disk" else "",
            "written_mb_per_s": f"{written / wall / 1e6:.0f}",
            "written_mb_per_cpu_s": f"{written / cpu / 1e6:.0f}",
            "share_of_disk": f"{least['disk'][1] / wall:.2f}",
            "archive_mb_per_map": f"{sizes[place] / count / 1e6:.3f}" if form != "disk" else "",
            "load": f"{os.getloadavg()[0]:.1f}",
        }
        for (form, (cpu, wall)), place in zip(least.items(), (ours, plain, ours), strict=True)
    ]


def main() -> None:
    """Draw, measure, print, write the table, and remove what was written to the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where to write, on the disk to measure; new or empty"
    )
    parser.add_argument("--maps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeat", type=int, default=2, help="runs of every form, of which the quickest counts")
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    if any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    table = rows(options.folder, options.maps, options.threads, options.repeat)
    for path in options.folder.iterdir():
        shutil.rmtree(path)
    for row in table:
        print("  ".join(f"{name} {value}" for name, value in row.items() if value))
    append(options.csv, table)


if __name__ == "__main__":
    main()
