"""Trained models on disk: safetensors, the same bytes for the same weights."""

from pathlib import Path

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


def read_model(path: Path, kind: type[Detector], settings: DetectorSettings, tile_shape: tuple[int, int]) -> Detector:
    """Make a detector with the settings it was trained with, on the CPU, and load a model file into it.

    Raises
    ------
    ManifestError
        If the file cannot be read, or was trained with another backbone or other settings.
    """
    again = f"train it again with: {repair_command(path)}"
    try:
        facts, state = read_safetensors(path)
        trained, seed, digest = facts["settings"], int(facts["seed"]), facts["backbone_digest"]
    except (WeightsError, KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{path}: cannot read the model ({error!r}); {again}") from error
    if trained != settings.model_dump(mode="json"):
        raise ManifestError(f"{path}: trained with other settings; {again}")
    detector = kind(settings, tile_shape, seed)
    if digest != detector.backbone.digest:
        raise ManifestError(
            f"{path}: trained on backbone weights {digest}, found {detector.backbone.digest}; "
            "put the weights back or train again"
        )
    detector.load(state)
    return detector
