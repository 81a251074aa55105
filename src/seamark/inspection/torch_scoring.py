"""Scoring with the trained detectors of a bundle, by torch."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from pydantic import ValidationError

from seamark.backbones.table import published_backbone
from seamark.errors import ConfigError, ManifestError, WeightsError
from seamark.files.atomic import file_digest
from seamark.files.images import Float32Array, UInt8Array
from seamark.files.plain import UNREADABLE, shown
from seamark.inspection.bundle_file import Bundle
from seamark.learning.detector import Detector, load_detector_class
from seamark.learning.scoring import scored_batches
from seamark.learning.stored_models import StoredModel
from seamark.manifests.bundle import BundledMember, FrozenWeights
from seamark.manifests.tilemaps import CellGeometry
from seamark.registry import DETECTORS
from seamark.settings.training import DetectorSettings
from seamark.weights.finding import find_weights


class TorchScorer:
    """A trained detector; a :class:`seamark.inspection.members.Scorer`."""

    def __init__(self, detector: Detector, autocast: str, device: str) -> None:
        self._detector, self._autocast, self._device = detector, autocast, device

    @property
    def cells(self) -> CellGeometry:
        """Where the cells of a tile map lie in a tile."""
        return self._detector.cells

    def __call__(self, tiles: UInt8Array) -> tuple[Float32Array, Float32Array | None]:
        """Score tiles as the stage infer does."""
        parts = list(scored_batches(self._detector, tiles, self._device, autocast=self._autocast))
        both = [part.components for part in parts if part.components is not None]
        return np.concatenate([part.scores for part in parts]), np.concatenate(both) if both else None


def load_scorers(bundle: Bundle, device: str) -> tuple[TorchScorer, ...]:
    """Load all detectors of a bundle, in the order of its members.

    Raises
    ------
    ConfigError
        If there is no such device.
    ManifestError
        If a detector is not known, or its settings or weights are not valid.
    WeightsError
        If pretrained weights that are not in the bundle are not found.
    """
    _require_device(device)
    with TemporaryDirectory(prefix="seamark-") as folder:
        return tuple(
            TorchScorer(*load_detector(bundle, member, Path(folder)), device) for member in bundle.manifest.members
        )


def _require_device(device: str) -> None:
    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if device not in found:
        raise ConfigError(f"no device {shown(device)}; there are: {', '.join(found)}")


def load_detector(bundle: Bundle, member: BundledMember, folder: Path) -> tuple[Detector, str]:
    """Load one detector by way of an empty folder, and return it with its arithmetic on a GPU; errors as above."""
    called = f"{shown(bundle.path)}: detector {member.name}"
    if member.type not in DETECTORS:
        raise ManifestError(f"{called}: no detector of type {member.type}; known are {', '.join(DETECTORS)}")
    kind = load_detector_class(DETECTORS[member.type].target)
    try:
        settings = kind.Settings.model_validate(member.settings)
        stored = StoredModel.read(bundle.extract(member.model, folder))
        detector = kind(_with_weights(bundle, member, settings, folder), member.grid.input_shape, stored.seed)
        detector.load(stored.state)
        next(scored_batches(detector, np.zeros((1, *member.grid.input_shape, 3), np.uint8)))  # do its parts fit?
    except ValidationError as error:
        raise ManifestError(f"{called}: its settings are not valid: {shown(error.errors()[0]['msg'])}") from error
    except (WeightsError, ManifestError):
        raise
    except UNREADABLE as error:
        raise ManifestError(f"{called}: cannot be built ({shown(str(error))}); make the bundle again") from error
    return detector, settings.autocast


def _with_weights(bundle: Bundle, member: BundledMember, settings: DetectorSettings, folder: Path) -> DetectorSettings:
    """Return the settings with the place where the pretrained weights lie now: no path in a bundle is ever followed."""
    frozen = member.frozen
    if frozen is None:
        return settings.model_copy(update={"teacher" if hasattr(settings, "teacher") else "weights": "random"})
    place = bundle.extract(frozen.file, folder) if frozen.packed else _found(bundle, frozen, settings)
    return settings.model_copy(update={frozen.setting: str(place)})


def _found(bundle: Bundle, frozen: FrozenWeights, settings: DetectorSettings) -> Path:
    place = bundle.path.parent / Path(frozen.name).name
    missing = (
        f"{shown(bundle.path)}: it has not the pretrained weights {frozen.name} within it (licence: {frozen.licence}), "
        f"sha256 {frozen.digest}: put them beside it ({frozen.page})"
    )
    if not place.is_file():
        if frozen.setting == "teacher":
            raise WeightsError(missing)
        try:
            place = find_weights(published_backbone(settings.backbone).weights, "pretrained")
        except WeightsError as error:
            raise WeightsError(missing) from error
    if (found := file_digest(place)) != frozen.digest:
        raise WeightsError(
            f"{shown(place)}: sha256 is {found}, but {shown(bundle.path)} was trained on {frozen.digest}; put that "
            f"file, {frozen.name}, beside the bundle ({frozen.page})"
        )
    return place
