"""Score the maps and masks of one category on every test split whose truth is known.

**Inputs**

- ``index``, ``truth``: manifests of the category (JSON)
- ``maps``: manifests of the fused maps, one per split; float32 TIFFs, raw scores, lie beside them
- ``coarse``, ``refined``: manifests of the masks, one per split; 0/255 PNGs of image size lie beside them

**Outputs**

- ``manifest``: ``EvaluationManifest`` (JSON): AucPro, AUROC, SegF1, ClassF1 in 0..1
  per split and light, counts in px

**Params**

- ``settings``: ``EvaluateSettings``
- ``root``, ``truth_root``: folders of the images and of the private truth; ``truth_root`` may be null

Source: MVTec AD 2 (arXiv:2503.21622); exact 65,536-bin evaluation as in the MVTec AD 2 specification, section 3.3.
"""

from pathlib import Path

from seamark.evaluated_images import images_to_evaluate
from seamark.evaluation import evaluate_image, evaluation
from seamark.job import Job, run
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.settings.evaluate import EvaluateSettings


def main(job: Job) -> None:
    """Write the evaluation manifest of one category."""
    index = read_manifest(job.path("index"), IndexManifest)
    maps = {path: read_manifest(path, MapsManifest) for path in job.paths("maps")}
    coarse, refined = (
        {path: read_manifest(path, MasksManifest) for path in job.paths(stage)} for stage in ("coarse", "refined")
    )
    truth_root = job.params["truth_root"]
    images = images_to_evaluate(
        index,
        read_manifest(job.path("truth"), TruthManifest),
        maps,
        coarse,
        refined,
        data_root=Path(job.params["root"]),
        truth_root=Path(truth_root) if truth_root else None,
    )
    outcomes = job.map(evaluate_image, images, "images")
    fpr_limit = job.settings(EvaluateSettings).fpr_limit
    detector = next(iter(maps.values())).detector
    write_manifest(job.target("manifest"), evaluation(index.category, detector, fpr_limit, images, outcomes))


run(main, globals())
