"""Settings of cross-fitting."""

from typing import Literal

from pydantic import Field, field_validator

from seamark.settings.base import Settings

CROSSFIT_TRAIN: Literal["train_crossfit"] = "train_crossfit"
"""The split of training photographs, each scored by a model that has not seen it: maps and statistics, nothing else."""
MOST_FOLDS = 10


class CrossfitSettings(Settings):
    """Further models, each trained without a part of the training photographs, which it then scores."""

    folds: int = Field(
        0,
        ge=0,
        le=MOST_FOLDS,
        description="parts of the training photographs, as many further models are trained, and thresholds may come "
        "from their scores (binarize.normal); 0 for none, or 2 to 10",
    )

    @field_validator("folds")
    @classmethod
    def _something_to_learn_from(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("a single fold leaves nothing to train with; take at least 2, or 0 for none")
        return folds

    def refusal(self, photographs: int) -> str | None:
        """Return why so many training photographs are too few, or None if they suffice."""
        if self.folds <= photographs:
            return None
        remedy = f"choose 2 to {photographs} folds, or 0 for none" if photographs > 1 else "choose 0 for none"
        return (
            f"crossfit.folds {self.folds} needs at least {self.folds} training photographs, there are {photographs}; "
            f"add some, or {remedy}"
        )
