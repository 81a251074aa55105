"""Packing of what a run knows of one category into a bundle."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seamark.errors import ManifestError
from seamark.files.atomic import file_digest
from seamark.manifests.bundle import BundledMember, FrozenWeights, NormalImages, NormalPeak
from seamark.manifests.index import IndexManifest
from seamark.manifests.maps import MapsManifest, Scaling
from seamark.manifests.model import ModelManifest
from seamark.maps.calibration import Calibrations
from seamark.maps.normal_statistics import normal_peaks, normal_statistics
from seamark.planning.required_weights import RequiredWeights, detector_weights
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.detectors import detector_settings
from seamark.settings.grid import GridSettings
from seamark.settings.teacher import RANDOM
from seamark.weights.finding import find_weights

FREE_LICENCES = frozenset({"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause"})
"""Licences under which weights may be passed on with a notice, which the manifest of a bundle is."""


@dataclass(frozen=True)
class PackedMember:
    """A member, and where its files lie."""

    record: BundledMember
    model: Path
    frozen: Path | None
    """Its pretrained weights, if they are packed."""

    def files(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Yield name in the bundle and place of its files; what is no safetensors file becomes one in the folder."""
        yield self.record.model, self.model
        if self.frozen is None or self.record.frozen is None:
            return
        place = self.frozen
        if place.suffix != ".safetensors":
            from seamark.weights.reading import read_state, write_safetensors  # noqa: PLC0415 (which loads torch)

            place = folder / Path(self.record.frozen.file).name
            write_safetensors(place, {name: tensor.clone() for name, tensor in read_state(self.frozen).items()}, {})
        yield self.record.frozen.file, place


def packed_member(
    given: Mapping[str, Any], fit: ModelManifest, model: Path, scaling: Scaling, own: Collection[Path]
) -> PackedMember:
    """Describe a trained detector for a bundle.

    Parameters
    ----------
    given : mapping
        ``name``, ``type``, ``settings`` and ``grid`` of the detector's block.
    fit : ModelManifest
        Of its model.
    model : Path
        The file of its weights.
    scaling : Scaling
        Of its maps in the fusion.
    own : collection of Path
        Pretrained weights that the run made itself.

    Raises
    ------
    WeightsError
        If its pretrained weights are not found.
    ManifestError
        If they are not those that it was trained on.
    """
    settings = detector_settings(given["name"], {"type": given["type"], **given["settings"]})
    needed = next(iter(detector_weights(given["name"], settings)), None)
    frozen, place = None, None
    if needed is not None and needed.where != RANDOM:
        frozen, place = _frozen(needed, fit, own)
    grid = GridSettings.model_validate(given["grid"])
    block = settings.model_dump(mode="json")
    record = BundledMember(
        name=given["name"], type=given["type"], settings=block, grid=grid, frozen=frozen, scaling=scaling
    )
    return PackedMember(record, model, place if frozen and frozen.packed else None)


def _frozen(needed: RequiredWeights, fit: ModelManifest, own: Collection[Path]) -> tuple[FrozenWeights, Path]:
    place = find_weights(needed.source, needed.where)
    if (found := file_digest(place)) != fit.backbone_digest:
        raise ManifestError(
            f"{place}: sha256 is {found}, but {fit.detector} of {fit.category} was trained on {fit.backbone_digest}; "
            "put the weights back or train again"
        )
    distilled = place in own
    licence = "distilled by this run" if distilled else needed.source.licence
    record = FrozenWeights(
        setting="teacher" if needed.setting.endswith(".teacher") else "weights",
        name=place.name,
        licence=licence,
        page=needed.source.page,
        digest=found,
        packed=distilled or licence.lower() in FREE_LICENCES,
    )
    return record, place


@contextmanager
def gathered(members: Collection[PackedMember]) -> Iterator[dict[str, Path]]:
    """Give the places of all files of some members by their names in a bundle."""
    with TemporaryDirectory(prefix="seamark-") as folder:
        yield {name: path for member in members for name, path in member.files(Path(folder))}


def normal_images(
    maps: MapsManifest, settings: BinarizeSettings, calibrations: Calibrations, indexes: Collection[IndexManifest]
) -> NormalImages:
    """Return the normal images of a category that thresholds and verdicts come from.

    Parameters
    ----------
    maps : MapsManifest
        Fused maps of the validation split.
    settings : BinarizeSettings
        Say which images these are.
    calibrations : Calibrations
        Their statistics.
    indexes : collection of IndexManifest
        Training and validation photographs.

    Raises
    ------
    ManifestError
        If the calibrations are of another detector or lack a split.
    """
    return NormalImages(
        statistics=normal_statistics(maps, settings, calibrations),
        base=calibrations.statistics(maps, "validation").mean,
        peaks=tuple(
            NormalPeak(split=photograph.split, id=photograph.id, score=score)
            for photograph, score in normal_peaks(maps, settings, calibrations)
        ),
        lights=tuple(sorted({image.light for index in indexes for image in index.images})),
    )
