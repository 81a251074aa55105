"""Writing the anomaly maps of a split and describing them."""

from pathlib import Path

import numpy as np

from seamark.files.images import Float32Array, array_digest, write_map
from seamark.manifests.maps import MapRecord


def save_map(
    folder: Path, split: str, image_id: str, anomaly_map: Float32Array, image_shape: tuple[int, int]
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
    )
