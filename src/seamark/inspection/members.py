"""The trained detectors of a bundle, ready to score photographs."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from seamark.backbones.table import published_backbone
from seamark.errors import ConfigError, DataError, ManifestError, WeightsError
from seamark.files.atomic import file_digest
from seamark.files.images import Float32Array, UInt8Array
from seamark.files.plain import UNREADABLE, shown
from seamark.inspection.bundle_file import Bundle
from seamark.learning.detector import Detector, load_detector_class
from seamark.learning.scoring import scored_batches
from seamark.learning.stored_models import StoredModel
from seamark.manifests.bundle import BundledMember, FrozenWeights
from seamark.manifests.maps import Scaling
from seamark.maps.merge_methods import merging
from seamark.maps.merging import cell_side
from seamark.maps.tile_maps import ScoredImage, weighted
from seamark.registry import DETECTORS
from seamark.settings.merge import MergeSettings
from seamark.settings.training import DetectorSettings
from seamark.tiles.cutting import cut_photograph
from seamark.tiles.geometry import tile_boxes, tile_count
from seamark.weights.finding import find_weights

MOST_TILE_SHARE, MOST_TILE_PX = 1000, 1 << 24
"""Pixels that the tiles of a photograph may have together: so many times its own, and those of one large tile."""


class Member:
    """A trained detector with its grid.

    Parameters
    ----------
    detector : Detector
        The detector.
    autocast : str
        Its arithmetic on a GPU.
    record : BundledMember
        What the bundle says of it.
    merge : MergeSettings
        How its tile maps become one map.
    device : str
        ``cpu`` or ``cuda:<index>``.
    """

    def __init__(
        self, detector: Detector, autocast: str, record: BundledMember, merge: MergeSettings, device: str
    ) -> None:
        self._detector, self._autocast, self._device = detector, autocast, device
        self._grid, self._merge = record.grid, merge
        self.scaling: Scaling = record.scaling

    def map_of(self, photograph: UInt8Array) -> tuple[Float32Array, float]:
        """Return the anomaly map of a photograph, uint8 (H, W, C), as the stages crop, infer and merge make it.

        Returns
        -------
        tuple
            The map, float32 (h, w), and the side of its cells in px of the photograph.

        Raises
        ------
        DataError
            If a score is not finite, or the tiles have more than 1000 times the pixels of the photograph.
        """
        height, width = photograph.shape[:2]
        number = tile_count(width, height, self._grid)
        if number * math.prod(self._grid.input_shape) > MOST_TILE_SHARE * width * height + MOST_TILE_PX:
            raise DataError(
                f"{number} tiles of {self._grid.input_px} px for a photograph of {width} x {height} px; expected a "
                "grid with a larger window_px or less overlap: make the bundle of such a run"
            )
        boxes = tuple(tile_boxes(width, height, self._grid))
        tiles = cut_photograph(photograph, boxes, self._grid)
        parts = list(scored_batches(self._detector, tiles, self._device, autocast=self._autocast))
        scores = np.concatenate([part.scores for part in parts])
        if self._merge.alpha is not None and parts[0].components is not None:
            both = np.concatenate([part.components for part in parts if part.components is not None])
            scores = weighted(both, self._merge.alpha)
        image, cells = ScoredImage("photograph", (height, width), boxes, scores), self._detector.cells
        merged = merging([image], cells, self._grid, self._merge, _one_by_one)(image)
        return merged, cell_side(boxes[0], cells, self._grid.input_shape)


def _one_by_one(function: Callable[[Any], Any], items: Sequence[Any], what: str) -> list[Any]:  # noqa: ARG001
    return [function(item) for item in items]


def load_members(bundle: Bundle, device: str) -> tuple[Member, ...]:
    """Load all detectors of a bundle.

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
            Member(*_load(bundle, member, Path(folder)), member, bundle.manifest.merge, device)
            for member in bundle.manifest.members
        )


def _require_device(device: str) -> None:
    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if device not in found:
        raise ConfigError(f"no device {shown(device)}; there are: {', '.join(found)}")


def _load(bundle: Bundle, member: BundledMember, folder: Path) -> tuple[Detector, str]:
    called = f"{shown(bundle.path)}: detector {member.name}"
    if member.type not in DETECTORS:
        raise ManifestError(f"{called}: no detector of type {member.type}; known are {', '.join(DETECTORS)}")
    kind = load_detector_class(DETECTORS[member.type].target)
    try:
        settings = kind.Settings.model_validate(member.settings)
        stored = StoredModel.read(bundle.extract(member.model, folder))
        detector = kind(_with_weights(bundle, member, settings, folder), member.grid.input_shape, stored.seed)
        detector.load(stored.state)
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
