"""Reading the anomaly maps that a manifest lists."""

import os
from pathlib import Path

from seamark.errors import ManifestError
from seamark.files.images import Float32Array, array_digest, read_map
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
