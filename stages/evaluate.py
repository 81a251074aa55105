"""Score the maps and masks of one category on every test split whose truth is known.

**Inputs** ``index``, ``truth``: manifests, one per split; ``maps``: manifests of the fused maps, one per split,
float32 TIFFs, raw scores, beside them; ``calibration``: manifest of the score statistics, none unless the maps are
fitted to it; ``coarse``, ``refined``: manifests of the masks, one per split, 0/255 PNGs of image size beside them;
``verdicts``: manifests of the verdicts on images, one per split.
**Outputs** ``manifest``: EvaluationManifest, JSON: AucPro, AUROC, AP, IAP, SegF1, ClassF1 in 0..1 per split and light
with their intervals, recall by size of defect, seams in raw score units, counts in px; beside it ``<category>.npy``,
float64 (subsets, scores, resamples), the scores of every resample behind the intervals; ``curves``: CSV, good and
defect pixels and mean overlap of the regions above some hundred thresholds per split; ``table``: CSV, the verdicts.
**Params** ``settings``: EvaluateSettings; ``ranking``: RankingSettings, None without a fit; ``grids``: the blocks of
the detectors behind the maps, whose tile borders are checked for seams; ``root``, ``truth_root``: folders of the images
and of the private truth, which may be null.

Source: MVTec AD 2 (arXiv:2503.21622); counts per distinct score as in docs/methods/mvtec_ad2.md#counting-scores;
docs/methods/mvtec_ad2.md#instance-average-precision.
"""

from functools import partial
from pathlib import Path

from seamark.evaluation.bootstrap import draw_seed, save_resamples
from seamark.evaluation.category_scores import evaluation
from seamark.evaluation.curves import split_curves, write_curves
from seamark.evaluation.image_counts import evaluate_image
from seamark.evaluation.images import images_to_evaluate
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.verdict import VerdictManifest
from seamark.maps.quantile_fit import validation_fits
from seamark.masks.verdict_table import write_verdicts
from seamark.running.job import Job, run
from seamark.settings.evaluate import EvaluateSettings
from seamark.settings.grid import GridSettings
from seamark.settings.ranking import RankingSettings


def main(job: Job) -> None:
    """Write the evaluation manifest of one category."""
    maps = {path: read_manifest(path, MapsManifest) for path in job.paths("maps")}
    coarse, refined = (
        {path: read_manifest(path, MasksManifest) for path in job.paths(stage)} for stage in ("coarse", "refined")
    )
    verdicts = {path: read_manifest(path, VerdictManifest) for path in job.paths("verdicts")}
    truth_root = job.params["truth_root"]
    images = images_to_evaluate(
        [read_manifest(path, IndexManifest) for path in job.paths("index")],
        [read_manifest(path, TruthManifest) for path in job.paths("truth")],
        maps,
        coarse,
        refined,
        verdicts=verdicts,
        data_root=Path(job.params["root"]),
        truth_root=Path(truth_root) if truth_root else None,
    )
    first = next(iter(maps.values()))
    grids = [GridSettings.model_validate(grid) for grid in job.params["grids"]]
    ranking = RankingSettings.model_validate(job.params["ranking"] or {})
    fit = validation_fits(ranking, job.paths("calibration"), maps.values()).get(first.category)
    per_image = job.map(partial(evaluate_image, grids=grids, fit=fit), images, "images")
    settings = job.settings(EvaluateSettings)
    seed, target = draw_seed(first.category), job.target("manifest")
    scores, resampled = evaluation(first.category, first.detector, settings, images, per_image, seed=seed)
    write_curves(job.target("curves"), split_curves(images, per_image))
    write_verdicts(job.target("table"), verdicts.values())
    record = save_resamples(target, resampled, seed)
    write_manifest(target, scores.model_copy(update={"resampled": record, "ranking": fit}))


run(main, globals())
