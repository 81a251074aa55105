"""Settings of cross-fitting."""

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from seamark.settings.base import Settings

CROSSFIT_TRAIN: Literal["train_crossfit"] = "train_crossfit"
"""The split of training photographs, each scored by a model that has not seen it: maps and statistics, nothing else."""
MOST_FOLDS = 10


class CrossfitSettings(Settings):
    """Training photographs that are scored by models which have not seen them."""

    folds: int = Field(
        0,
        ge=0,
        le=MOST_FOLDS,
        description="parts of the training photographs, as many further models are trained, and thresholds may come "
        "from their scores (binarize.normal); 0 for none, or 2 to 10",
    )
    holdout_every: int | None = Field(
        None,
        ge=2,
        description="every so manyth training photograph, from the first, is kept out of all training and scored as "
        "those of folds would be, without further models; null for none (SuperADD: 8)",
    )

    @field_validator("folds")
    @classmethod
    def _something_to_learn_from(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("a single fold leaves nothing to train with; take at least 2, or 0 for none")
        return folds

    @model_validator(mode="after")
    def _one_way_to_score(self) -> Self:
        if self.folds and self.holdout_every:
            raise ValueError(
                f"folds {self.folds} score all training photographs, holdout_every {self.holdout_every} some of them: "
                "set folds to 0 or holdout_every to null"
            )
        return self

    @property
    def scores_training(self) -> bool:
        """Whether there is a split of training photographs that are scored by a model which has not seen them."""
        return bool(self.folds or self.holdout_every)

    def scored(self, photographs: int) -> int:
        """Return how many of so many training photographs are scored by a model that has not seen them."""
        return photographs if self.folds else self.held_out(photographs)

    def held_out(self, photographs: int) -> int:
        """Return how many of so many training photographs no model is trained with."""
        return math.ceil(photographs / self.holdout_every) if self.holdout_every else 0

    def refusal(self, photographs: int) -> str | None:
        """Return why so many training photographs are too few, or None if they suffice."""
        if self.holdout_every and photographs < 2:
            return (
                f"crossfit.holdout_every {self.holdout_every} leaves nothing to train with of {photographs} training "
                "photograph; add some, or set it to null"
            )
        if self.folds <= photographs:
            return None
        remedy = f"choose 2 to {photographs} folds, or 0 for none" if photographs > 1 else "choose 0 for none"
        return (
            f"crossfit.folds {self.folds} needs at least {self.folds} training photographs, there are {photographs}; "
            f"add some, or {remedy}"
        )
