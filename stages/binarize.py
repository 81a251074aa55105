"""Turn the anomaly maps of a category and split into coarse binary masks.

**Inputs** ``maps``: manifest of the fused anomaly maps, float32 TIFF (h, w), raw score units; ``calibration``: manifest
with their score statistics; ``normal``: those of validation and of the other splits that thresholds come from;
``normal_maps``: manifests of the maps of these, none unless components are weighed against them.
**Outputs** ``manifest``: MasksManifest, JSON, with the thresholds of every image in raw score units; beside it, in a
folder of the same name, ``<id>.png``, 8-bit, 0 or 255, at the size of the photograph.
**Params** ``settings``: the rules that each give a threshold, scale, erosion in map px, extent or growth and
trimming, smallest area in image px, evidence that a component needs.

Source: docs/methods/robis.md#binarisation (mean + k std, MEBin, fusion by union).
"""

from functools import partial

from seamark.files.atomic import atomic_folder
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.maps.calibration import Calibrations
from seamark.masks.binarize import Binarizer
from seamark.running.job import Job, run
from seamark.settings.binarize import BinarizeSettings


def main(job: Job) -> None:
    """Binarize one split of one category."""
    maps = read_manifest(job.path("maps"), MapsManifest)
    calibrations = Calibrations([*job.paths("calibration"), *job.paths("normal")])
    binarizer = Binarizer(job.path("maps"), maps, calibrations, job.settings(BinarizeSettings))
    normal = binarizer.normal_maps({path: read_manifest(path, MapsManifest) for path in job.paths("normal_maps")})
    binarizer.weigh(job.map(binarizer.evidence, normal, "normal maps") if normal else [])
    target = job.target("manifest")
    with atomic_folder(target.with_suffix("")) as folder:
        masks = job.map(partial(binarizer.write, folder=folder, published_as=target.stem), maps.maps, "masks")
    manifest = MasksManifest(
        category=maps.category,
        split=maps.split,
        stage="coarse",
        method=binarizer.method,
        masks=tuple(masks),
        least_evidence=binarizer.least_evidence,
        warnings=binarizer.warnings(masks),
    )
    write_manifest(target, manifest)
    job.say(*(f"warning: {warning.text}" for warning in manifest.warnings))


run(main, globals())
