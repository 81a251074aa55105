"""Measure when a browser first paints a report of many images from disk, and when the first thumbnail is there.

The report is that of a small run of the tests whose records are repeated to ``--images`` per category; every record has
its own name and numbers, and the files of four images serve all. A headless Chromium opens it and an almost empty page
in turn, each time with an empty profile; before, all files are written back and dropped from the system's memory, so
that they come from disk. Milliseconds are the browser's own, from the start of the navigation. They grow with whatever
else the machine does, so the empty page, CPU milliseconds of the page's main thread and the load stand beside them.
Prints a line and appends it to ``history/report_first_paint.csv``.

    python benchmarks/report_first_paint.py
    python benchmarks/report_first_paint.py --images 2000 --categories 8
"""

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from history import append, history_of
from tests.browser.chromium import FLAGS, PATIENCE_MS, find_chromium
from tests.browser.many_images import report_of_many_images

EMPTY = "<!DOCTYPE html><title>empty</title><p>A page of one line."
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
FIRST_THUMBNAIL = """() => new Promise((resolve) => {
  document.querySelector('.gallery').scrollIntoView();
  const look = () => {
    const image = document.querySelector('.shot img');
    image?.complete && image.naturalWidth ? resolve(performance.now()) : requestAnimationFrame(look);
  };
  look();
})"""


def forget(folder: Path) -> None:
    """Write all files of a folder back and drop them from the system's file cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


@dataclass(frozen=True)
class Opened:
    """How long a page took, in milliseconds."""

    paint: float
    """To the first contentful paint."""
    thumbnail: float
    """To the first thumbnail; 0 for a page without."""
    cpu: float
    """CPU time of the main thread until the page was loaded and painted."""


def measure(browser: Browser, page: Path, script: str | None = None) -> Opened:
    """Open a page in an empty profile, wait for its first paint and run a script."""
    forget(page.parent.parent)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        devtools = context.new_cdp_session(opened)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        opened.goto(page.as_uri())
        painted = opened.wait_for_function(FIRST_PAINT).json_value()
        metrics = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
        return Opened(painted, opened.evaluate(script) if script else 0.0, 1000.0 * metrics["TaskDuration"])
    finally:
        context.close()


def main() -> None:
    """Build the report, measure, print and append the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="images per category")
    parser.add_argument("--categories", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit("no Chromium is installed; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        categories = tuple(f"grey_{number}" for number in range(arguments.categories))
        page = report_of_many_images(folder / "run", arguments.images, categories)
        empty = folder / "empty/page/index.html"
        empty.parent.mkdir(parents=True)
        empty.write_text(EMPTY)
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        measure(browser, empty)
        empties, reports = [], []
        for _ in range(arguments.repeat):
            empties.append(measure(browser, empty))
            reports.append(measure(browser, page, FIRST_THUMBNAIL))
        browser.close()
        row = {
            "images": arguments.images,
            "categories": arguments.categories,
            "first_paint_ms": round(statistics.median(one.paint for one in reports)),
            "least_first_paint_ms": round(min(one.paint for one in reports)),
            "first_thumbnail_ms": round(statistics.median(one.thumbnail for one in reports)),
            "main_thread_cpu_ms": round(statistics.median(one.cpu for one in reports)),
            "empty_page_ms": round(statistics.median(one.paint for one in empties)),
            "empty_page_cpu_ms": round(statistics.median(one.cpu for one in empties)),
            "page_kb": round(page.stat().st_size / 1000),
            "data_kb": round(sum(path.stat().st_size for path in page.parent.glob("gallery/images/*")) / 1000),
            "load": f"{os.getloadavg()[0]:.1f}",
        }
    print(", ".join(f"{key} {value}" for key, value in row.items()))
    append(history_of(__file__), [row])


if __name__ == "__main__":
    main()
