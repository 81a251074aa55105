"""Take exact statistics of the anomaly scores of a category and split, per image and pooled.

**Inputs** ``maps``: manifest of the fused anomaly maps, float32 TIFF (h, w), raw score units.
**Outputs** ``manifest``: CalibrationManifest, JSON; pixels, range, mean, population std and quantiles of the split and
of each image; ``histogram``: int64 .npy (65536,), pixels per float16 score, ascending.
**Params** ``settings``: the quantiles to write down, shares within 0..1.

Source: docs/methods/mvtec_ad2.md#counting-scores (histogram of float16 scores),
docs/methods/robis.md#mean-and-standard-deviation (statistics).
"""

import numpy as np

from seamark.files.atomic import atomic_write, file_digest
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.maps import MapsManifest
from seamark.maps.calibration import SplitCalibration
from seamark.running.job import Job, run
from seamark.settings.calibrate import CalibrateSettings


def main(job: Job) -> None:
    """Calibrate one split of one category."""
    maps = read_manifest(job.path("maps"), MapsManifest)
    calibration = SplitCalibration(job.path("maps"), maps)
    images = job.map(calibration.add, maps.maps, "maps")
    target = job.target("histogram")
    with atomic_write(target) as draft, draft.open("wb") as stream:
        np.save(stream, calibration.histogram)
    manifest = CalibrationManifest(
        category=maps.category,
        detector=maps.detector,
        split=maps.split,
        histogram=target.name,
        histogram_sha256=file_digest(target),
        statistics=calibration.statistics(images, job.settings(CalibrateSettings).quantiles),
    )
    write_manifest(job.target("manifest"), manifest)


run(main, globals())
