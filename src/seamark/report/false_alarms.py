"""Normal images that masks flag: what the rules for thresholds promise, and what is observed on every split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from seamark.evaluation.summary import WHOLE_SPLIT
from seamark.manifests.evaluation import EvaluationManifest
from seamark.manifests.masks import MasksManifest
from seamark.settings.binarize import CROSSFITTED
from seamark.settings.promises import Promise, promises_text, united_rate


@dataclass(frozen=True)
class FalseAlarmRow:
    """Promised and observed false alarms of one category and split."""

    category: str
    split: str
    normal_images: int
    """Images without a defect."""
    promises: tuple[Promise, ...]
    """Of the rules whose masks are united."""
    coarse: int
    """Normal images in which the coarse mask has a pixel."""
    refined: int
    path: Path
    """File that the counts come from."""

    @property
    def guaranteed(self) -> bool:
        """False if models of folds scored some of the normal images that rules saw; promises are estimates then."""
        return not any(promise.estimated for promise in self.promises)

    @property
    def promised(self) -> float | None:
        """Largest share of normal images that the union of the rules flags; None if one of them promises none."""
        return united_rate(self.promises)

    @property
    def told(self) -> str:
        """What is promised and what is left of it, in words."""
        return promises_text(self.promises)


def false_alarm_rows(
    masks: Mapping[Path, MasksManifest], evaluations: Mapping[Path, EvaluationManifest]
) -> tuple[FalseAlarmRow, ...]:
    """Count the normal images that are flagged.

    Parameters
    ----------
    masks : mapping of Path to MasksManifest
        Masks of the binarize and verdict stages of all splits by their path.
    evaluations : mapping of Path to EvaluationManifest
        Scores of the splits whose truth is known.

    Returns
    -------
    tuple of FalseAlarmRow
        By category; validation, whose images are all normal, before the splits with known truth.
    """
    coarse = {(found.category, found.split): (path, found) for path, found in masks.items() if found.stage == "coarse"}
    refined = {(found.category, found.split): found for found in masks.values() if found.stage == "judged"}
    rows = [
        FalseAlarmRow(
            category=category,
            split="validation",
            normal_images=len(found.masks),
            promises=_promises(found),
            coarse=_flagged(found),
            refined=_flagged(refined[category, "validation"]),
            path=path,
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
                )


def _promises(manifest: MasksManifest) -> tuple[Promise, ...]:
    records = [record for mask in manifest.masks for record in mask.thresholds if record.finds]
    return tuple(
        dict.fromkeys(
            Promise(record.rule, record.promised_image_rate, record.promised_pixel_rate, record.normal in CROSSFITTED)
            for record in records
        )
    )


def _flagged(manifest: MasksManifest) -> int:
    return sum(mask.foreground_px > 0 for mask in manifest.masks)
