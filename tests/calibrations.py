"""Calibrations by hand: a manifest for each split, with its histogram beside it."""

import numpy as np

from seamark.files.atomic import file_digest
from seamark.manifests.base import write_manifest
from seamark.manifests.calibration import CalibrationManifest


def write_calibration(folder, category, statistics, histogram, detector="bank"):
    """Write ``<folder>/<category>/<split>.json`` and ``.npy``, and return the path of the manifest."""
    path = folder / category / f"{statistics.split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = path.with_suffix(".npy")
    np.save(counts, histogram)
    write_manifest(
        path,
        CalibrationManifest(
            category=category,
            detector=detector,
            split=statistics.split,
            histogram=counts.name,
            histogram_sha256=file_digest(counts),
            statistics=statistics,
        ),
    )
    return path
