"""Shrink photographs, and hold a run on the small ones against one on those of full size.

``make`` writes every photograph and every mask below a data root, and the private truth, into a folder of yours, with
their shorter side at 256 px: ``<folder>/data`` is a data root and ``<folder>/truth`` its truth root. ``compare`` prints
AucPro_0.05 of the fused maps of both runs and their ratio, per category and private split, and appends the rows to
``history/small_pictures.csv``. It leaves out, in both runs, photographs of which a defect is narrower than 5 px when it
is small: no map could show it.

    python benchmarks/small_pictures.py make data --truth-root truth --folder /tmp/small --categories tire
    python benchmarks/small_pictures.py compare out/large out/small --truth-root truth --folder /tmp/small
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from history import append, history_of
from PIL import Image

from seamark.evaluation.metrics import ScoreCounts
from seamark.files.images import read_image, read_mask, write_mask
from seamark.manifests.base import read_manifest
from seamark.manifests.index import TruthManifest
from seamark.manifests.maps import MapsManifest
from seamark.maps.fusion import Member

SHORT_PX = 256
NARROWEST_PX = 5
FPR_LIMIT = 0.05
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
SPLITS = ("test_private", "test_private_mixed")

BoolArray = npt.NDArray[np.bool_]


def small_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height with the shorter one at SHORT_PX; DataError is left to the index."""
    factor = SHORT_PX / min(width, height)
    return round(width * factor), round(height * factor)


def small_mask(mask: BoolArray) -> BoolArray:
    """Return a mask of the pixels that a defect fills by half; of all that it touches where that is none."""
    height, width = mask.shape
    share = cv2.resize(mask.astype(np.float32), small_size(width, height), interpolation=cv2.INTER_AREA)
    filled = share >= 0.5
    return filled if filled.any() else share > 0.0


def make(root: Path, target: Path, categories: list[str]) -> int:
    """Write small copies of what lies below a root, links followed; return how many."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and (not categories or path.name in categories))
    chosen = [
        (path, Path(folder.name) / path.relative_to(folder.resolve()))
        for folder in folders
        for path in sorted(folder.resolve().rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    for path, place in chosen:
        copy = target / place.with_suffix(".png")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.stem.endswith("_mask"):
            write_mask(copy, small_mask(read_mask(path)))
        else:
            pixels = read_image(path)
            picture = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
            picture.resize(small_size(*picture.size), Image.Resampling.BOX).save(copy)
    return len(chosen)


def narrowest_px(mask: BoolArray) -> float:
    """Return the width of the narrowest defect, that of the largest disc inside it; infinity without any."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return min((2.0 * float(inside[labels == label].max()) - 1.0 for label in range(1, count)), default=np.inf)


def truths(run: Path, category: str, split: str, truth_root: Path) -> dict[str, BoolArray]:
    """Return the masks of the private photographs of a split by their ids."""
    path = run / "00_index" / category / f"{split}.truth.json"
    records = read_manifest(path, TruthManifest).images if path.exists() else ()
    return {record.id: read_mask(truth_root / record.mask) for record in records if record.mask}


def auc_pro(run: Path, category: str, split: str, masks: dict[str, BoolArray]) -> float | None:
    """Return AucPro_0.05 of the fused maps of those photographs that have a mask here."""
    path = run / "45_fused" / category / f"{split}.json"
    member = Member(path, read_manifest(path, MapsManifest))
    maps = [(member.read(record), masks[record.id]) for record in member.manifest.maps if record.id in masks]
    return ScoreCounts.pooled(ScoreCounts.of(*pair) for pair in maps).auc_pro(FPR_LIMIT)


def compare(large: Path, small: Path, truth_root: Path, folder: Path) -> list[dict[str, object]]:
    """Print and return AucPro of both runs and their ratio."""
    rows: list[dict[str, object]] = []
    for category in sorted(path.name for path in (small / "45_fused").iterdir()):
        for split in SPLITS:
            if not (small / "45_fused" / category / f"{split}.json").exists():
                continue
            narrow = truths(small, category, split, folder / "truth")
            wide = {name: mask for name, mask in narrow.items() if narrowest_px(mask) >= NARROWEST_PX}
            full = {name: mask for name, mask in truths(large, category, split, truth_root).items() if name in wide}
            if not any(mask.any() for mask in wide.values()):
                print(f"{category}  {split}: no defect is {NARROWEST_PX} px wide in the small photographs")
                continue
            before, after = auc_pro(large, category, split, full), auc_pro(small, category, split, wide)
            row: dict[str, object] = {"category": category, "split": split, "photographs": len(wide)}
            row |= {"bad": sum(bool(mask.any()) for mask in wide.values()), "large": before, "small": after}
            rows.append(row | {"ratio": after / before if before and after is not None else None})
            print("  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in rows[-1].values()), flush=True)
    return rows


def main() -> None:
    """Shrink or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("make", help="write small photographs and masks")
    making.add_argument("root", type=Path, help="data root with photographs of full size")
    making.add_argument("--categories", nargs="+", default=[], help="some of its categories")
    comparing = actions.add_parser("compare", help="print the ratio of two runs")
    comparing.add_argument("large", type=Path, help="folder of the run on photographs of full size")
    comparing.add_argument("small", type=Path, help="folder of the run on the small ones")
    for action in (making, comparing):
        action.add_argument("--truth-root", type=Path, required=True, help="private truth of the photographs")
        action.add_argument("--folder", type=Path, required=True, help="where the small photographs lie")
    options = parser.parse_args()
    if options.action == "make":
        photographs = make(options.root, options.folder / "data", options.categories)
        masks = make(options.truth_root, options.folder / "truth", options.categories)
        print(f"{photographs} files below {options.folder / 'data'}, {masks} below {options.folder / 'truth'}")
    else:
        append(history_of(__file__), compare(options.large, options.small, options.truth_root, options.folder))


if __name__ == "__main__":
    main()
