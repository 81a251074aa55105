"""Take exact statistics of the anomaly scores of a category, per image and per split.

**Inputs** ``maps``: manifests of the fused anomaly maps, one per split, float32 TIFF (h, w), raw score units.
**Outputs** ``manifest``: CalibrationManifest, JSON; pixels, range, mean, population std and quantiles per split and
image; ``histogram``: int64 .npy (splits, 65536), pixels per float16 score, ascending, splits as in the manifest.
**Params** ``settings``: the quantiles to write down, shares within 0..1.

Source: docs/methods/mvtec_ad2.md#counting-scores (histogram of float16 scores),
docs/methods/robis.md#mean-and-standard-deviation (statistics).
"""

import numpy as np

from seamark.files.atomic import atomic_write, file_digest
from seamark.manifests.base import read_manifest, write_manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.maps import MapsManifest
from seamark.maps.calibration import SplitCalibration, check_same_source
from seamark.running.job import Job, run
from seamark.settings.calibrate import CalibrateSettings


def main(job: Job) -> None:
    """Calibrate one category."""
    settings = job.settings(CalibrateSettings)
    sources = [(path, read_manifest(path, MapsManifest)) for path in job.paths("maps")]
    check_same_source([maps for _, maps in sources])
    splits, histograms = [], []
    for path, maps in sources:
        calibration = SplitCalibration(path, maps)
        images = job.map(calibration.add, maps.maps, f"{maps.split} maps")
        splits.append(calibration.statistics(images, settings.quantiles))
        histograms.append(calibration.histogram)
    target = job.target("histogram")
    with atomic_write(target) as draft, draft.open("wb") as stream:
        np.save(stream, np.stack(histograms))
    manifest = CalibrationManifest(
        category=sources[0][1].category,
        detector=sources[0][1].detector,
        histogram=target.name,
        histogram_sha256=file_digest(target),
        splits=tuple(splits),
    )
    write_manifest(job.target("manifest"), manifest)


run(main, globals())
