"""Manifest of the distill stage."""

from seamark.manifests.base import Inside, Manifest
from seamark.manifests.model import PhaseRecord


class TeacherManifest(Manifest):
    """A teacher that was distilled, and how well it gives the features it was distilled from."""

    file: Inside
    """Name of the .safetensors file beside the manifest."""
    sha256: str
    """Digest of that file."""
    parameters: int
    backbone: str
    backbone_digest: str
    """Digest of the pretrained weights, or ``random``."""
    backbone_verified: bool
    photographs: int
    """Photographs that the network learnt from."""
    held_out: int
    """Photographs that it was measured on."""
    explained_clean: float
    """Share of the variance of the backbone's features that it predicts on held-out crops."""
    explained_corrupted: float
    """The same on corrupted ones."""
    features_off: int
    """Features that it does not predict, which are 0."""
    phases: tuple[PhaseRecord, ...]
