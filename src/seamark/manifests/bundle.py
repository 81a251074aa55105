"""Manifest of the bundle stage, which a bundle also has within it: all but weights that judging a photograph takes."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seamark.manifests.base import Inside, Manifest, Record
from seamark.manifests.calibration import SplitStatistics
from seamark.manifests.maps import Scaling
from seamark.settings.base import Name, Split
from seamark.settings.binarize import BinarizeSettings
from seamark.settings.calibrate import IMAGE_QUANTILES
from seamark.settings.fuse import FuseSettings
from seamark.settings.grid import GridSettings
from seamark.settings.merge import MergeSettings
from seamark.settings.pixels import PixelSettings
from seamark.settings.refine import RefineSettings
from seamark.settings.verdict import VerdictSettings


class FrozenWeights(Record):
    """The file of pretrained weights that a member was trained on."""

    setting: Literal["weights", "teacher"]
    """Setting of the member that says where it is."""
    name: Inside
    """Name of the file."""
    licence: str
    page: str
    """Address where the weights are published."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the file."""
    packed: bool
    """Whether its tensors are in the bundle; if not, because its licence may not allow that, it is looked for beside
    the bundle, and where published weights lie."""

    @property
    def file(self) -> str:
        """Name in the bundle of a safetensors file with its tensors, where they are packed."""
        return f"frozen/{self.digest}.safetensors"


class BundledMember(Record):
    """A trained detector."""

    name: Name
    type: Name
    """Name in the registry."""
    settings: dict[str, Any]
    """Its block of the configuration."""
    grid: GridSettings
    frozen: FrozenWeights | None
    """None for random ones, which the seed gives again."""
    scaling: Scaling

    @property
    def model(self) -> str:
        """Name of its weights in the bundle."""
        return f"models/{self.name}.safetensors"


class NormalPeak(Record):
    """Highest score of a normal image, and the photograph that it is or that it is a variant of."""

    split: Split
    id: Inside
    score: float


class NormalImages(Record):
    """The normal images that thresholds and verdicts come from."""

    statistics: SplitStatistics
    base: float
    """Mean score of the validation photographs."""
    peaks: tuple[NormalPeak, ...] = Field(min_length=1)
    lights: tuple[str, ...]
    """Light conditions that names of training and validation photographs tell, sorted."""

    @model_validator(mode="after")
    def _every_image_has_its_quantiles(self) -> "NormalImages":
        wanted, images = {f"{q:g}" for q in IMAGE_QUANTILES}, self.statistics.images
        if not images or any(not wanted <= image.quantiles.keys() for image in images):
            raise ValueError("normal images lack quantiles of their scores")
        return self


class BundleManifest(Manifest):
    """What a bundle is: the model of one category, its thresholds, and what they rest on."""

    form: Literal[1] = 1
    """Counts up when the form of bundles changes."""
    run: Name
    category: Inside
    channels: Literal[1, 3]
    """Of its photographs: grey or RGB."""
    pixels: PixelSettings = Field(PixelSettings(), exclude_if=lambda pixels: pixels == PixelSettings())
    """How files of photographs are decoded."""
    train_photographs: int
    members: tuple[BundledMember, ...] = Field(min_length=1)
    merge: MergeSettings
    fuse: FuseSettings
    binarize: BinarizeSettings
    refine: RefineSettings
    verdict: VerdictSettings
    normal: NormalImages
    least_evidence: float | None
    """What the evidence of every component exceeds, image px times score; None if none is weighed."""
    code: str
    """Digest of the code that packed it."""
    versions: dict[str, str]
    """Packages that shape results."""
    sha256: str | None = None
    """Digest of the bundle, of the manifest beside it."""

    @model_validator(mode="after")
    def _the_quantile_asked_for_is_there(self) -> "BundleManifest":
        quantile = self.binarize.quantile
        if quantile.enabled and f"{quantile.q:g}" not in self.normal.statistics.quantiles:
            raise ValueError(f"normal images lack the quantile {quantile.q:g} of their scores")
        return self

    @model_validator(mode="after")
    def _members_are_those_of_the_fusion(self) -> "BundleManifest":
        if tuple(member.name for member in self.members) != self.fuse.members:
            raise ValueError("its members are not those of the fusion")
        return self
