"""Which files of pretrained weights a run needs, and the refusal to start without them. Free of torch, as planning is.

A run of days must not find out in its middle that a file is missing, so all files are looked for before the first job.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seamark.backbones.table import BACKBONES
from seamark.errors import ConfigError, WeightsError
from seamark.settings.base import Settings
from seamark.settings.efficientad import EfficientAdSettings
from seamark.settings.refine import RefineSettings
from seamark.settings.teacher import DISTILLED, RANDOM, TeacherSettings
from seamark.settings.training import DetectorSettings
from seamark.weights.finding import WeightsSource, require_weights
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
    """A file of weights and where the settings say that it is."""

    source: WeightsSource
    where: str


def detector_weights(name: str, settings: Settings) -> Iterator[RequiredWeights]:
    """Yield the weights that a detector needs for training and scoring.

    Parameters
    ----------
    name : str
        Name of the detector, for the message.
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
            yield RequiredWeights(TEACHER, settings.teacher)
        return
    if not isinstance(settings, DetectorSettings):
        return
    yield _backbone_weights(name, settings)


def distill_weights(settings: TeacherSettings) -> Iterator[RequiredWeights]:
    """Yield the weights of the backbone that a teacher is distilled from.

    Raises
    ------
    ConfigError
        If the backbone does not exist.
    """
    yield _backbone_weights("efficientad", settings)


def _backbone_weights(name: str, settings: DetectorSettings) -> RequiredWeights:
    if settings.backbone not in BACKBONES:
        raise ConfigError(
            f"detectors.{name}.backbone: no backbone named {settings.backbone}; possible: {', '.join(BACKBONES)}"
        )
    return RequiredWeights(BACKBONES[settings.backbone].weights, settings.weights)


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
        yield RequiredWeights(SAM_WEIGHTS[settings.sam.model], settings.sam.weights)


def require_all(needed: Iterable[RequiredWeights]) -> None:
    """Check that all files of weights are there.

    Parameters
    ----------
    needed : iterable of RequiredWeights
        Files, possibly several times the same.

    Raises
    ------
    WeightsError
        Naming every missing file at once, each with its digest, size and remedies.
    """
    problems = []
    for weights in dict.fromkeys(needed):
        try:
            require_weights(weights.source, weights.where)
        except WeightsError as error:
            problems.append(str(error))
    if problems:
        raise WeightsError("\n".join(["the run cannot start:", *(f"  - {text}" for text in problems), WITHOUT_THEM]))
