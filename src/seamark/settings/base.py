"""What every settings block has in common."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal[
    "train", "train_crossfit", "validation", "validation_variants", "test_public", "test_private", "test_private_mixed"
]
"""The five splits of MVTec AD 2, in the order in which the data set lists them, and those that only thresholds see."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test_public", "test_private", "test_private_mixed")
"""Splits that a data set has."""

PHOTOGRAPHED: Mapping[str, Split] = {"train_crossfit": "train", "validation_variants": "validation"}
"""Of whose photographs the splits are that only thresholds see."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What the name of a run, of a variation of it and of a grid looks like; each is the name of a folder."""
Name = Annotated[str, Field(pattern=NAME, max_length=100)]


class Settings(BaseModel):
    """A frozen settings block that refuses unknown keys, and numbers that are infinite or not a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
