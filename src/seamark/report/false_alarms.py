"""Normal images that masks flag: what the rules for thresholds promise, and what is observed on every split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seamark.evaluation.summary import WHOLE_SPLIT
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.masks import MasksManifest


@dataclass(frozen=True)
class FalseAlarmRow:
    """Promised and observed false alarms of one category and split."""

    category: str
    split: str
    normal_images: int
    """Images without a defect."""
    promises: tuple[tuple[str, float | None], ...]
    """Rules, and the largest share of normal images that each flags on average; None where it promises none."""
    coarse: int
    """Normal images in which the coarse mask has a pixel."""
    refined: int
    path: Path
    """File that the counts come from."""
    guaranteed: bool = True
    """False if models of folds scored some of the normal images that rules saw; promises are estimates then."""

    @property
    def promised(self) -> float | None:
        """Promise for the union of the rules: the sum of theirs; None if one of them promises none."""
        rates = [rate for _, rate in self.promises if rate is not None]
        return min(1.0, sum(rates)) if rates and len(rates) == len(self.promises) else None


def false_alarm_rows(
    masks: Mapping[Path, MasksManifest], evaluations: Mapping[Path, EvaluationManifest]
) -> tuple[FalseAlarmRow, ...]:
    """Count the normal images that are flagged.

    Parameters
    ----------
    masks : mapping of Path to MasksManifest
        Coarse and refined masks of all splits by their path.
    evaluations : mapping of Path to EvaluationManifest
        Scores of the splits whose truth is known.

    Returns
    -------
    tuple of FalseAlarmRow
        By category; validation, whose images are all normal, before the splits with known truth.
    """
    coarse = {(found.category, found.split): (path, found) for path, found in masks.items() if found.stage == "coarse"}
    refined = {(found.category, found.split): found for found in masks.values() if found.stage == "refined"}
    rows = [
        FalseAlarmRow(
            category=category,
            split="validation",
            normal_images=len(found.masks),
            promises=_promises(found),
            coarse=_flagged(found),
            refined=_flagged(refined[category, "validation"]),
            path=path,
            guaranteed=_guaranteed(found),
        )
        for (category, split), (path, found) in coarse.items()
        if split == "validation" and (category, split) in refined
    ]
    rows += _evaluated({place: found for place, (_, found) in coarse.items()}, evaluations)
    return tuple(sorted(rows, key=lambda row: row.category))


def _evaluated(
    coarse: Mapping[tuple[str, str], MasksManifest], evaluations: Mapping[Path, EvaluationManifest]
) -> Iterator[FalseAlarmRow]:
    for path, evaluation in evaluations.items():
        for subset in evaluation.subsets:
            place = (evaluation.category, subset.split)
            if subset.light == WHOLE_SPLIT and place in coarse and subset.images > subset.bad_images:
                yield FalseAlarmRow(
                    category=evaluation.category,
                    split=subset.split,
                    normal_images=subset.images - subset.bad_images,
                    promises=_promises(coarse[place]),
                    coarse=subset.coarse.flagged_normal_images,
                    refined=subset.refined.flagged_normal_images,
                    path=path,
                    guaranteed=_guaranteed(coarse[place]),
                )


def _promises(manifest: MasksManifest) -> tuple[tuple[str, float | None], ...]:
    records = [record for mask in manifest.masks for record in mask.thresholds if record.rule != "grow"]
    return tuple(dict.fromkeys((record.rule, record.promised_image_rate) for record in records))


def _guaranteed(manifest: MasksManifest) -> bool:
    return not any(record.crossfitted for mask in manifest.masks for record in mask.thresholds)


def _flagged(manifest: MasksManifest) -> int:
    return sum(mask.foreground_px > 0 for mask in manifest.masks)
