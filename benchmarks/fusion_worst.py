"""The worst that fusion did to the best member: every map of finished runs against the truth, member beside fusion.

For each category and split whose truth is known, and for each member's maps and the fused ones: SegF1 at the best
single threshold, which needs the truth, and AucPro_0.05, both as the evaluate stage counts them on maps without a fit
(``ranking``). The row of the fusion tells how far it lies above the best member, by each of the two on its own; the
last lines tell the worst of these. Prints the table and appends it to ``history/fusion_worst.csv``. Maps are read one
at a time. Run, in the folder that holds ``out``, on runs that are finished up to the scores:
``python benchmarks/fusion_worst.py out/demo``.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from history import append, history_of

from seamark.evaluation.image_counts import evaluate_image
from seamark.evaluation.images import TEST_SPLITS, images_to_evaluate
from seamark.evaluation.metrics import ScoreCounts
from seamark.manifests.base import read_manifest
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.verdict import VerdictManifest

FPR_LIMIT = 0.05
SCORES = ("seg_f1", "auc_pro")
FUSION = "fusion"
Row = dict[str, Any]


def job_of(manifest: Path) -> tuple[dict[str, Any], list[Path]]:
    """Return the params of the job that wrote a manifest, and the files that it read, from its provenance."""
    facts = json.loads(manifest.with_suffix(".prov.json").read_bytes())
    return facts["params"], [Path(path) for path in facts["inputs"]]


@dataclass(frozen=True)
class Evaluated:
    """A category of a finished run: the manifest of its scores."""

    manifest: Path

    def of_stage(self, folder: str) -> list[Path]:
        """Return what the scores were taken from in a folder of the run."""
        return [path for path in job_of(self.manifest)[1] if folder in path.parts]

    def members(self, fused: Path) -> dict[str, Path]:
        """Return the maps of the members behind fused ones, by detector."""
        paths = [path for path in job_of(fused)[1] if path.name == fused.name]
        return {read_manifest(path, MapsManifest).detector: path for path in paths}

    def counts(self, maps: Path) -> ScoreCounts:
        """Count the scores of the maps of one split; of no image where no truth is known."""
        params, _ = job_of(self.manifest)
        listed, judged = self.of_stage("00_index"), self.of_stage("75_verdicts")
        truths = [path for path in listed if path.name.endswith(".truth.json")]
        verdicts = [path for path in judged if path.name.endswith(".verdicts.json")]
        coarse, refined = (
            {path: read_manifest(path, MasksManifest) for path in paths}
            for paths in (self.of_stage("60_coarse"), [path for path in judged if path not in verdicts])
        )
        images = images_to_evaluate(
            [read_manifest(path, IndexManifest) for path in listed if path not in truths],
            [read_manifest(path, TruthManifest) for path in truths],
            {maps: read_manifest(maps, MapsManifest)},
            coarse,
            refined,
            verdicts={path: read_manifest(path, VerdictManifest) for path in verdicts},
            data_root=Path(params["root"]),
            truth_root=Path(params["truth_root"]) if params["truth_root"] else None,
        )
        return ScoreCounts.pooled(evaluate_image(image, grids=()).scores for image in images)

    def rows(self, fused: Path) -> list[Row]:
        """Return a row per map of a split, that of the fusion last; none without several members or a defect."""
        maps = {**self.members(fused), FUSION: fused}
        counted = {name: self.counts(path) for name, path in maps.items()} if len(maps) > 2 else {}
        if not any(counts.regions for counts in counted.values()):
            return []
        place = {"category": self.manifest.stem, "split": fused.stem}
        scored = {name: (counts.oracle_seg_f1(), counts.auc_pro(FPR_LIMIT)) for name, counts in counted.items()}
        rows: list[Row] = [
            {**place, "maps": name, **dict(zip(SCORES, pair, strict=True))} for name, pair in scored.items()
        ]
        *members, fusion = rows
        fusion |= {f"{score}_change": fusion[score] - max(row[score] for row in members) for score in SCORES}
        return rows


def evaluated(run: Path) -> list[Evaluated]:
    """Return the categories of a run that have scores."""
    found = [Evaluated(path) for path in sorted((run / "90_eval").glob("*.json")) if not path.match("*.prov.json")]
    if not found:
        raise SystemExit(f"{run}: no scores below 90_eval; give folders of runs that are finished, with a truth")
    return found


def worst(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line per score that tells where fusion changed the best member's most for the worse."""
    for score in SCORES:
        row = min((row for row in rows if row["maps"] == FUSION), key=lambda row: row[f"{score}_change"])
        place = f"{row['run']} {row['category']} {row['split']}"
        yield f"worst change of the best member's {score}: {row[f'{score}_change']:+.4f} ({place})"


def main() -> None:
    """Score, print, append."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, as out/demo")
    parser.add_argument("--csv", type=Path, default=history_of(__file__), help="table to append to")
    arguments = parser.parse_args()
    table: list[Row] = []
    print("  ".join(("run", "category", "split", "maps", *SCORES, *(f"{score}_change" for score in SCORES))))
    for run in arguments.runs:
        for category in evaluated(run):
            fused = {path.stem: path for path in category.of_stage("45_fused")}
            for row in (row for split in TEST_SPLITS if split in fused for row in category.rows(fused[split])):
                table.append({"run": run.name, **row})
                values = (f"{value:.4f}" if isinstance(value, float) else str(value) for value in table[-1].values())
                print("  ".join(values), flush=True)
    if not table:
        raise SystemExit("no run has several members and a truth with defects; nothing was fused")
    append(arguments.csv, table)
    print(*worst(table), sep="\n")


if __name__ == "__main__":
    main()
