"""Draw how scores of defect-free photographs rise towards the border of the picture, for every detector of a run.

Scores are means by distance to the nearest border over those of the middle, which begins at a quarter of the shorter
side, of maps brought to the size of their photograph. Each detector's maps are shown as they are and without the rise
that its validation maps let expect (``fuse.level_borders``), for validation and for the good photographs of the private
splits, whose truth the run must know. Printed are the bands of 0 to 8, 8 to 16, 16 to 32 and 32 to 64 px and the
corners of 16 x 16 px; the profiles are drawn into ``--folder``, as ``<run>_<category>.png``. Rows are appended to
``history/border_profile.csv``.

    python benchmarks/border_profile.py out/demo --folder /tmp/profiles
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from history import append, history_of
from matplotlib.figure import Figure

from seamark.manifests.base import read_manifest
from seamark.manifests.index import TruthManifest
from seamark.manifests.maps import MapRecord, MapsManifest
from seamark.maps.borders import border_excess, expected_rise
from seamark.maps.fusion import Member
from seamark.masks.components import enlarge_map

SPLITS = ("validation", "test_private", "test_private_mixed")
BANDS_PX = (0, 8, 16, 32, 64)
CORNER_PX = 16
STEP_PX = 4

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def good_maps(run: Path, member: Member) -> list[Float32Array]:
    """Return the maps of the photographs without defects, none where the truth is not known."""
    return [member.read(record) for record in good_records(run, member)]


def good_records(run: Path, member: Member) -> Sequence[MapRecord]:
    """Return the photographs without defects, none where the truth is not known."""
    records = member.manifest.maps
    if member.manifest.split != "validation":
        truth = run / "00_index" / member.manifest.category / f"{member.manifest.split}.truth.json"
        known = read_manifest(truth, TruthManifest).by_id if truth.exists() else {}
        records = tuple(record for record in records if record.id in known and not known[record.id].bad)
    return records


def distances(shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return how many pixels lie between each pixel and the nearest border."""
    down, across = (np.minimum(np.arange(length), np.arange(length)[::-1]) for length in shape)
    return np.minimum(down[:, np.newaxis], across)


def relative(scores: Float32Array, edges: Sequence[int]) -> Float64Array:
    """Return the mean score between the edges, distances in px, over that of the middle; NaN where no pixel lies."""
    distance = distances(scores.shape)
    middle = scores[distance >= min(scores.shape) // 4].mean(dtype=np.float64)
    counts, sums = (np.histogram(distance, edges, weights=weights)[0] for weights in (None, scores.astype(np.float64)))
    return np.asarray(np.divide(sums, counts * middle, out=np.full(len(counts), np.nan), where=counts > 0))


def corners(scores: Float32Array) -> float:
    """Return the mean score of the four corners over that of the middle."""
    ends = [slice(None, CORNER_PX), slice(-CORNER_PX, None)]
    means = [scores[down, across].mean(dtype=np.float64) for down in ends for across in ends]
    return float(np.mean(means) / scores[distances(scores.shape) >= min(scores.shape) // 4].mean(dtype=np.float64))


def categories(run: Path) -> list[str]:
    """Return the categories whose maps a run has."""
    found = sorted({path.name for path in (run / "40_maps").glob("*/*") if path.is_dir()})
    if not found:
        raise SystemExit(f"{run}: no maps; give the folder of a finished run")
    return found


def levels(run: Path, category: str) -> Iterator[tuple[str, str, str, list[Float32Array]]]:
    """Yield detector, split, whether the maps are levelled, and those of the photographs without defects."""
    for folder in sorted((run / "40_maps").glob(f"*/{category}")):
        paths = [folder / f"{split}.json" for split in SPLITS if (folder / f"{split}.json").exists()]
        members = [Member(path, read_manifest(path, MapsManifest)) for path in paths]
        rise = expected_rise([border_excess(scores) for scores in good_maps(run, members[0])])
        for member in members:
            for form, shown in (("as it is", member), ("levelled", member.level(rise))):
                if records := good_records(run, shown):
                    sizes = [(record.image_height, record.image_width) for record in records]
                    maps = [enlarge_map(*pair) for pair in zip(map(shown.read, records), sizes, strict=True)]
                    yield folder.parent.name, member.manifest.split, form, maps


def profiled(run: Path, category: str, folder: Path) -> list[dict[str, object]]:
    """Print, draw and return the profiles of a category."""
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    rows: list[dict[str, object]] = []
    for detector, split, form, maps in levels(run, category):
        bands = np.mean([relative(scores, BANDS_PX) for scores in maps], axis=0)
        corner = np.mean([corners(scores) for scores in maps])
        head = {"run": run.name, "category": category, "detector": detector, "split": split, "maps": form}
        values = {
            f"{start}-{end} px": f"{value:.3f}" for (start, end), value in zip(pairwise(BANDS_PX), bands, strict=True)
        }
        rows.append({**head, "photographs": len(maps), **values, "corners": f"{corner:.3f}"})
        print("  ".join(str(value) for value in rows[-1].values()), flush=True)
        edges = range(0, min(maps[0].shape) // 4 + 1, STEP_PX)
        curve = np.mean([relative(scores, edges) for scores in maps], axis=0)
        style = {"as it is": "--", "levelled": "-"}[form]
        axes.plot(np.array(edges[:-1]) + STEP_PX / 2, curve, style, label=f"{detector}, {split}, {form}", linewidth=1.0)
    axes.axhline(1.05, color="grey", linewidth=0.5)
    axes.set(xlabel="distance to the border, px", ylabel="score over that of the middle", title=category)
    axes.legend(fontsize="x-small")
    figure.savefig(folder / f"{run.name}_{category}.png", dpi=150)
    return rows


def main() -> None:
    """Profile every category of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--folder", type=Path, required=True, help="where the profiles are drawn")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = [(run, name) for run in options.runs for name in categories(run)]
    rows = [row for run, category in found for row in profiled(run, category, options.folder)]
    append(history_of(__file__), rows)


if __name__ == "__main__":
    main()
