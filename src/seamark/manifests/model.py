"""Manifest of the train stage (``fit.json``)."""

from pydantic import Field

from seamark.manifests.base import Inside, Manifest, Record


class PhaseRecord(Record):
    """How one training phase went."""

    name: str
    steps: int
    """Steps that were run (0 for a phase that just runs)."""
    curve_steps: tuple[int, ...]
    """Step numbers (1-based) at which the losses were noted."""
    losses: dict[str, tuple[float, ...]]
    """Mean of each named loss since the previous note, one value per entry of ``curve_steps``."""


class ModelManifest(Manifest):
    """The trained model of one detector and category. Times are in the provenance, not here."""

    detector: str
    category: Inside
    file: Inside
    """Name of the .safetensors file beside the manifest."""
    sha256: str
    """Digest of the .safetensors file."""
    parameters: int
    """Numbers stored in the file."""
    backbone: str
    backbone_digest: str
    """Digest of the pretrained weights, or ``random``."""
    backbone_verified: bool
    """Whether that digest is the published one; false for random weights, for a file of one's own and for a published
    file whose digest is not known."""
    map_shape: tuple[int, int]
    """Height and width of the tile maps that this model gives."""
    phases: tuple[PhaseRecord, ...]
    left_out: tuple[Inside, ...] = Field((), exclude_if=lambda images: not images)
    """Training images that the model of a fold has not seen, variants included; absent for one that has seen all."""
