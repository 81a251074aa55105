"""Say of every image of a category and split whether it is good, and keep its mask from contradicting that.

**Inputs** ``maps``: manifest of the fused anomaly maps, float32 TIFF (h, w), raw score units; ``calibration``: manifest
with their score statistics; ``normal``: those of validation and of the other splits that thresholds come from;
``masks``: manifest of the refined masks, 8-bit PNG, 0 or 255, at the size of the photograph.
**Outputs** ``manifest``: MasksManifest, JSON; beside it, in a folder of the same name, ``<id>.png``, like the refined
masks, whose bytes they are unless the gate changes them; ``verdicts``: VerdictManifest, JSON: score, p-value and answer
of every image, and what they rest on.
**Params** ``settings``: the two rates, and whether the gate empties and marks masks; ``binarize``: the block that names
the normal images.

Source: Bates et al., Testing for outliers with conformal p-values, Annals of Statistics 51 (2023).
"""

from functools import partial

from seamark.files.atomic import atomic_folder
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.maps.calibration import Calibrations
from seamark.masks.verdict import Judge
from seamark.running.job import Job, run
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.verdict import VerdictSettings


def main(job: Job) -> None:
    """Judge one split of one category."""
    refined = read_manifest(job.path("masks"), MasksManifest)
    judge = Judge(
        maps_path=job.path("maps"),
        maps=read_manifest(job.path("maps"), MapsManifest),
        masks_path=job.path("masks"),
        masks=refined,
        calibrations=Calibrations([*job.paths("calibration"), *job.paths("normal")]),
        binarize=job.settings(BinarizeSettings, "binarize"),
        settings=job.settings(VerdictSettings),
    )
    target = job.target("manifest")
    with atomic_folder(target.with_suffix("")) as folder:
        judged = job.map(partial(judge.write, folder=folder, published_as=target.stem), refined.masks, "masks")
    write_manifest(job.target("verdicts"), judge.manifest([verdict for _, verdict in judged]))
    masks = tuple(mask for mask, _ in judged)
    write_manifest(target, refined.model_copy(update={"stage": "judged", "masks": masks}))


run(main, globals())
