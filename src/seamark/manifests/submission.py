"""Manifests of the package stage: the check report and the provenance of the archive."""

import json
from typing import Any, Literal

from pydantic import Field

from seamark.manifests.base import Manifest, Record
from seamark.manifests.ranking import QuantileFit
from seamark.settings.base import Split
from seamark.settings.package import Challenge


class RuleBreach(Record):
    """A setting that breaks a rule of a challenge."""

    rule: Literal[
        "complete_submission",
        "normal_training_images",
        "one_setting_for_all",
        "thresholds_without_test",
        "unseen_test_images",
    ]
    setting: str
    """Path of the setting, joined by dots."""
    values: dict[str, Any]
    """Its resolved value by category, ``*/split``, ``category/split``, or ``*`` where it is the same everywhere.

    Of ``unseen_test_images``: what is wrong, by photograph.
    """
    remedy: str

    def spelled(self) -> str:
        """Name each value with the places that have it."""
        places: dict[str, list[str]] = {}
        for place, value in self.values.items():
            places.setdefault(json.dumps(value), []).append(place)
        return " and ".join(text if at == ["*"] else f"{text} for {', '.join(at)}" for text, at in places.items())


class ChallengeVerdict(Record):
    """Whether the settings of a run keep the rules of a challenge."""

    challenge: Challenge
    enforced: bool
    """Whether ``package.rules`` names this challenge, so that a breach refuses the submission."""
    breaches: tuple[RuleBreach, ...]
    cautions: tuple[RuleBreach, ...]
    """Settings on which the rules do not say a clear word."""

    def with_breach(self, breach: RuleBreach) -> "ChallengeVerdict":
        """Return the verdict with one more breach."""
        return self.model_copy(update={"breaches": (*self.breaches, breach)})

    def refusal(self) -> str | None:
        """Return what to say about a submission that these rules refuse, None if they do not."""
        if not (self.enforced and self.breaches):
            return None
        return "\n".join(
            [f"package.rules: {self.challenge} refuses these settings:"]
            + [f"  - {breach.setting} ({breach.rule}): {breach.spelled()}; {breach.remedy}" for breach in self.breaches]
        )


class RuleResult(Record):
    """Whether a submission keeps one rule."""

    rule: str
    origin: Literal["official", "extra"]
    """official: the benchmark's own checker has the rule too; extra: only ours, against bad scores."""
    meaning: str
    passed: bool
    violations: int
    examples: tuple[str, ...]
    """The first violations, each naming its file."""


class FolderCounts(Record):
    """What was found for one category and split."""

    category: str
    split: Split
    images: int
    """Images expected."""
    maps: int
    masks: int
    empty_masks: int
    full_masks: int
    fewest_levels: int | None
    """Smallest number of distinct scores in a map; None without readable maps."""
    map_bytes: int
    mask_bytes: int


class CheckReport(Manifest):
    """What the submission checker found."""

    submission: str
    """Name of the folder."""
    verdict: Literal["accepted", "refused"]
    map_scale: float
    rules: tuple[RuleResult, ...]
    warnings: tuple[str, ...]
    folders: tuple[FolderCounts, ...]
    total_bytes: int
    """Size of all maps and masks."""
    archive_bytes: int | None
    """Size of the .tar.gz file; None when only the folder was checked."""
    challenges: tuple[ChallengeVerdict, ...] = ()
    """What the challenges' rules say about the settings; empty when only the folder was checked."""

    @property
    def officially_accepted(self) -> bool:
        """Whether every rule of the benchmark's own checker is kept."""
        return all(rule.passed for rule in self.rules if rule.origin == "official")


class PrecisionRecord(Record):
    """What rounding to float16 cost the maps of one category and split."""

    category: str
    split: Split
    minimum: float
    maximum: float
    distinct_float32: int
    """Distinct scores before rounding, counted per image and summed."""
    distinct_float16: int
    """Distinct scores after rounding, counted per image and summed."""
    tie_rate: float
    """Share of the distinct scores that rounding made equal to another one, 0..1."""
    underflow_px: int
    """Pixels whose score was not 0 and became 0."""


class SubmissionProvenance(Manifest):
    """Where an archive came from; equal input, package versions and loops give equal bytes."""

    run: str
    archive: str
    archive_sha256: str
    archive_bytes: int
    settings: dict[str, Any]
    manifests: dict[str, str]
    """SHA-256 of every manifest that went in, by path."""
    versions: dict[str, str]
    images: dict[str, dict[str, int]]
    """Packaged images by category and split."""
    precision: tuple[PrecisionRecord, ...]
    ranking: dict[str, QuantileFit] = Field(default_factory=dict, exclude_if=lambda fits: not fits)
    """What the submitted maps of each category were fitted to; left out where they are the fused maps."""
