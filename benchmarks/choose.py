"""The table that a setting is chosen by: every row scored on the category that had no part in choosing it.

Reads the evaluations of a run and of its ablation, all rows with one setting for all categories, and prints of each row
SegF1 of every category on both private splits and their mean, and ClassF1 of the refined masks. Then every category in
turn is left out: the row whose coarse masks have the highest mean SegF1 over the others, both splits alike, is scored
on the one left out. Run:
``python benchmarks/choose.py out/choose`` after ``snakemake --cores all --configfile presets/own_photographs.yaml
presets/choose.yaml data.yaml -- ablate``; the protocol is that of docs/results.md.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seamark.manifests.base import read_manifest
from seamark.manifests.evaluation import EvaluationManifest, SubsetScores

SPLITS = ("test_private", "test_private_mixed")
Scores = npt.NDArray[np.float64]


def row_folders(run: Path) -> Mapping[str, Path]:
    """Return the folder of every row by name: the run's own first, then those of its variations."""
    variations = sorted(path.parent for path in run.parent.glob(f"{run.name}+*/90_eval"))
    return {run.name: run} | {folder.name.partition("+")[2]: folder for folder in variations}


def f1(folder: Path, category: str, stage: str, score: str) -> list[float]:
    """Return ``seg_f1`` or ``class_f1`` of the ``coarse`` or ``refined`` masks of a category on both splits, 0..1."""
    manifest = read_manifest(folder / "90_eval" / f"{category}.json", EvaluationManifest)
    subsets: dict[str, SubsetScores] = {subset.split: subset for subset in manifest.subsets if subset.light == "all"}
    return [getattr(getattr(subsets[split], stage), score) or 0.0 for split in SPLITS]


def chosen_without(table: Scores) -> list[int]:
    """Return, for each category, the row whose mean over the other categories and both splits is the best.

    Parameters
    ----------
    table : ndarray of float64, shape (rows, categories, splits)
        SegF1, 0..1; of equal rows the first one is taken.
    """
    return [int(np.delete(table, category, axis=1).mean(axis=(1, 2)).argmax()) for category in range(table.shape[1])]


def line(name: str, scores: Scores) -> str:
    """Return a row of the printed table: private/mixed of every category, then of their mean."""
    cells = [f"{private:.3f}/{mixed:.3f}" for private, mixed in [*scores, scores.mean(axis=0)]]
    return f"{name:28s} " + " ".join(f"{cell:>12s}" for cell in cells)


def tell(title: str, names: Sequence[str], categories: Sequence[str], table: Scores, chosen: Sequence[int]) -> None:
    """Print a table, and under it what each category gets from the row that was chosen without it."""
    print(f"{title + ', private/mixed':28s} " + " ".join(f"{category:>12s}" for category in [*categories, "mean"]))
    for name, scores in zip(names, table, strict=True):
        print(line(name, scores))
    print(line("chosen without the category", table[list(chosen), range(len(categories))]))
    print("rows chosen: " + ", ".join(f"{c}: {names[r]}" for c, r in zip(categories, chosen, strict=True)))


def main() -> None:
    """Print the tables of coarse and refined masks, and that of verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run, out/<run>")
    folders = row_folders(parser.parse_args().run)
    own = next(iter(folders.values()))
    categories = sorted(path.name.partition(".")[0] for path in (own / "90_eval").glob("*.curves.csv"))

    rows = list(folders)

    def scores(stage: str, score: str) -> Scores:
        return np.array([[f1(folders[row], category, stage, score) for category in categories] for row in rows])

    coarse = scores("coarse", "seg_f1")
    chosen = chosen_without(coarse)
    tell("SegF1 coarse", rows, categories, coarse, chosen)
    tell("SegF1 refined", rows, categories, scores("refined", "seg_f1"), chosen)
    tell("ClassF1 refined", rows, categories, scores("refined", "class_f1"), chosen)


if __name__ == "__main__":
    main()
