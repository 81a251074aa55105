"""Files that every kind of manifest answers for, and how each is compared with what the manifest says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seamark.data.truth_masks import truth_digest
from seamark.errors import ManifestError
from seamark.files.atomic import file_digest
from seamark.files.images import array_digest, read_map, read_mask
from seamark.files.wholeness import require_whole_png
from seamark.manifests.base import Manifest
from seamark.manifests.calibration import CalibrationManifest
from seamark.manifests.demo import DemoManifest
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.index import IndexManifest, TruthManifest
from seamark.manifests.inventory import InventoryManifest
from seamark.manifests.maps import MapsManifest
from seamark.manifests.masks import MasksManifest
from seamark.manifests.model import ModelManifest
from seamark.manifests.plots import PlotsManifest
from seamark.manifests.preview import PreviewManifest
from seamark.manifests.teacher import TeacherManifest
from seamark.manifests.tilemaps import TilemapsManifest
from seamark.manifests.tiles import TilesManifest
from seamark.manifests.verdict import VerdictManifest

Digest = Callable[[Path], str]
Roots = Mapping[str, Path | None]
"""Folders of the photographs (``data``) and of the private truth (``truth``)."""


@dataclass(frozen=True)
class RecordedFile:
    """A file and what a manifest says about it."""

    path: Path
    manifest: Path
    sha256: str
    """Empty where the manifest has no digest; the file is then read, and that is all."""
    digest: Digest


def map_digest(path: Path) -> str:
    """Return the digest of an anomaly map's scores, float32 (h, w)."""
    return array_digest(read_map(path))


def mask_digest(path: Path) -> str:
    """Return the digest of a mask, bool (H, W), whose file is whole."""
    require_whole_png(path.read_bytes())
    return array_digest(read_mask(path))


def readable_picture(path: Path) -> str:
    """Decode a picture whose digest is not recorded."""
    with Image.open(path) as picture:
        picture.load()
    return ""


def readable_array(path: Path) -> str:
    """Map an array whose digest is not recorded, which needs all of its bytes to be there."""
    np.load(path, mmap_mode="r", allow_pickle=False)
    return ""


def not_empty(path: Path) -> str:
    """Look whether there is anything in a file whose digest is not recorded."""
    if not path.stat().st_size:
        raise ManifestError(f"{path}: empty")
    return ""


def recorded_files(path: Path, manifest: Manifest, roots: Roots) -> Iterator[RecordedFile]:
    """List the files that a manifest answers for.

    Parameters
    ----------
    path : Path
        Where the manifest lies.
    manifest : Manifest
        What it holds.
    roots : mapping of str to Path
        Folders of the photographs and of the private truth.

    Yields
    ------
    RecordedFile
        In the order of the manifest.
    """
    for file, sha256, digest in _LISTS[type(manifest)](path, manifest, roots):
        yield RecordedFile(file, path, sha256, digest)


Listed = Iterator[tuple[Path, str, Digest]]


def _nothing(_: Path, __: Any, ___: Roots) -> Listed:
    yield from ()


def _one_file(path: Path, manifest: Any, _: Roots) -> Listed:
    yield path.parent / manifest.file, manifest.sha256, file_digest


def _tilemaps(path: Path, manifest: Any, roots: Roots) -> Listed:
    yield from _one_file(path, manifest, roots)
    components = path.with_suffix(".components.npy")
    if components.exists():
        yield components, "", readable_array


def _maps(path: Path, manifest: Any, _: Roots) -> Listed:
    for record in manifest.maps:
        yield path.parent / record.file, record.sha256, map_digest


def _masks(path: Path, manifest: Any, _: Roots) -> Listed:
    for record in manifest.masks:
        yield path.parent / record.file, record.sha256, mask_digest


def _calibration(path: Path, manifest: Any, _: Roots) -> Listed:
    yield path.parent / manifest.histogram, manifest.histogram_sha256, file_digest


def _evaluation(path: Path, manifest: Any, _: Roots) -> Listed:
    if manifest.resampled is not None:
        yield path.parent / manifest.resampled.file, manifest.resampled.sha256, file_digest


def _preview(path: Path, manifest: Any, _: Roots) -> Listed:
    yield path.parent / manifest.contact_sheet, "", readable_picture
    for strip in manifest.strips:
        for record in (strip, *strip.layers):
            yield path.parent / record.file, record.sha256, file_digest


def _plots(path: Path, manifest: Any, _: Roots) -> Listed:
    for plot in manifest.plots:
        yield path.parent / plot.svg, "", not_empty
        yield path.parent / plot.png, "", readable_picture
        yield path.parent / plot.csv, "", not_empty


def _index(_: Path, manifest: Any, roots: Roots) -> Listed:
    root = roots["data"] or Path()
    for image in manifest.images:
        yield root / image.file, image.sha256, file_digest


def _truth(_: Path, manifest: Any, roots: Roots) -> Listed:
    for image in manifest.images:
        root = roots[image.root]
        if image.mask is not None and root is not None:
            yield root / image.mask, image.sha256, truth_digest


def _demo(_: Path, manifest: Any, roots: Roots) -> Listed:
    for category in manifest.categories:
        for drawn in category.files:
            root = roots[drawn.root]
            if root is not None:
                yield root / drawn.file, drawn.sha256, file_digest


_LISTS: Mapping[type[Manifest], Callable[[Path, Any, Roots], Listed]] = {
    DemoManifest: _demo,
    IndexManifest: _index,
    TruthManifest: _truth,
    TilesManifest: _one_file,
    ModelManifest: _one_file,
    TeacherManifest: _one_file,
    TilemapsManifest: _tilemaps,
    MapsManifest: _maps,
    InventoryManifest: _nothing,
    CalibrationManifest: _calibration,
    MasksManifest: _masks,
    VerdictManifest: _nothing,
    PreviewManifest: _preview,
    EvaluationManifest: _evaluation,
    PlotsManifest: _plots,
}
