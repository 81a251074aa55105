"""Anomaly maps on disk: writing those of a split, and reading those that a manifest lists."""

import os
from pathlib import Path

import numpy as np

from seamark.errors import ManifestError
from seamark.files.images import Float32Array, array_digest, read_map, write_map
from seamark.manifests.maps import MapRecord
from seamark.repair import manifest_above, repair_command


def load_map(manifest_path: Path, record: MapRecord) -> Float32Array:
    """Read an anomaly map that a manifest lists, float32 (map_height, map_width), raw scores, higher is more anomalous.

    Raises
    ------
    ManifestError
        If the file is missing, damaged, of another shape or dtype, not finite, or not the one the manifest describes.
    """
    path = Path(os.path.normpath(manifest_path.parent / record.file))
    # the manifest of a single detector's fused maps lists the merged ones: whichever is wrong, both are made again
    remedy = repair_command(*dict.fromkeys([manifest_above(path) or manifest_path, manifest_path]))
    try:
        scores = read_map(path, (record.map_height, record.map_width))
    except ManifestError as error:
        raise ManifestError(f"{error}: {remedy}") from error
    if array_digest(scores) != record.sha256:
        raise ManifestError(
            f"{path}: the pixels are not those that {manifest_path.name} describes; rebuild the maps with: {remedy}"
        )
    return scores


def save_map(
    folder: Path,
    split: str,
    image_id: str,
    anomaly_map: Float32Array,
    image_shape: tuple[int, int],
    *,
    cell_px: float = 1.0,
) -> MapRecord:
    """Write an anomaly map into the folder of its split and describe it.

    Parameters
    ----------
    folder, split : Path, str
        Folder that becomes ``<split>`` beside the manifest.
    image_id : str
        Image id; slashes become sub-folders.
    anomaly_map : ndarray of float32, shape (h, w)
        Finite scores; DataError otherwise.
    image_shape : tuple of int
        Height and width of the photograph in px.
    cell_px : float
        Side of the cells that were scored, in px of the photograph.
    """
    path = folder / f"{image_id}.tiff"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_map(path, anomaly_map)
    return MapRecord(
        id=image_id,
        file=f"{split}/{image_id}.tiff",
        image_width=image_shape[1],
        image_height=image_shape[0],
        map_width=anomaly_map.shape[1],
        map_height=anomaly_map.shape[0],
        sha256=array_digest(anomaly_map),
        minimum=float(anomaly_map.min()),
        maximum=float(anomaly_map.max()),
        mean=float(anomaly_map.mean(dtype=np.float64)),
        cell_px=cell_px,
    )
