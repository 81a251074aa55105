"""Files of pretrained weights that a run needs, and the refusal to start without them. Free of torch, as planning is.

A run of days must not find out in its middle that a file is missing, so all files are looked for before the first job.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seamark.backbones.table import published_backbone
from seamark.errors import WeightsError
from seamark.settings.base import Settings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.refine import RefineSettings
from seamark.settings.teacher import DISTILLED, RANDOM, TeacherSettings
from seamark.settings.training import DetectorSettings
from seamark.weights.finding import DOWNLOAD, WeightsSource, find_weights, require_weights
from seamark.weights.published import SAM_WEIGHTS

WITHOUT_THEM = (
    "or lay presets/small_backbone.yaml (for URD, AURD, AAND, PFADSeg and EfficientAD: theirs, whose names end in "
    "_small_backbone.yaml) over your presets, as the last one: its weights come with a Python package"
)

TEACHER = WeightsSource(
    file="of the teacher of EfficientAD",
    licence="not known",
    origin="a file of one's own",
    page="docs/detectors.md",
    setting="teacher",
    instead="set `teacher: distilled`",
)


@dataclass(frozen=True)
class RequiredWeights:
    """A file of weights, where the settings say that it is, and which setting does."""

    source: WeightsSource
    where: str
    setting: str


def detector_weights(name: str, settings: Settings) -> Iterator[RequiredWeights]:
    """Yield the weights that a detector needs for training and scoring.

    Parameters
    ----------
    name : str
        Name of the block, for the message.
    settings : Settings
        Its block.

    Yields
    ------
    RequiredWeights
        Those of its backbone, if it has one; of EfficientAD the teacher's, if that is a file of one's own.

    Raises
    ------
    ConfigError
        If the backbone does not exist.
    """
    if isinstance(settings, EfficientAdSettings):
        if settings.teacher not in (DISTILLED, RANDOM):
            yield RequiredWeights(TEACHER, settings.teacher, f"detectors.{name}.teacher")
        return
    if not isinstance(settings, DetectorSettings):
        return
    yield _backbone_weights(name, settings)


def distill_weights(name: str, settings: TeacherSettings) -> Iterator[RequiredWeights]:
    """Yield the weights of the backbone that a teacher is distilled from for the block of a name.

    Raises
    ------
    ConfigError
        If the backbone does not exist.
    """
    yield _backbone_weights(name, settings)


def _backbone_weights(name: str, settings: DetectorSettings) -> RequiredWeights:
    row = published_backbone(settings.backbone)
    return RequiredWeights(row.weights, settings.weights, f"detectors.{name}.weights")


def refine_weights(settings: RefineSettings) -> Iterator[RequiredWeights]:
    """Yield the weights that refining needs.

    Parameters
    ----------
    settings : RefineSettings
        The block of one category and split.

    Yields
    ------
    RequiredWeights
        Those of Segment Anything, if it refines.
    """
    if settings.method == "sam":
        yield RequiredWeights(SAM_WEIGHTS[settings.sam.model], settings.sam.weights, "refine.sam.weights")


def require_all(needed: Iterable[RequiredWeights]) -> None:
    """Check that all files of weights are there, and fetch what ``download`` asks for, which may not work later either.

    Parameters
    ----------
    needed : iterable of RequiredWeights
        Files, possibly several times the same.

    Raises
    ------
    WeightsError
        Naming every missing file at once, each with its setting, digest, size and remedies.
    """
    problems = []
    for weights in dict.fromkeys(needed):
        try:
            require_weights(weights.source, weights.where)
            if weights.where == DOWNLOAD:
                find_weights(weights.source, weights.where)
        except WeightsError as error:
            problems.append(f"{weights.setting}: {error}")
    if problems:
        raise WeightsError("\n".join(["the run cannot start:", *(f"  - {text}" for text in problems), WITHOUT_THEM]))
