"""Binary masks on disk as manifests list them."""

from pathlib import Path

import numpy as np

from seamark.errors import DataError, ManifestError
from seamark.files.images import BoolArray, array_digest, read_mask, write_mask
from seamark.manifests.masks import MaskRecord, ThresholdRecord
from seamark.masks.components import count_components
from seamark.repair import repair_command


def save_mask(
    folder: Path,
    published_as: str,
    image_id: str,
    mask: BoolArray,
    *,
    thresholds: tuple[ThresholdRecord, ...] = (),
    kept_coarse: int = 0,
) -> MaskRecord:
    """Write one mask as ``<image_id>.png`` and describe it.

    Parameters
    ----------
    folder : Path
        Folder to write to, possibly a draft that is swapped in later.
    published_as : str
        Name that the folder has beside the manifest in the end.
    image_id : str
        Id of the image; slashes make sub-folders.
    mask : ndarray of bool, shape (H, W)
        The mask at the size of the photograph.
    thresholds : tuple of ThresholdRecord
        Thresholds of a coarse mask.
    kept_coarse : int
        Components of a refined mask that stayed coarse.

    Returns
    -------
    MaskRecord
        Entry for the manifest.
    """
    path = folder / f"{image_id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mask(path, mask)
    return MaskRecord(
        id=image_id,
        file=f"{published_as}/{image_id}.png",
        width=mask.shape[1],
        height=mask.shape[0],
        sha256=array_digest(mask),
        foreground_px=int(np.count_nonzero(mask)),
        components=count_components(mask),
        thresholds=thresholds,
        kept_coarse=kept_coarse,
    )


def load_mask(manifest_path: Path, record: MaskRecord) -> BoolArray:
    """Read one mask and check that it is the one its manifest describes.

    Parameters
    ----------
    manifest_path : Path
        Manifest of the stage that made it.
    record : MaskRecord
        Its entry for the image.

    Returns
    -------
    ndarray of bool, shape (height, width)
        The mask.

    Raises
    ------
    ManifestError
        If the file is missing, damaged, not binary or not the mask that the manifest describes.
    """
    path = manifest_path.parent / record.file
    try:
        mask = read_mask(path, record.width * record.height)
    except DataError as error:
        raise ManifestError(f"{error}; or rebuild it with: {repair_command(manifest_path)}") from error
    if mask.shape != (record.height, record.width) or array_digest(mask) != record.sha256:
        raise ManifestError(
            f"{path}: expected the mask of {record.width} x {record.height} px that {manifest_path.name} describes, "
            f"found other pixels ({mask.shape[1]} x {mask.shape[0]} px); "
            f"rebuild it with: {repair_command(manifest_path)}"
        )
    return mask
