"""Time the checker on a packed submission of full-size maps, and what each of its looks costs.

Draws smooth noise maps (2448 x 2048 px) with masks, packs them as the stage does, and then, in turn and in one run:
reads the archive for names and sizes only, as the checker once did; compares it with the folder byte by byte; decodes
every file of the folder and judges it; looks at nothing but whether files are whole; and decodes the archive without
its folder. One thread; the files lie in the system's cache. Prints a line per form and appends it to
``history/checker_speed.csv``.

    python benchmarks/checker_speed.py --folder <an empty folder> --maps 40
"""

import argparse
import gzip
import os
import shutil
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
from history import append, history_of
from package_speed import HEIGHT, PLACE, WIDTH, draw, in_threads, package

from seamark.files.wholeness import require_whole_png, require_whole_tiff
from seamark.submission.archive import CHUNK_BYTES, submission_files
from seamark.submission.checker import check_archive, check_submission
from seamark.submission.expected import ExpectedImage, ExpectedSubmission
from seamark.submission.members import archive_violations, member_violations


def names_and_sizes(archive: Path, folder: Path) -> None:
    """Unpack the archive and look at the headers of its members."""
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK_BYTES) as members:
        require_nothing(member_violations(archive.name, members, folder.name, submission_files(folder)))


def contents(archive: Path, folder: Path) -> None:
    """Compare all bytes, too, and read the archive to its end."""
    require_nothing(archive_violations(archive, folder.name, submission_files(folder)))


def require_nothing(found: object) -> None:
    """Make sure that what is timed is the way of a right archive."""
    if lines := list(found):  # type: ignore[call-overload]
        raise ValueError(lines)


def whole(folder: Path) -> None:
    """Read every file and see whether it is whole."""
    for path in submission_files(folder).values():
        (require_whole_png if path.suffix == ".png" else require_whole_tiff)(path.read_bytes())


def measure(form: Callable[[], object]) -> tuple[float, float]:
    """Return CPU and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    form()
    return time.process_time() - cpu, time.perf_counter() - wall


def peak_mb(form: Callable[[], object]) -> float:
    """Return the most memory that Python's and NumPy's objects take while a form runs."""
    tracemalloc.start()
    form()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def rows(folder: Path, count: int, repeat: int) -> list[dict[str, str]]:
    """Measure the forms in turn; the least of the repeats counts."""
    (folder / "drawn").mkdir()
    images = draw(folder / "drawn", count)
    package(images, 1, folder)
    archive, submission = folder / "run.tar.gz", folder / "run"
    listed = tuple(ExpectedImage(image.name, WIDTH, HEIGHT) for image in images)
    expected = ExpectedSubmission({PLACE.parts[0]: {"test_private": listed}}, 1.0)
    forms = {
        "names and sizes": partial(names_and_sizes, archive, submission),
        "contents": partial(contents, archive, submission),
        "folder decoded": partial(check_submission, submission, expected, partial(in_threads, 1)),
        "of that, whether files are whole": partial(whole, submission),
        "archive decoded": partial(check_archive, archive, expected),
    }
    runs = {name: [measure(form) for _ in range(repeat)] for name, form in forms.items()}
    least = {name: (min(cpu for cpu, _ in costs), min(wall for _, wall in costs)) for name, costs in runs.items()}
    return [
        {
            "form": name,
            "cpu_s_per_map": f"{cpu / count:.4f}",
            "wall_s_per_map": f"{wall / count:.4f}",
            "to_names_and_sizes_cpu": f"{cpu / least['names and sizes'][0]:.2f}",
            "peak_mb": f"{peak_mb(forms[name]):.0f}",
            "archive_mb": f"{archive.stat().st_size / 1e6:.0f}",
            "load": f"{os.getloadavg()[0]:.1f}",
        }
        for name, (cpu, wall) in least.items()
    ]


def main() -> None:
    """Draw, measure, print, write the table, and remove what was written to the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where to write; new or empty")
    parser.add_argument("--maps", type=int, default=40)
    parser.add_argument("--repeat", type=int, default=2, help="runs of every form, of which the quickest counts")
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    if any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    table = rows(options.folder, options.maps, options.repeat)
    shutil.rmtree(options.folder)
    for row in table:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    append(options.csv, table)


if __name__ == "__main__":
    main()
