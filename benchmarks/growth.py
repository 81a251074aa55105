"""Growth of the default's CPU seconds, stage by stage, with the number of photographs and with their megapixels.

Draws coloured cloth and runs the default (``config.yaml`` with ``data.demo: false``) up to the report, each case in a
folder of its own: 10, 50 and 250 photographs to learn from (and a fifth as many for thresholds and as many with
defects) of 448 x 448 px; and two photographs to learn from, one for thresholds and one with defects of 1, 5 and 20
megapixels. Seconds are those of the processor that the provenance of the jobs tells, without their start. Prints, for
each stage, the seconds of each case and how they grew from the second to the last relative to photographs or
megapixels (1 is linear, less is slower), and appends the rows to ``history/growth.csv``. What was stopped goes on.

    python benchmarks/growth.py --folder /somewhere/growth
    python benchmarks/growth.py --folder /somewhere/growth --counts 2 4 --megapixels 0.2 0.4
"""

import argparse
import math
from pathlib import Path

from history import append, history_of
from line_scan import draw, draw_piece
from stage_costs import StageCost, run_default, stage_costs

SIDE_PX = 448
ASPECT = 1.25


def measured(folder: Path, train: int, tested: int, shape: tuple[int, int]) -> dict[str, StageCost]:
    """Draw, run, and return what the stages took."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"train/good": train, "validation/good": tested, "test_public/bad": tested}
    draw(folder / "data", counts, lambda number, bad: draw_piece(number, shape, 0 if bad else None))
    run_default(folder, "growth", ["report_page"])
    return stage_costs(folder / "out" / "growth")


def table(axis: str, cases: dict[float, dict[str, StageCost]]) -> list[dict[str, object]]:
    """Return a row per stage: seconds of each case, and their growth relative to that of what was varied."""
    rows: list[dict[str, object]] = []
    sizes = list(cases)
    for stage in cases[sizes[0]]:
        row: dict[str, object] = {"axis": axis, "stage": stage}
        row |= {f"cpu_s_{size:g}": round(costs[stage].cpu_s, 1) for size, costs in cases.items()}
        (before, after), (small, large) = ([cases[size][stage].cpu_s for size in sizes[-2:]], sizes[-2:])
        rows.append(row | {"growth": round(after / max(before, 0.01) / (large / small), 2)})
    return rows


def main() -> None:
    """Measure both axes, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where photographs and runs lie")
    parser.add_argument("--counts", type=int, nargs="*", default=[10, 50, 250], help="photographs to learn from")
    parser.add_argument("--megapixels", type=float, nargs="*", default=[1, 5, 20], help="sizes of photographs")
    options = parser.parse_args()
    folder, rows = options.folder.resolve(), []
    if len(options.counts) > 1:
        square = SIDE_PX, SIDE_PX
        cases = {n: measured(folder / f"count_{n}", n, math.ceil(n / 5), square) for n in options.counts}
        rows += table("photographs", cases)
    if len(options.megapixels) > 1:
        shapes = {size: round(math.sqrt(1e6 * size / ASPECT)) for size in options.megapixels}
        cases = {
            size: measured(folder / f"megapixels_{size:g}", 2, 1, (down, round(down * ASPECT)))
            for size, down in shapes.items()
        }
        rows += table("megapixels", cases)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    append(history_of(__file__), rows)


if __name__ == "__main__":
    main()
