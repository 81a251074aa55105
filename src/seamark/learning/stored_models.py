"""Trained models on disk: safetensors, the same bytes for the same weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from seamark.errors import ManifestError, WeightsError
from seamark.learning.detector import Detector
from seamark.repair import repair_command
from seamark.settings.training import DetectorSettings
from seamark.weights.reading import read_safetensors, write_safetensors


def write_model(path: Path, detector: Detector, settings: DetectorSettings) -> None:
    """Write a detector's state with its settings, its seed and the digest of its backbone."""
    facts = {
        "settings": settings.model_dump(mode="json"),
        "seed": detector.seed,
        "backbone_digest": detector.backbone.digest,
    }
    write_safetensors(path, detector.state(), facts)


@dataclass(frozen=True)
class StoredModel:
    """What :func:`write_model` wrote."""

    settings: dict[str, Any]
    seed: int
    backbone_digest: str
    state: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "StoredModel":
        """Read a model file; ManifestError if it is missing or is none."""
        try:
            facts, state = read_safetensors(path)
            return cls(dict(facts["settings"]), int(facts["seed"]), str(facts["backbone_digest"]), state)
        except (WeightsError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ManifestError(f"{path}: cannot read the model ({error!r})") from error


def read_model(path: Path, kind: type[Detector], settings: DetectorSettings, tile_shape: tuple[int, int]) -> Detector:
    """Make a detector with the settings it was trained with, on the CPU, and load a model file into it.

    Raises
    ------
    ManifestError
        If the file cannot be read, or was trained with another backbone or other settings.
    """
    again = f"train it again with: {repair_command(path)}"
    try:
        stored = StoredModel.read(path)
    except ManifestError as error:
        raise ManifestError(f"{error}; {again}") from error
    if stored.settings != settings.model_dump(mode="json"):
        raise ManifestError(f"{path}: trained with other settings; {again}")
    detector = kind(settings, tile_shape, stored.seed)
    if stored.backbone_digest != detector.backbone.digest:
        raise ManifestError(
            f"{path}: trained on backbone weights {stored.backbone_digest}, found {detector.backbone.digest}; "
            "put the weights back or train again"
        )
    detector.load(stored.state)
    return detector
